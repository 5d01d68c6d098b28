"""The judge: windows of counts against references, by the rules of each model, once per closed pane.

A line is one rule on one stream. Lines of one statistic and arena are judged together, as arrays, whatever their
models, so a look costs the same for one model with a thousand streams as for a thousand models with one. A look never
sees an event: its cost does not depend on traffic.

Windows are judged from the shortest to the longest, and the first that proves something decides: a strong breach fires
from a short window, a faint one from a long window, and a long window that still remembers an incident is overruled
once a shorter one proves that it is over: then, and for as long as it remembers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.alerts import Observation
from monitor.bins import Arena
from monitor.counts import Pairs
from monitor.docket import Docket
from monitor.domain import AlertState, Band, BoolArray, IntArray, Seen, Transition
from monitor.judge_state import Identity
from monitor.lines import Lines, Where
from monitor.onsets import Limit, Over
from monitor.verdicts import together

PATIENCE: Final = 0.1
"""Share of its age after which a breach with too few samples is looked at again."""
PASTS_MAX: Final = 100
"""Lines whose past is looked through at one look: a millisecond each."""
OVER_EVERY_S: Final = 60.0
"""How often the past of an alert is asked whether it is over, where no window is of the right length to say so."""
OVER_EVIDENCE: Final = 9.2
"""Nats that it must be proven with (one in ten thousand), for every suffix of the past is asked."""
OVERS_MAX: Final = 10
"""Alerts whose past is asked at one look: a millisecond each."""
CHANGES: Final = {"null_rate": "missing values", "unseen_rate": "new category", "out_of_range_rate": "out of range"}
"""The kind of change that a statistic is by itself."""


class Judge(Docket):
    """Judges what is on the docket. Called by the pipeline, in the loop thread."""

    def count(self, arena: Arena, pairs: Pairs, end_s: float) -> None:
        """Take in the counts of a pane that has closed, before the look at its end; of an incomplete one, nothing."""
        if self._incomplete.touch(end_s - self._terms.pane_s, end_s):
            return
        self._drifts.count(arena, pairs, end_s)
        self._watchmen.count(arena, pairs)
        for (_, place), tracks in self._tracks.items():
            if place is arena:
                tracks.observe(*pairs, end_s)

    def look(self, pane: int, end_s: float) -> list[Transition]:
        """Judge the windows that are due at the end of a pane; give the alerts that changed."""
        self._end_s, self._pasts, self._overs = end_s, 0, 0
        self._incomplete.forget(end_s)
        transitions = self._remove_gone(end_s)
        self._refresh()
        self._end_tracks()
        due = [i for i, every in enumerate(self._terms.every) if (pane + 1) % every == 0]
        subjects = self._alerted_subjects()
        for where, lines in self._lines.items():
            alerted = np.isin(lines.subject, subjects.get(where[0], []))
            if where in self._tracks:
                transitions += self.book.advance(self._reached(where, lines), end_s, self._date)
                if not alerted.any():
                    lines.seen[:] = Seen.UNKNOWN  # windows only say when an alert ends, and what they said is old then
                    continue
            for window in reversed(due):  # so that what a long window finds, the shorter ones look at too
                is_watched = alerted | (lines.seen >= Seen.YELLOW).any(axis=0)
                lines.seen[window] = self._verdicts.seen(where, lines, window, is_watched, end_s)
            transitions += self.book.advance(self._observations(where, lines, alerted), end_s, self._date)
        for window in due:
            self.drift_looks.count(self._lines, window, self._terms.windows_s[window])
        for own in (self._drifts, self._watchmen):
            transitions += self.book.advance(own.look(self.book, end_s), end_s, self._date)
        burning = self.burns.look(self.book, self._incomplete, pane, end_s)
        transitions += self.book.advance(burning, end_s, self._date)
        if self._kpis is not None:
            kpis = self._kpis.look(self.book, due, end_s, self._incomplete)
            transitions += self.book.advance(kpis, end_s, self._date)
        odd = self.anomalies.look(self.book, end_s, self._incomplete)
        return transitions + self.book.advance(odd, end_s, self._date)

    def _alerted_subjects(self) -> dict[str, list[int]]:
        """Give the subjects that have alerts, by statistic."""
        alerted: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for statistic, *model in self.book.alerted:
            alerted[statistic].add((model[0], model[1]))
        return {
            statistic: [s.index for s in self._table.subjects if (s.model, s.model_version) in models]
            for statistic, models in alerted.items()
        }

    def _end_tracks(self) -> None:
        """Begin anew the tracks of alerts that have ended: what they told of is over."""
        ended: dict[Where, list[tuple[int, int]]] = defaultdict(list)
        for identity in [identity for identity in self._memory.begun if identity not in self.book]:
            where, rule, row = self._memory.begun.pop(identity)
            ended[where].append((rule, row))
            self._memory.over.pop(identity, None)
        for where, names in ended.items():
            self._tracks[where].restart(names, self._end_s)

    # ---- a look

    def _observations(self, where: Where, lines: Lines, alerted: BoolArray) -> Iterator[Observation]:
        """Give what the windows say together, for the lines that breach or have an alert."""
        verdict, decided_by = together(lines)
        of_interest = alerted | (verdict >= Seen.YELLOW)
        chosen: list[int] = []
        for i in np.flatnonzero(of_interest).tolist():
            rule, key = self._rules[int(lines.rule[i])], self._table.arenas[where[1]].keys[int(lines.row[i])]
            seen, window = Seen(int(verdict[i])), int(decided_by[i])
            alert = self.book.get((rule.name, key))
            if alert is not None:
                if where in self._tracks and seen is not Seen.CLEAR:
                    verdict[i] = seen = self._seen_over(where, lines, i, (seen, window))
                elif seen is Seen.CLEAR and not self._began_after(where[1], window, alert.since_s):
                    verdict[i] = seen = Seen.HOLD
                if seen is Seen.CLEAR:
                    self._memory.ended[rule.name, key] = (self._end_s, window)
            elif seen < Seen.YELLOW or where in self._tracks or self._remembers((rule.name, key), where[1], window):
                continue
            chosen.append(i)
        at = np.array(chosen, dtype=np.int64)
        for window in np.unique(decided_by[at]).tolist():
            yield from self._observe(where, lines, at[decided_by[at] == window], (verdict, window))

    def _began_after(self, arena: Arena, window: int, since_s: float) -> bool:
        """Tell whether a window holds nothing from before an onset: what was good then says nothing of now."""
        return self._end_s - self._views.of(arena, window).span_s >= since_s

    def _limit(self, where: Where, lines: Lines, line: int, threshold: float) -> Limit:
        return Limit(where, int(lines.row[line]), float(lines.sign[line]), threshold)

    def _seen_over(self, where: Where, lines: Lines, line: int, said: tuple[Seen, int]) -> Seen:
        """Give what is seen of an alert that windows do not clear, now that its past is asked, too.

        It may prove what no window does, for its suffixes are of all lengths; a shorter one overrules a window that
        still remembers. Where windows hold too little to say anything, it tells silence from few samples.
        """
        seen, window = said
        over = self._asked(where, lines, line)
        if over.since_s is not None:
            began_s = self._end_s - self._views.of(where[1], window).span_s
            if seen < Seen.YELLOW or began_s < over.since_s:
                return Seen.CLEAR
        return Seen.HOLD if seen is Seen.UNKNOWN and not over.is_silent else seen

    def _asked(self, where: Where, lines: Lines, line: int) -> Over:
        """Give what the past of an alert says, as of the last minute."""
        rule, key = self._rules[int(lines.rule[line])], self._table.arenas[where[1]].keys[int(lines.row[line])]
        alert = self.book.get((rule.name, key))
        asked_s, over = self._memory.over.get((rule.name, key), (-np.inf, Over(None, is_silent=False)))
        if alert is None or self._end_s - asked_s < OVER_EVERY_S or self._overs >= OVERS_MAX:
            return over
        self._overs += 1
        limit = self._limit(where, lines, line, float(lines.lowest[line]))
        onset_s = max(alert.since_s, self._incomplete.last_s)  # what lacks messages proves nothing
        least = (OVER_EVIDENCE, onset_s, self._end_s - 2.0 * max(rule.windows_s))
        over = self._onsets.over(limit, float(lines.clear[line]), rule.samples_min, least)
        self._memory.over[rule.name, key] = self._end_s, over
        return over

    def _windows(self, where: Where, lines: Lines, line: int) -> int:
        """Give how many windows in a row are beyond a line's limit, of the length of which most are."""
        rule = self._rules[int(lines.rule[line])]
        limit = self._limit(where, lines, line, float(lines.lowest[line]))
        whole = [
            window_s
            for window_s in rule.windows_s
            if not self._incomplete.touch(self._end_s - rule.for_windows * window_s, self._end_s)
        ]
        asked = (self._onsets.in_a_row(limit, window_s, rule.samples_min, rule.for_windows) for window_s in whole)
        return max(asked, default=0) if rule.for_windows > 1 else 1

    def _reached(self, where: Where, lines: Lines) -> Iterator[Observation]:
        """Give the lines whose threshold is certainly passed by all that came since, whatever the windows say."""
        tracks, keys = self._tracks[where], self._table.arenas[where[1]].keys
        for line in tracks.reached(self._end_s).tolist():
            rule, key = self._rules[int(lines.rule[line])], keys[int(lines.row[line])]
            identity = (rule.name, key)
            alert = self.book.get(identity)
            is_settled = alert is not None and alert.state is AlertState.FIRING
            if is_settled or self._memory.not_before_s.get(identity, -np.inf) > self._end_s:
                continue
            if self._pasts >= PASTS_MAX:
                return  # the rest has its turn at the next looks
            observation = self._since_onset(where, lines, line)
            if observation is not None:
                self._memory.begun[identity] = (where, int(lines.rule[line]), int(lines.row[line]))
                yield observation

    def _since_onset(self, where: Where, lines: Lines, line: int) -> Observation | None:
        """Put a line into words by what came since its onset; None while that is too little to tell."""
        self._pasts += 1
        tracks, row = self._tracks[where], int(lines.row[line])
        rule, key = self._rules[int(lines.rule[line])], self._table.arenas[where[1]].keys[row]
        own = (rule.samples_min, float(tracks.since_s[line]))
        nats, needed = float(tracks.evidence[line]), float(lines.nats[line])
        lowest, red = float(lines.lowest[line]), float(lines.red[line])
        passed = self._onsets.passed(self._limit(where, lines, line, lowest), *own)
        if not passed.is_told:
            self._memory.not_before_s[rule.name, key] = self._end_s + PATIENCE * (self._end_s - passed.since_s)
            return None
        self._memory.not_before_s.pop((rule.name, key), None)
        is_red = np.isnan(lines.yellow[line])
        if lines.sign[line] * (passed.value - red) > 0 and not is_red:
            as_red = self._onsets.passed(self._limit(where, lines, line, red), *own)
            if as_red.is_told and as_red.nats >= needed:
                passed, is_red = as_red, True
        return Observation(
            rule=rule,
            key=key,
            seen=Seen.RED if is_red else Seen.YELLOW,
            value=passed.value,
            threshold=red if is_red else lowest,
            interval=passed.interval,
            samples=passed.samples,
            evidence=nats,
            evidence_needed=needed,
            window_s=self._end_s - passed.since_s,
            reference=self._reference_of(lines, line),
            where=where,
            row=row,
            since_s=passed.since_s,
            windows=self._windows(where, lines, line),
            change=CHANGES.get(where[0], ""),
            lineage=self._table.subjects[int(lines.subject[line])].lineage,
        )

    def _reference_of(self, lines: Lines, line: int) -> str:
        reference = self._table.subjects[int(lines.subject[line])].reference
        return reference.identity if reference else ""

    def _remembers(self, identity: Identity, arena: Arena, window: int) -> bool:
        """Tell whether a window still holds an incident that a shorter one has proven to be over."""
        ended_s, ended_by = self._memory.ended.get(identity, (-np.inf, window))
        return window > ended_by and self._end_s - self._views.of(arena, window).span_s < ended_s

    def _observe(
        self, where: Where, lines: Lines, at: IntArray, decided: tuple[npt.NDArray[np.int8], int]
    ) -> Iterator[Observation]:
        """Put the evidence of some lines, all decided by one window, into words' reach."""
        verdict, window = decided
        detector, rows = self._detectors[where[0]], lines.row[at]
        view = self._views.some(where[1], window, rows)
        measure = detector.measure(view)
        threshold = np.where(verdict[at] == Seen.RED, lines.red[at], lines.lowest[at])
        evidence, needed = lines.sign[at] * detector.evidence(view, measure, threshold), lines.needed[at]
        if where in self._tracks:  # what was decided by odds goes on being told in odds, whatever windows say meanwhile
            evidence, needed = np.maximum(self._tracks[where].evidence[at], 0.0), lines.nats[at]
        keys = self._table.arenas[where[1]].keys
        for i, line in enumerate(at.tolist()):
            rule, key, seen = self._rules[int(lines.rule[line])], keys[int(rows[i])], Seen(int(verdict[line]))
            alert = self.book.get((rule.name, key))
            if alert is not None and alert.band is Band.RED and seen is Seen.YELLOW:
                is_milder = lines.sign[line] * (measure.value[i] - lines.red[line]) <= 0
                seen, threshold[i] = (seen, threshold[i]) if is_milder else (Seen.RED, lines.red[line])
            yield Observation(
                rule=rule,
                key=key,
                seen=seen,
                value=float(measure.value[i]),
                threshold=float(threshold[i]),
                interval=(float(measure.low[i]), float(measure.high[i])),
                samples=int(measure.samples[i]),
                evidence=float(evidence[i]),
                evidence_needed=float(needed[i]),
                window_s=view.span_s,
                reference=self._reference_of(lines, line),
                where=where,
                row=int(rows[i]),
                windows=self._windows(where, lines, line) if seen >= Seen.YELLOW else 0,
                change=CHANGES.get(where[0], ""),
                lineage=self._table.subjects[int(lines.subject[line])].lineage,
            )

    def _date(self, seen: Observation) -> float:
        """Estimate the onset, if it is not known: the start of the suffix of the past with the strongest evidence.

        When very many alerts begin at one look, only the first are dated so; the rest with their window's start.
        """
        if seen.since_s is not None:
            return seen.since_s
        began_s = self._end_s - seen.window_s
        self._pasts += 1
        if self._pasts > PASTS_MAX:
            return began_s
        sign = 1.0 if seen.rule.is_above else -1.0
        dated_s = self._onsets.date(Limit(seen.where, seen.row, sign, seen.threshold))
        return began_s if dated_s is None else dated_s
