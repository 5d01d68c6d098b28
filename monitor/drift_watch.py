"""The streams of one arena that are watched for drift, row by row: their engine, and what is followed of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from monitor.alerts import Observation
from monitor.bins import Arena
from monitor.changes import Place
from monitor.domain import IntArray
from monitor.kept import State
from monitor.kept_rows import GONE, bring_rows, moved, rows_of
from monitor.observed import has_changed, observation_of, observation_state
from monitor.rows import grown
from monitor.rules import Rule
from monitor.sequential.engine import Engine
from monitor.sequential.scores import CELLS

_KEPT: Final = ("since_s", "not_before_s", "begun_s", "last_s", "is_followed", "told")
"""What is known of each row; of those followed and of those raised there is more."""
_OF_FOLLOWED: Final = ("cells",)
_OF_RAISED: Final = ("back", "returned", "next_s", "silent_s")


@dataclass(slots=True)
class Raised:
    """A stream that is alerted: the observations of its rules as last measured. is_pending: one is still to fire."""

    observed: list[Observation]
    is_pending: bool


class Watch:
    """The streams of one arena: their engine, and what is followed of each. Memory: 150 bytes per stream.

    subject, alone: of each row its subject, and the nats it needs alone, infinity where it is not watched. since_s,
    cells: when the excursion of its evidence began, and what came since; is_followed: there is one. not_before_s: when
    to look again at a change too small to tell. begun_s: when its odds last began. last_s: its last values. Of those
    alerted: back, log likelihoods of values in each cell for the return; returned, its odds; next_s, when to speak of
    it again; silent_s, how long it may be silent; told, what was last said, or NOT_RAISED.
    """

    NOT_RAISED: Final = -1

    def __init__(self, width: int) -> None:
        self.engine = Engine(width)
        self.subject = np.zeros(0, dtype=np.int64)
        self.alone = np.zeros(0)
        self.since_s = np.zeros(0)
        self.not_before_s = np.zeros(0)
        self.begun_s = np.zeros(0)
        self.last_s = np.zeros(0)
        self.is_followed = np.zeros(0, dtype=bool)
        self.cells = np.zeros((0, CELLS), dtype=np.float32)
        self.back = np.zeros((0, CELLS), dtype=np.float32)
        self.returned = np.zeros(0)
        self.next_s = np.zeros(0)
        self.silent_s = np.zeros(0)
        self.told = np.zeros(0, dtype=np.int8)
        self.rules: dict[int, tuple[Rule, ...]] = {}
        self.raised: dict[int, Raised] = {}

    def reserve(self, rows: int) -> None:
        """Make room for so many rows; those not watched need endless evidence."""
        before = len(self.alone)
        if rows > before:
            for name, value in vars(self).items():
                if isinstance(value, np.ndarray):
                    setattr(self, name, grown(value, rows * 5 // 4))
            self.alone[before:] = np.inf
            self.told[before:] = self.NOT_RAISED

    def place(self, arena: Arena, row: int) -> Place:
        """Give a row as it is to be measured."""
        return Place(
            arena=arena,
            row=row,
            engine=self.engine,
            subject=int(self.subject[row]),
            since_s=float(self.since_s[row]),
            begun_s=float(self.begun_s[row]),
            cells=self.cells[row].astype(np.float64),
        )

    def end(self, row: int, end_s: float) -> None:
        """Forget a row's past: its alert is over, and nothing has changed since."""
        del self.raised[row]
        self.told[row] = self.NOT_RAISED
        self.engine.restart(np.array([row]), end_s)
        self.since_s[row] = self.begun_s[row] = end_s
        self.is_followed[row], self.cells[row] = False, 0.0

    # ---- from one process to the next

    def state(self, rows: int) -> State:
        """Give what is known of the first so many rows; all else follows from their references and rules."""
        n = min(rows, len(self.alone), len(self.engine.evidence))
        followed, raised = np.flatnonzero(self.is_followed[:n]), np.array(list(self.raised), dtype=np.int64)
        return {
            "watched": np.isfinite(self.alone[:n]),
            **rows_of(self, _KEPT, n),
            "followed": followed,
            **rows_of(self, _OF_FOLLOWED, followed),
            "raised": raised,
            **rows_of(self, _OF_RAISED, raised),
            "observed": [
                {"is_pending": own.is_pending, "seen": [observation_state(one) for one in own.observed]}
                for own in self.raised.values()
            ],
            "engine": self.engine.state(n),
        }

    def known(self, state: State, moves: IntArray) -> tuple[IntArray, IntArray]:
        """Give the rows of today that a state watched, and what they were then, both of shape (n,)."""
        then = np.flatnonzero(state.get("watched", np.zeros(0, dtype=bool)))
        now = moved(then, moves)
        return now[now != GONE], then[now != GONE]

    def restore(self, arena: Arena, state: State, moves: IntArray, end_s: float) -> None:
        """Go on from a state, with the rows that are watched today and were so then; the others begin now.

        An alerted row that none of its rules watches any more begins anew, too.
        """
        now, then = self.known(state, moves)
        is_watched = now < len(self.alone)
        is_watched[is_watched] = np.isfinite(self.alone[now[is_watched]])
        now, then = now[is_watched], then[is_watched]
        bring_rows(self, _KEPT, state, now, then)
        self.engine.restore(state.get("engine", {}), now, then)
        place = dict(zip(then.tolist(), now.tolist(), strict=True))
        for names, listed in ((_OF_FOLLOWED, "followed"), (_OF_RAISED, "raised")):
            rows = state.get(listed, np.zeros(0, dtype=np.int64)).tolist()
            at = [(place[row], i) for i, row in enumerate(rows) if row in place]
            pairs = np.array(at, dtype=np.int64).reshape(-1, 2).T
            bring_rows(self, names, state, pairs[0], pairs[1])
        raised = zip(state.get("raised", np.zeros(0)).tolist(), state.get("observed", []), strict=False)
        for row, found in raised:
            if row in place:
                self._raise_again(arena, place[row], found, end_s)
        untold = [row for row in np.flatnonzero(self.told != self.NOT_RAISED).tolist() if row not in self.raised]
        self.told[untold] = self.NOT_RAISED

    def _raise_again(self, arena: Arena, row: int, found: dict[str, Any], end_s: float) -> None:
        """Go on with an alerted row; under a rule that has changed it is measured at the next look."""
        rules = {rule.name: rule for rule in self.rules.get(row, ())}
        known = [(one, rules[one["rule"]]) for one in found["seen"] if one.get("rule") in rules]
        observed = [observation_of(one, rule, arena, row) for one, rule in known]
        self.raised[row] = Raised(observed, bool(found["is_pending"]))
        if not observed:
            self.end(row, end_s)
        elif any(has_changed(one, rule) for one, rule in known):
            self.next_s[row] = -np.inf
