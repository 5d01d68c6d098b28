"""Changes: what a stream has become, measured against its reference and put into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import rel_entr

from monitor.alerts import Observation
from monitor.bins import VALUE_SPANS, Arena
from monitor.detectors.divergence import Divergence
from monitor.detectors.groups import shares_of_counts
from monitor.detectors.psi import psi_divergence
from monitor.domain import BoolArray, CountArray, FloatArray, Kind, Seen
from monitor.histograms import histogram_of
from monitor.rules import DRIFT, Rule
from monitor.sequential.alternatives import change_of
from monitor.sequential.engine import Engine
from monitor.sequential.kinds import kind_of
from monitor.sequential.normal import Normal
from monitor.sequential.scores import CELL_OF_CLASS, CELLS, CLASSES
from monitor.streams import StreamTable
from monitor.views import Views

CERTAIN: Final = 6.9
"""Nats for the true drift being beyond red (one in a thousand), before it is told as red."""
PICTURE_EVENTS: Final = 5_000.0
"""Events that give a clear picture of a stream: where the past holds so many, what came before it is not needed."""
PRUDENT_OVER: Final = 500.0
"""Events in which a return to the reference is usually proven."""
BACK_MAX: Final = 12.0
"""Nats that one value may speak for the reference."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stream as the engine knows it. begun_s: when its odds began. since_s, cells: their excursion."""

    arena: Arena
    row: int
    engine: Engine
    subject: int
    since_s: float
    begun_s: float
    cells: FloatArray


@dataclass(frozen=True, slots=True)
class Measured:
    """What a stream has been since a time. divergence: from the reference, in PSI. prudence: see _prudence.

    counts: of its value bins, shape (B,); cells, reference: of the engine's cells.
    """

    since_s: float
    at_s: float
    divergence: Divergence
    counts: CountArray
    cells: FloatArray
    reference: FloatArray
    prudence: float

    @property
    def value(self) -> float:
        """PSI over the engine's cells, less its noise floor."""
        return float(self.divergence.excess()[0])

    @property
    def samples(self) -> int:
        """How many values it rests on."""
        return int(self.cells.sum())

    def seen(self, rule: Rule, before: Seen = Seen.HOLD) -> Seen:
        """Give what it is under a rule: red once certainly beyond it, yellow where not negligible, else neither.

        before: what it was; red stays red until it no longer looks like it.
        """
        if self.samples < rule.samples_min:
            return Seen.HOLD
        if rule.red is not None:
            nats = float(self.divergence.evidence(np.array([rule.red.value]))[0])
            least = 0.0 if before is Seen.RED else CERTAIN
            if nats * self.prudence >= least and self.value > rule.red.value:
                return Seen.RED
        return Seen.YELLOW if rule.yellow is not None and self.value >= rule.yellow.value else Seen.HOLD

    def way_back(self) -> FloatArray:
        """Give the log likelihood of a value in each cell, under the reference over what was seen, drawn back to it.

        What noise explains of the distance is left out (James and Stein), and no cell is believed to be empty on the
        word of a few values: as if one more had come for each cell, by the reference.
        """
        reference = self.reference / self.reference.sum()
        gap = self.cells / max(self.cells.sum(), 1.0) - reference
        kept = self.value / max(float(self.divergence.raw[0]), 1e-12)
        kept = min(kept, self.samples / (self.samples + CELLS))
        back: FloatArray = -np.log1p(kept * gap / reference) * self.prudence
        return np.clip(back, -BACK_MAX, BACK_MAX)


