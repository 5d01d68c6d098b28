"""Drift: which streams have changed from their references by more than a negligible amount, and when that is over.

The sequential engine tells of every stream the odds that it has changed; here they become what the alert book reads.
Streams of one model share its budget by e-BH (Wang and Ramdas 2022): the k with the greatest odds are alerted at once
if even the k-th has odds of N/k times what one stream would need, of N. So one dead feature of two hundred is found by
its own odds, and fifty of five thousand that move together need a hundredth of what each alone would.

An alert ends by the same reckoning turned around: odds that the stream is as its reference again, against what it was
alerted for, follow odds <- (odds + dt) * L, and must reach RETURN_S seconds. While the change lasts they do so about
once in that time at most, at any traffic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.alerts import AlertBook, Observation
from monitor.bins import Arena
from monitor.changes import Changes, Measured
from monitor.counts import Pairs
from monitor.domain import AlertState, CountArray, FloatArray, IntArray, Seen
from monitor.drift_watch import Raised, Watch
from monitor.kept import Moves, State
from monitor.rules import DRIFT, Budget, Plan, PlanOf, Rule
from monitor.scopes import Subject
from monitor.sequential.features import FEATURES, summed
from monitor.sequential.scores import CELLS
from monitor.streams import StreamTable
from monitor.views import Views

ARENAS: Final = (Arena.VALUES, Arena.LOGS)
RISE: Final = 7.0
"""Nats below what is needed from which an excursion of the evidence is followed: what came since is what changed."""
RETURN_S: Final = 90 * 86400.0
"""Odds, in seconds, that end an alert: a change that lasts is taken for over once in three months at most. Against once
in a week that takes 2.6 nats more, about twenty values after a shift by half a standard deviation."""
RETURN_MAX: Final = RETURN_S * 100.0
"""Where those odds stop growing, so that a relapse is seen soon."""
STEP_MAX: Final = 50.0
"""Nats that one pane may add to them or take."""
MEASURED_EVERY_S: Final = (5.0, 300.0)
"""How often an alert's value is measured anew: first, and when it is old."""
PATIENCE: Final = 0.1
"""Share of its age after which a change is measured again, between those; or one that is too small to tell."""
RAISES_MAX: Final = 50
"""Streams raised at one look: about a millisecond each. The others have their turn at the next looks."""
MEASURES_MAX: Final = 10
"""Alerted streams measured anew at one look."""
WAVE_S: Final = 300.0
"""Streams of one model that are raised within so long of the first began together, and are ranked through."""


