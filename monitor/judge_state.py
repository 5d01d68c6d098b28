"""What the judge keeps from one process to the next, beside what its parts keep themselves: lines, by name. Pure.

A line is found again by the name of its rule and its row. What it has seen goes on while it is judged by the same
thresholds, and its odds while its limit is the same; another one begins now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from monitor.bins import Arena
from monitor.domain import FloatArray, IntArray, StreamKey
from monitor.kept import Moves, State
from monitor.kept_rows import GONE, key_list, key_of, moved, reading
from monitor.lines import Lines, Where
from monitor.onsets import Over
from monitor.rules import Rule
from monitor.tracks import ROWS_MAX, Tracks

Identity = tuple[str, StreamKey]
"""A rule's name and a stream: what an alert is of."""
Stamps = npt.NDArray[np.uint64]
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_NAN: Final = np.uint64(0x7FF8000000000001)
_NAMED: Final = frozenset({"subject", "rule", "row", "seen"})
"""Fields of lines that are kept by name, or of all lines."""


@dataclass(slots=True)
class Memory:
    """What the judge remembers of single alerts, and of what is none yet.

    not_before_s: when to look again at a breach with too few samples. ended: when an alert ended, and the window that
    said so. begun: the line of an alert. over: what the past said when it was last asked whether an alert is over.
    """

    not_before_s: dict[Identity, float] = field(default_factory=dict)
    ended: dict[Identity, tuple[float, int]] = field(default_factory=dict)
    begun: dict[Identity, tuple[Where, int, int]] = field(default_factory=dict)
    over: dict[Identity, tuple[float, Over]] = field(default_factory=dict)

    def state(self, windows_s: Sequence[float]) -> State:
        """Give all of it, windows by their length."""
        return {
            "not_before": [[*_named(who), at_s] for who, at_s in self.not_before_s.items()],
            "ended": [[*_named(who), at_s, windows_s[window]] for who, (at_s, window) in self.ended.items()],
            "begun": [[*_named(who), where[0], where[1].name, row] for who, (where, _, row) in self.begun.items()],
            "over": [[*_named(who), at_s, over.since_s, over.is_silent] for who, (at_s, over) in self.over.items()],
        }

    def restore(
        self,
        state: State,
        windows_s: Sequence[float],
        is_kept: Callable[[StreamKey], bool],
        begun_of: Callable[[Where, int, str], tuple[Where, int, int] | None],
    ) -> None:
        """Go on from a state. is_kept: tells whether a stream is still watched. begun_of: finds a line of today.

        Raises StateError for what is none.
        """
        with reading("of alerts"):
            for who, at_s in _read(state, "not_before", is_kept):
                self.not_before_s[who] = at_s
            for who, at_s, window_s in _read(state, "ended", is_kept):
                if window_s in windows_s:
                    self.ended[who] = at_s, windows_s.index(window_s)
            for who, statistic, arena, row in _read(state, "begun", is_kept):
                line = begun_of((statistic, Arena[arena]), row, who[0])
                if line is not None:
                    self.begun[who] = line
            for who, at_s, since_s, is_silent in _read(state, "over", is_kept):
                self.over[who] = at_s, Over(since_s, is_silent)


def _named(who: Identity) -> tuple[str, list[str]]:
    return who[0], key_list(who[1])


def _read(state: State, name: str, is_kept: Callable[[StreamKey], bool]) -> Iterable[tuple[Any, ...]]:
    for rule, key, *rest in state.get(name, []):
        who = (str(rule), key_of(key))
        if is_kept(who[1]):
            yield (who, *rest)


# ---- lines


def lines_state(
    lines: Lines, rules: Sequence[Rule], tracks: Tracks | None, pending: IntArray, windows_s: Sequence[float]
) -> State:
    """Give what is known of the lines of one statistic on one arena.

    pending: subjects that have changed, but whose lines have not been made anew yet; theirs are kept as they are.
    """
    used, at = np.unique(lines.rule, return_inverse=True)
    state: State = {
        "rules": [rules[number].name for number in used.tolist()],
        "rule": at.astype(np.int32),
        "row": lines.row.astype(np.int32),
        "windows_s": list(windows_s),
        "seen": lines.seen,
        "terms": terms_stamp(lines),
    }
    if tracks is not None:
        state |= {"limit": limit_stamp(lines), "tracks": tracks.state()}
    own = np.flatnonzero(np.isin(lines.subject, pending))
    if own.size:
        taken = lines.taken(own)
        state["pending"] = {"at": own} | {f.name: getattr(taken, f.name) for f in fields(Lines) if f.name not in _NAMED}
    return state