class Changes:
    """Measures streams and words what they have become. Cost: about a millisecond each."""

    def __init__(self, table: StreamTable, views: Views) -> None:
        self._table = table
        self._views = views

    def measured(self, place: Place, end_s: float) -> Measured:
        """Measure what changed: over the suffix of the past that is least likely to be of the reference.

        The past is held for a day or so. Of streams so quiet that this is no clear picture, the excursion of the
        evidence is a suffix, too.
        """
        view, starts = self._views.suffixes(place.arena, place.row)
        is_own = starts >= place.begun_s
        is_own[0] = True
        starts = starts[is_own]
        values = view.counts[is_own, : VALUE_SPANS[place.arena]]
        held = _in_cells(place.engine, place.row, view.counts[is_own])
        reference = place.engine.cells[place.row].astype(np.float64) * float(place.engine.events[place.row])
        if place.since_s < starts[-1] and held[-1].sum() < PICTURE_EVENTS:
            starts, held = np.append(starts, place.since_s), np.concatenate([held, place.cells[None, :]])
        best = int(np.argmax(_likelihood_ratios(held, reference)))
        prudence = _prudence(self._table.normals[place.arena, place.row])
        counts = values[min(best, len(values) - 1)]  # of an excursion from before the past that is held: of all of that
        divergence = _divergence(held[best], reference)
        return Measured(float(starts[best]), end_s, divergence, counts, held[best], reference, prudence)

    def observation(self, place: Place, under: tuple[Rule, Seen], measured: Measured, needed: float) -> Observation:
        """Put what was measured into words, under one of the stream's rules and what was seen."""
        (rule, seen), measure = under, measured.divergence.measure()
        level = rule.red if seen is Seen.RED or rule.yellow is None else rule.yellow
        assert level is not None, "a drift rule has a level"
        rows, subject = self._table.arenas[place.arena], self._table.subjects[place.subject]
        return Observation(
            rule=rule,
            key=rows.keys[place.row],
            seen=seen,
            value=measured.value,
            threshold=level.value,
            interval=(float(measure.low[0]), float(measure.high[0])),
            samples=measured.samples,
            evidence=float(place.engine.evidence[place.row]),
            evidence_needed=needed,
            window_s=measured.at_s - measured.since_s,
            reference=subject.reference.identity if subject.reference else "",
            where=(DRIFT, place.arena),
            row=place.row,
            since_s=measured.since_s,
            change=self._change(place, measured),
            histogram=histogram_of(self._table, place.arena, place.row, place.engine, measured.cells),
            lineage=subject.lineage,
        )

    def _change(self, place: Place, measured: Measured) -> str:
        """Give the kind of change in words; categories have no order: theirs is of shape unless a new one came."""
        rows, row = self._table.arenas[place.arena], place.row
        loudest = change_of(place.engine.leader(row))
        if rows.kinds[row] is Kind.CATEGORICAL:
            return {"new values": "new category", "collapse": "collapse"}.get(loudest, "shape")
        if not measured.counts.any():  # it began before the past that is held, and little came since
            return loudest
        bins = len(measured.counts)
        return kind_of(measured.counts, rows.reference[row, :bins], place.engine.classes[row, :bins])


def _divergence(cells: FloatArray, reference: FloatArray) -> Divergence:
    """Give the PSI of two rows of cells, over those that are of any use: empty ones would count as noise."""
    is_used: BoolArray = (reference >= 0.5) | (cells > 0.0)
    return psi_divergence(shares_of_counts(cells[None, is_used], reference[None, is_used]))


def _likelihood_ratios(held: FloatArray, reference: FloatArray) -> FloatArray:
    """Give the log likelihood ratio of each row of cells, shape (n, CELLS), being another distribution: n KL + m KL.

    As it is, for its maximum estimates the onset. Williams' correction (see g_evidence) would hide short suffixes: it
    is great where a cell, such as that of novel values, has next to nothing in the reference.
    """
    n, m = held.sum(axis=1, keepdims=True), reference.sum()
    pooled = (held + reference) / (n + m)
    own = rel_entr(held / np.maximum(n, 1.0), pooled).sum(axis=1) * n[:, 0]
    ratios: FloatArray = own + rel_entr(reference / m, pooled).sum(axis=1) * m
    return ratios


def _in_cells(engine: Engine, row: int, counts: CountArray) -> FloatArray:
    """Give how many of some counts of a row's bins, shape (n, width), lie in each cell, shape (n, CELLS)."""
    is_value = engine.classes[row] < CLASSES
    one_hot = CELL_OF_CLASS[engine.classes[row][is_value]][:, None] == np.arange(CELLS)
    cells: FloatArray = counts[:, is_value].astype(np.float64) @ one_hot
    return cells


def _prudence(normal: Normal) -> float:
    """Give the power to which likelihoods of some hundred events are raised: 1 where they are independent."""
    if normal.events is None or normal.inflation is None:
        return normal.scale
    level = min(int(np.searchsorted(normal.events, PRUDENT_OVER)), len(normal.events) - 1)
    return normal.scale / float(normal.inflation[:, level].max())