class Drifts:
    """Judges drift of all streams that a drift rule watches. Called by the judge, in the loop thread.

    Cost of a look: that of the engine for streams that had values, 50 ns for each that is alerted, and about a
    millisecond for each alert that begins or is measured anew.
    """

    def __init__(self, table: StreamTable, views: Views, plan_of: PlanOf, budget: Budget) -> None:
        self._table = table
        self._plan_of = plan_of
        self._budget = budget
        self._changes = Changes(table, views)
        self._watches = {arena: Watch(table.arenas[arena].width) for arena in ARENAS}
        self._streams: dict[int, int] = {}
        self._waves: dict[int, tuple[float, int]] = {}
        self._rules: dict[int, tuple[Plan, dict[str, tuple[Rule, ...]]]] = {}

    # ---- which streams

    def refresh(self, subjects: Iterable[Subject], end_s: float) -> None:
        """Begin to watch the streams of subjects that have a reference and are not watched yet."""
        found: dict[Arena, list[int]] = {arena: [] for arena in ARENAS}
        for subject in subjects:
            plan = self._plan_of(subject.model, subject.model_version)
            if subject.is_ready and any(rule.statistic == DRIFT for rule in plan.rules):
                self._find(subject, plan, found)
        for arena, rows in found.items():
            if rows:
                self._begin(arena, np.array(rows), end_s)

    def _find(self, subject: Subject, plan: Plan, found: dict[Arena, list[int]]) -> None:
        """Add the streams of a subject that its plan has drift rules for to those found."""
        count = 0
        for arena, row in subject.rows:
            if arena in self._watches and not self._table.arenas[arena].is_learning[row]:
                own = self._rules_for(plan, self._table.arenas[arena].keys[row].field)
                if own and (arena, row) in self._table.normals:
                    self._watches[arena].rules[row] = own
                    found[arena].append(row)
                    count += 1
        self._streams[subject.index] = max(1, count)

    def _rules_for(self, plan: Plan, field: str) -> tuple[Rule, ...]:
        """Give the drift rules of a plan that watch a field."""
        _, known = self._rules.setdefault(id(plan), (plan, {}))  # held, so that its id stays its own
        if field not in known:
            known[field] = tuple(rule for rule in plan.rules if rule.statistic == DRIFT and rule.watches(field))
        return known[field]

    def _begin(self, arena: Arena, rows: IntArray, end_s: float) -> None:
        watch, arena_rows = self._watches[arena], self._table.arenas[arena]
        watch.reserve(int(rows.max()) + 1)
        new = rows[np.isinf(watch.alone[rows])]
        subjects = arena_rows.subjects[rows]
        watch.subject[rows] = subjects
        needed = {s: self._budget.drift_nats(self._streams[s]) for s in np.unique(subjects).tolist()}
        watch.alone[rows] = [needed[subject] for subject in subjects.tolist()]
        if not new.size:
            return
        normals = [self._table.normals[arena, row] for row in new.tolist()]
        counts = arena_rows.reference[new, : len(normals[0].classes)]
        watch.engine.watch(new, counts, normals, watch.alone[new], end_s)
        watch.since_s[new] = watch.last_s[new] = end_s

    # ---- from one process to the next

    def state(self, arena: Arena) -> State:
        """Give what is known of the streams of an arena."""
        return self._watches[arena].state(len(self._table.arenas[arena]))

    def waves(self) -> list[list[object]]:
        """Give when the last wave of each model began, and how many streams were raised in it."""
        subjects = self._table.subjects
        return [[subjects[i].model, subjects[i].model_version, *wave] for i, wave in self._waves.items()]

    def restore(
        self, states: Mapping[Arena, State], waves: Mapping[int, tuple[float, int]], moves: Moves, end_s: float
    ) -> None:
        """Go on from states, after `refresh`; waves: by subject. Alerts that no rule is for any more begin anew."""
        self._waves.update(waves)
        for arena, state in states.items():
            self._watches[arena].restore(arena, state, moves[arena], end_s)

    def known(self, states: Mapping[Arena, State], moves: Moves) -> set[int]:
        """Give the subjects of which some stream was watched in states."""
        found: set[int] = set()
        for arena, state in states.items():
            now, _ = self._watches[arena].known(state, moves[arena])
            found.update(np.unique(self._table.arenas[arena].subjects[now]).tolist())
        return found

    def rule_of(self, arena: Arena, row: int, name: str) -> Rule | None:
        """Give the rule of this name that watches a row, if any does."""
        watch = self._watches.get(arena)
        own = watch.rules.get(row, ()) if watch is not None else ()
        return next((rule for rule in own if rule.name == name), None)

    # ---- a look

    def count(self, arena: Arena, pairs: Pairs, end_s: float) -> None:
        """Take in the counts of a pane that closed at `end_s`."""
        watch = self._watches.get(arena)
        if watch is None or not watch.rules:
            return
        flat, held = pairs
        rows = watch.engine.observe(flat, held, end_s)
        rises = watch.engine.evidence[rows] >= watch.alone[rows] - RISE
        low = rows[~rises]
        watch.since_s[low] = end_s
        fallen = low[watch.is_followed[low]]
        watch.cells[fallen] = 0.0
        watch.is_followed[fallen] = watch.told[fallen] != Watch.NOT_RAISED
        watch.is_followed[rows[rises]] = True
        if watch.is_followed[rows].any():
            self._follow(watch, flat, held, end_s)
        watch.last_s[rows] = end_s

    def _follow(self, watch: Watch, flat: IntArray, held: CountArray, end_s: float) -> None:
        """Add up what was seen of some rows since their evidence rose; and the way back of those alerted."""
        row = flat // watch.engine.classes.shape[1]
        is_followed = watch.is_followed[np.minimum(row, len(watch.alone) - 1)] & (row < len(watch.alone))
        found = summed(watch.engine.classes, FEATURES[Arena.VALUES], flat[is_followed], held[is_followed])
        if found is None:
            return
        rows, cells = found[0], found[1][:, -CELLS:]
        watch.cells[rows] += cells
        is_raised = watch.told[rows] != Watch.NOT_RAISED
        rows, cells = rows[is_raised], cells[is_raised]
        logs = np.einsum("ij,ij->i", watch.back[rows].astype(np.float64), cells.astype(np.float64))
        odds = watch.returned[rows] + np.maximum(end_s - watch.last_s[rows], 0.0)
        watch.returned[rows] = np.minimum(odds * np.exp(np.clip(logs, -STEP_MAX, STEP_MAX)), RETURN_MAX)

    def look(self, book: AlertBook, end_s: float) -> Iterator[Observation]:
        """Give what there is to say after a pane: of streams that change now, and what is new of those alerted."""
        for arena, watch in self._watches.items():
            yield from self._said_again(arena, watch, book, end_s)
            yield from self._raise_all(arena, watch, end_s)

    # ---- those that change

    def _raise_all(self, arena: Arena, watch: Watch, end_s: float) -> Iterator[Observation]:
        """Raise the streams whose odds suffice, model by model; those alerted count, but are not asked again."""
        evidence = watch.engine.evidence[: len(watch.alone)].astype(np.float64)
        is_asked = (watch.told[: len(evidence)] == Watch.NOT_RAISED) & (watch.not_before_s[: len(evidence)] <= end_s)
        high = (evidence >= self._budget.drift_nats(1)) & np.isfinite(watch.alone[: len(evidence)])
        left = RAISES_MAX
        for subject in np.unique(watch.subject[: len(evidence)][high & is_asked]).tolist():
            own = np.flatnonzero(high & (watch.subject[: len(evidence)] == subject))
            rejected, needed = self._rejected(evidence, own, self._streams[subject])
            chosen = rejected[is_asked[rejected]]
            begun_s, told = self._waves.get(subject, (-np.inf, 0))
            begun_s, told = (begun_s, told) if end_s - begun_s <= WAVE_S else (end_s, 0)
            raised = [row for row in chosen[:left].tolist() if self._raise(arena, watch, row, (needed, end_s))]
            left -= len(chosen[:left])
            if raised:
                self._waves[subject] = begun_s, told + len(raised)
            for rank, row in enumerate(raised, start=told + 1):
                own_words = watch.raised[row]
                own_words.observed = [
                    replace(one, rank=rank, together=told + len(raised)) for one in own_words.observed
                ]
                yield from own_words.observed

    def _rejected(self, evidence: FloatArray, rows: IntArray, streams: int) -> tuple[IntArray, float]:
        """Give the rows whose change is told, by e-BH, greatest evidence first, and what each had to reach."""
        ordered = rows[np.argsort(-evidence[rows], kind="stable")]
        ranks = np.arange(1, len(ordered) + 1)
        needed = self._budget.drift_nats(1) + np.log(streams / ranks)
        reached = np.flatnonzero(evidence[ordered] >= needed)
        count = int(reached[-1]) + 1 if reached.size else 0
        return ordered[:count], float(needed[max(0, count - 1)])

    def _raise(self, arena: Arena, watch: Watch, row: int, terms: tuple[float, float]) -> bool:
        """Raise a stream if what changed is not negligible; else look again when it has lasted a while longer."""
        needed, end_s = terms
        place = watch.place(arena, row)
        measured = self._changes.measured(place, end_s)
        found = [(rule, seen) for rule in watch.rules[row] if (seen := measured.seen(rule)) >= Seen.YELLOW]
        if not found:
            watch.not_before_s[row] = end_s + PATIENCE * (end_s - measured.since_s)
            return False
        observed = [self._changes.observation(place, under, measured, needed) for under in found]
        watch.raised[row] = Raised(observed, is_pending=any(rule.for_s > 0 for rule, _ in found))
        watch.told[row], watch.returned[row], watch.is_followed[row] = Seen.HOLD, 0.0, True
        watch.silent_s[row] = max(window_s for rule, _ in found for window_s in rule.windows_s)
        self._note(watch, row, measured)
        return True

    def _note(self, watch: Watch, row: int, measured: Measured) -> None:
        """Take in what was measured of an alerted stream: its way back, and when to measure again.

        The way back is from the change alone: once its odds are beyond the age of the change, what came since is
        likely to be of the return, and would hide in it. Odds stay valid, as each factor is known before its values.
        """
        age_s = measured.at_s - measured.since_s
        if watch.returned[row] <= age_s:
            watch.back[row] = measured.way_back()
        watch.next_s[row] = measured.at_s + float(np.clip(PATIENCE * age_s, *MEASURED_EVERY_S))

    # ---- those alerted

    def _said_again(self, arena: Arena, watch: Watch, book: AlertBook, end_s: float) -> Iterator[Observation]:
        """Give what is new of alerted streams: measured anew, back, silent, or still to last before they fire."""
        rows = np.fromiter(watch.raised, np.int64, len(watch.raised))
        if not rows.size:
            return
        is_silent = end_s - watch.last_s[rows] > watch.silent_s[rows]
        seen = np.where(watch.returned[rows] >= RETURN_S, Seen.CLEAR, np.where(is_silent, Seen.UNKNOWN, Seen.HOLD))
        is_changed, is_due = seen != watch.told[rows], watch.next_s[rows] <= end_s
        measured = np.flatnonzero(is_due & (seen == Seen.HOLD))
        measured = measured[np.argsort(watch.next_s[rows[measured]], kind="stable")][:MEASURES_MAX]
        is_due[seen == Seen.HOLD] = False
        is_due[measured] = True
        is_pending = np.fromiter((raised.is_pending for raised in watch.raised.values()), bool, len(rows))
        watch.told[rows] = seen
        for at in np.flatnonzero(is_changed | is_due | is_pending).tolist():
            row, said = int(rows[at]), Seen(int(seen[at]))
            raised = watch.raised[row]
            states = [alert.state for one in raised.observed if (alert := book.get((one.rule.name, one.key)))]
            if not states:
                watch.end(row, end_s)
                continue
            raised.is_pending = AlertState.PENDING in states
            if is_changed[at]:
                watch.next_s[row] = end_s + _wait_s(raised, said)
            elif is_due[at] and said is Seen.HOLD:
                self._measure_again(arena, watch, row, end_s)
            yield from (one if said is Seen.HOLD else replace(one, seen=said) for one in raised.observed)

    def _measure_again(self, arena: Arena, watch: Watch, row: int, end_s: float) -> None:
        """Measure an alerted stream; a rule that was not passed before may be so now."""
        raised, place = watch.raised[row], watch.place(arena, row)
        measured, first = self._changes.measured(place, end_s), raised.observed[0]
        known = {one.rule.name: one.seen for one in raised.observed}
        found = [(rule, measured.seen(rule, known.get(rule.name, Seen.HOLD))) for rule in watch.rules[row]]
        raised.observed = [
            replace(
                self._changes.observation(place, (rule, seen), measured, first.evidence_needed),
                rank=first.rank,
                together=first.together,
                change=first.change,
            )
            for rule, seen in found
            if rule.name in known or seen >= Seen.YELLOW
        ]
        self._note(watch, row, measured)


def _wait_s(raised: Raised, seen: Seen) -> float:
    """Give how long there is nothing to add once this was said of an alert: the book only waits for it to last."""
    if seen is Seen.CLEAR:
        return min(one.rule.keep_firing_for_s for one in raised.observed)
    return min(max(one.rule.windows_s) for one in raised.observed) if seen is Seen.UNKNOWN else 0.0