def pending_lines(
    state: State,
    windows_s: Sequence[float],
    moves: IntArray,
    subjects: IntArray,
    number_of: Callable[[int, str], int | None],
) -> Lines | None:
    """Give the lines that were kept as they were. number_of: gives the number of a subject's rule by its name."""
    kept = state.get("pending")
    if kept is None or state.get("windows_s") != list(windows_s):
        return None
    with reading("lines"):
        at = kept["at"]
        row = moved(state["row"][at].astype(np.int64), moves)
        names = [state["rules"][rule] for rule in state["rule"][at].tolist()]
        subject = subjects[row]
        numbers = [number_of(int(who), name) for who, name in zip(subject.tolist(), names, strict=True)]
        own = np.flatnonzero([now != GONE and number is not None for now, number in zip(row, numbers, strict=True)])
        rule = np.array([numbers[i] for i in own.tolist()], dtype=np.int64)
        rest = {f.name: kept[f.name] for f in fields(Lines) if f.name not in _NAMED}
        taken = {name: array[..., own] if array.shape[-1] else array for name, array in rest.items()}
        seen = np.zeros((len(windows_s), len(own)), dtype=np.int8)
        return Lines(subject=subject[own], rule=rule, row=row[own], seen=seen, **taken) if own.size else None


def restore_lines(
    state: State,
    lines: Lines,
    rules: Sequence[Rule],
    tracks: Tracks | None,
    windows_s: Sequence[float],
    moves: IntArray,
) -> None:
    """Let lines go on from a state: what was last seen of them, and their odds."""
    if not {"rules", "rule", "row", "terms"} <= state.keys():
        return
    with reading("lines"):
        names: dict[str, int] = {}
        now = _numbers(names, [rule.name for rule in rules], lines.rule, lines.row)
        row = moved(state["row"].astype(np.int64), moves)
        then = np.where(row == GONE, GONE, _numbers(names, state["rules"], state["rule"], row))
        _, mine, its = np.intersect1d(now, then, return_indices=True)
        same = state["terms"][its] == terms_stamp(lines)[mine]
        for window, window_s in enumerate(windows_s):
            if "seen" in state and window_s in state.get("windows_s", ()):
                before = state["seen"][state["windows_s"].index(window_s)]
                lines.seen[window, mine[same]] = before[its[same]]
        if tracks is not None and {"tracks", "limit"} <= state.keys():
            then_rows = np.flatnonzero(moves != GONE)
            same = state["limit"][its] == limit_stamp(lines)[mine]
            tracks.restore(state["tracks"], (moves[then_rows], then_rows), (mine[same], its[same]))


def _numbers(names: dict[str, int], rules: Sequence[str], rule: IntArray, row: IntArray) -> IntArray:
    """Give each line as a number: its rule's, by name, and its row."""
    if not rules:
        return np.zeros(0, dtype=np.int64)
    numbers = np.array([names.setdefault(name, len(names)) for name in rules], dtype=np.int64)
    found: IntArray = numbers[rule] * ROWS_MAX + row
    return found


def terms_stamp(lines: Lines) -> Stamps:
    """Give numbers that stand for what a window's verdict of each line goes by."""
    return _stamp(lines.sign, lines.yellow, lines.red, lines.clear, lines.samples_min)


def limit_stamp(lines: Lines) -> Stamps:
    """Give numbers that stand for the limit that each line's odds are of."""
    return _stamp(lines.sign, lines.cut.astype(np.float64), lines.rate)


def _stamp(*parts: FloatArray) -> Stamps:
    stamp = np.zeros(len(parts[0]), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            bits = (part + 0.0).view(np.uint64)  # minus zero is zero
            stamp = (stamp ^ np.where(np.isnan(part), _NAN, bits)) * _MIX
            stamp ^= stamp >> np.uint64(31)
    return stamp


def kept_rows(moves: Moves, sizes: Mapping[Arena, int]) -> dict[Arena, npt.NDArray[np.bool_]]:
    """Tell of each row of today whether it was there in the state."""
    out = {arena: np.zeros(size, dtype=bool) for arena, size in sizes.items()}
    for arena, kept in out.items():
        kept[moves[arena][moves[arena] != GONE]] = True
    return out
