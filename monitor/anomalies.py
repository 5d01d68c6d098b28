"""Anomalies of the metric series of models: a point per minute each, scored by the detector of `series`.

Series, of all traffic of a model version (segments would multiply the false alarms): events a second, latency p50 and
p95, the mean of tokens and of cost, and the rates of errors, unsafe, refused and fallback answers. A point is what the
shortest window of a minute or more holds when it is due, so panes cost nothing; a minute without events is a volume of
0 and no point of the others, as is one of fewer than SAMPLES_MIN values. What a series is like by day is learned as it
goes, so there are no scores in the first 50 points, and few that can be trusted in the first days.

Scores are always there to be exported. Alerts come only of a rule of this statistic, and the built-in one is disabled:
a series has some 0.03 false alarms a day (`series.watch`), a model of ten about nine in a month, and the budget is one
in a month for everything. So a score is to be looked at beside an alert; it wakes nobody who has not asked for it.

Measured on such series themselves, 20 of each for three weeks, false alarms a day after the first week: 0.00 to 0.02 of
Poisson volumes of 3 to 300, with and without a daily cycle, and of p50, p95 and mean of 30 and 300 lognormal values. In
the first week up to 0.04, and 0.14 of a p95 of 30.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Final

import numpy as np

from monitor.alerts import AlertBook, Observation
from monitor.anomaly_blocks import BLOCK, SERIES, Block, Slot
from monitor.bins import NO, YES
from monitor.detectors.base import View
from monitor.detectors.log_counts import VALUES, log_counts_of
from monitor.detectors.mean import moments_of
from monitor.domain import DRILL_MODEL, FloatArray, Kind, Seen, StreamKey
from monitor.fields import VOLUME
from monitor.incomplete import Incomplete
from monitor.kept import Moves, Section, State
from monitor.kept_rows import key_list, key_of
from monitor.observed import observation_of, observation_state, rule_named
from monitor.quality import AnomalyScore
from monitor.rules import ANOMALY, PlanOf, Rule
from monitor.scopes import Subject
from monitor.series import ALARM_SCORE
from monitor.series.watch import HELD_SCORE
from monitor.streams import StreamTable
from monitor.views import Views

MINUTE_S: Final = 60.0
PHASES: Final = 30
"""Blocks are due one pane after the other, so that no look has many of them to feed."""
SAMPLES_MIN: Final = 20
"""Values in a minute, below which a p95 is the largest one and a rate nothing or one: no point."""
QUIET_POINTS: Final = 5
"""Unsurprising minutes in a row after which an alert may end."""
ANSCOMBE: Final = 3.0 / 8.0
"""Rates are scored by sqrt((hits + 3/8) / n), whose noise is the same for all rates (Anscombe 1948, Biometrika 35). Of
0.3 hits a minute that gives 0.06 false alarms a day, and the plain rate 0.29; of 3 hits and more both give 0.02."""
QUANTILES: Final = {"p50": 0.5, "p95": 0.95}
ANOMALY_KINDS: Final = frozenset({Kind.VOLUME, Kind.LOG, Kind.YES_NO})
"""Kinds of stream that have series."""
SERIES_MAX: Final = 10_000
"""90 MB. Further series are not scored, and counted as overflow."""


@dataclass(slots=True)
class Raised:
    """A stream that is alerted, and how many minutes in a row none of its series was surprising."""

    observed: list[Observation]
    quiet: int = 0


class Anomalies:
    """Scores the series of all models. Called by the judge, in the loop thread.

    Memory: 9 kB per series, 3 to 10 series per model. Cost: 8 us per series and minute, more than half of it that of
    `series`: 3 ms a minute for a hundred models of four series each. A look feeds a block or two, 2 ms each.
    """

    def __init__(
        self,
        table: StreamTable,
        views: Views,
        plan_of: PlanOf,
        windows_s: Sequence[float],
    ) -> None:
        self._table = table
        self._views = views
        self._plan_of = plan_of
        self._window = next((at for at, w in enumerate(windows_s) if w >= MINUTE_S), len(windows_s) - 1)
        self._step_s = max(MINUTE_S, windows_s[self._window])
        self._blocks: list[Block] = []
        self._known: set[StreamKey] = set()
        self._raised: dict[StreamKey, Raised] = {}

    # ---- which series

    def refresh(self, subjects: Iterable[Subject], end_s: float) -> None:
        """Begin the series of subjects' new streams."""
        for subject in subjects:
            for arena, row in sorted(subject.rows):
                key = self._table.arenas[arena].keys[row]
                if not key.segment and key.field in SERIES and key not in self._known:
                    self._known.add(key)
                    self._begin([Slot(subject.index, key, name, arena, row) for name in SERIES[key.field]], end_s)

    def _begin(self, slots: list[Slot], end_s: float) -> None:
        if sum(len(block.slots) for block in self._blocks) + len(slots) > SERIES_MAX:
            self._table.overflow["anomaly_series"] += len(slots)
            return
        self._block(len(slots), end_s).add(slots)

    def _block(self, room: int, end_s: float) -> Block:
        """Give a block with room for the series of one stream."""
        if not self._blocks or len(self._blocks[-1].slots) + room > BLOCK:
            phase_s = len(self._blocks) % PHASES
            self._blocks.append(Block(due_s=(end_s // self._step_s + 1.0) * self._step_s + phase_s))
        return self._blocks[-1]

    # ---- from one process to the next

    def sections(self, prefix: str) -> Iterator[Section]:
        """Give what is known of the series, block by block, and of the streams that are alerted."""
        yield Section(prefix, None, self._state)
        for number, block in enumerate(self._blocks):
            yield Section(f"{prefix}/{number}", block.mark, block.state)

    def _state(self) -> State:
        held = {slot.key for block in self._blocks for slot in block.slots}
        return {
            "blocks": len(self._blocks),
            "left_out": [key_list(key) for key in sorted(self._known - held)],
            "raised": [
                {"quiet": raised.quiet, "observed": [observation_state(one) for one in raised.observed]}
                for raised in self._raised.values()
            ],
        }

    def restore(self, prefix: str, states: Mapping[str, State], moves: Moves) -> None:
        """Go on from states, before `refresh`, with the series whose streams there still are."""
        state = states.get(prefix, {})
        for number in range(state.get("blocks", 0)):
            found = states.get(f"{prefix}/{number}")
            self._blocks.append(Block(due_s=0.0) if found is None else Block.restored(found, self._table, moves))
        slots = {slot.key: slot for block in self._blocks for slot in block.slots}
        self._known.update(slots, map(key_of, state.get("left_out", [])))
        for found in state.get("raised", []):
            observed = found["observed"]
            slot = slots.get(key_of(observed[0]["key"])) if observed else None
            if slot is not None:
                self._raise_again(slot, observed, int(found["quiet"]))

    def renew(self) -> None:
        """Take the rules of today for the streams that are alerted; without any, a stream is alerted no longer."""
        raised, self._raised = self._raised, {}
        slots = {slot.key: slot for block in self._blocks for slot in block.slots}
        for key, own in raised.items():
            self._raise_again(slots[key], [observation_state(one) for one in own.observed], own.quiet)

    def _raise_again(self, slot: Slot, observed: Sequence[State], quiet: int) -> None:
        found = [(one, self.rule_of(slot.key, one["rule"])) for one in observed]
        again = [observation_of(one, rule, slot.arena, slot.row) for one, rule in found if rule is not None]
        if again:
            self._raised[slot.key] = Raised(again, quiet)

    def rule_of(self, key: StreamKey, name: str) -> Rule | None:
        """Give the rule of this name that watches a stream, if any does."""
        rule = rule_named(self._plan_of, key, name)
        is_own = rule is not None and rule.statistic == ANOMALY and rule.watches(key.field)
        return rule if is_own and key in self._known else None

    # ---- a look

    def look(self, book: AlertBook, end_s: float, incomplete: Incomplete) -> Iterator[Observation]:
        """Feed the blocks that are due, and give what there is to say of the streams that are alerted.

        A minute of which messages are missing is no point of any series.
        """
        for key in [key for key, raised in self._raised.items() if not _is_open(raised, book)]:
            del self._raised[key]
        for block in self._blocks:
            if end_s >= block.due_s:
                block.due_s += self._step_s * (1.0 + (end_s - block.due_s) // self._step_s)
                self._feed(block, end_s, incomplete)
        for raised in self._raised.values():
            yield from raised.observed

    def _feed(self, block: Block, end_s: float, incomplete: Incomplete) -> None:
        values, block.samples = self._points(block)
        if incomplete.last_s > -np.inf and incomplete.touch(end_s - self._span_s(block), end_s):
            values[:] = np.nan
        scores, is_alarm = block.watch.observe(np.full(BLOCK, end_s), values)
        block.scores = np.where(np.isnan(values), np.nan, scores)
        block.fed_s = end_s
        block.tell()
        own: dict[StreamKey, list[int]] = {}
        for at, slot in enumerate(block.slots):
            if slot.key in self._raised:
                own.setdefault(slot.key, []).append(at)
        for key, places in own.items():
            self._follow(self._raised[key], block.scores[places])
        for at in np.flatnonzero(is_alarm).tolist():
            if block.slots[at].key not in self._raised:
                self._raise(block, at, end_s)

    def _span_s(self, block: Block) -> float:
        """Give how long the window of a block's points is: as asked for, or a little more."""
        spans_s = [self._views.some(group.arena, self._window, group.rows[:1]).span_s for group in block.groups]
        return max([self._step_s, *spans_s])

    def _points(self, block: Block) -> tuple[FloatArray, FloatArray]:
        """Give the next value of each series and its samples, shape (BLOCK,); NaN where there are too few."""
        values, samples = np.full(BLOCK, np.nan), np.zeros(BLOCK)
        for group in block.groups:
            view = self._views.some(group.arena, self._window, group.rows)
            for statistic, at in group.places.items():
                values[at], samples[at] = self._measured(statistic, view)
        return values, samples

    @staticmethod
    def _measured(statistic: str, view: View) -> tuple[FloatArray, FloatArray]:
        if statistic == "volume":
            events = view.counts[:, NO].astype(np.float64)
            return events / max(view.span_s, 1e-9), events
        if statistic == "rate":
            samples = view.counts[:, [NO, YES]].sum(axis=1).astype(np.float64)
            values = np.sqrt((view.counts[:, YES] + ANSCOMBE) / np.maximum(samples, 1.0))
        elif statistic == "mean":
            samples, values, _ = moments_of(view.counts, view.low)
        else:
            counts = log_counts_of(view.counts)
            samples = counts.samples().astype(np.float64)
            rank = np.ceil(samples * QUANTILES[statistic] - 1e-9)  # 0.95 * 100 is a little over 95
            values = VALUES[counts.bin_of_rank(rank)] * view.low
        return np.where(samples >= SAMPLES_MIN, values, np.nan), samples

    def _follow(self, raised: Raised, scores: FloatArray) -> None:
        """Count the quiet minutes of a stream that is alerted."""
        if np.isnan(scores).all():
            raised.observed = [replace(one, seen=Seen.UNKNOWN) for one in raised.observed]
            return
        raised.quiet = 0 if np.nanmax(scores) >= HELD_SCORE else raised.quiet + 1
        is_over = raised.quiet >= QUIET_POINTS
        raised.observed = [
            replace(one, seen=Seen.CLEAR if is_over else _breach(one.rule, one.value)) for one in raised.observed
        ]

    def _raise(self, block: Block, at: int, end_s: float) -> None:
        slot, score = block.slots[at], float(block.scores[at])
        if slot.key.model == DRILL_MODEL and slot.key.field == VOLUME:
            return  # a drill begins and ends all of a sudden
        rules = self._plan_of(slot.key.model, slot.key.model_version).rules
        observed = [
            self._observation(rule, slot, (score, int(block.samples[at])), end_s)
            for rule in rules
            if rule.statistic == ANOMALY and rule.watches(slot.key.field) and score >= _lowest(rule)
        ]
        if observed:
            self._raised[slot.key] = Raised(observed)

    def _observation(self, rule: Rule, slot: Slot, found: tuple[float, int], end_s: float) -> Observation:
        score, samples = found
        subject, threshold = self._table.subjects[slot.subject], _lowest(rule)
        return Observation(
            rule=rule,
            key=slot.key,
            seen=_breach(rule, score),
            value=score,
            threshold=threshold,
            interval=(score, score),
            samples=samples,
            evidence=_log_odds(score),
            evidence_needed=_log_odds(threshold),
            window_s=self._step_s,
            reference=subject.reference.identity if subject.reference else "",
            where=(ANOMALY, slot.arena),
            row=slot.row,
            since_s=end_s - self._step_s,
            change=slot.statistic,
        )

    # ---- what there is to see

    def scores(self) -> list[AnomalyScore]:
        """Give the score of each series' last point, where it was one."""
        return [score for block in self._blocks for score in block.told]


def _lowest(rule: Rule) -> float:
    """Give the score from which a rule tells; lower ones are no alarms, whatever the rule says."""
    return max(ALARM_SCORE, min(level.value for level in (rule.yellow, rule.red) if level is not None))


def _breach(rule: Rule, score: float) -> Seen:
    return Seen.RED if rule.red is not None and score >= rule.red.value else Seen.YELLOW


def _log_odds(score: float) -> float:
    bounded = min(max(score, 1e-9), 1.0 - 1e-9)
    return log(bounded / (1.0 - bounded))


def _is_open(raised: Raised, book: AlertBook) -> bool:
    return any((one.rule.name, one.key) in book for one in raised.observed)
