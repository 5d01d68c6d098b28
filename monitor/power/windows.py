"""Delays of statistics that are judged in windows: how full of the change a window must be to prove it.

Windows are drawn, as many as say what is usual, with a growing share of changed values; each detector then judges them
itself, so whatever it is, noise floors and intervals included, what is told here is what it does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.bins import NO
from monitor.detectors.base import Detector, View
from monitor.domain import BoolArray, FloatArray
from monitor.rows import group_counts
from monitor.rules import Rule

Groups = npt.NDArray[np.int8]

DRAWS: Final = 15
"""Windows of each fill; half of them must prove it."""
FULL_DRAWS: Final = 160
"""Full ones: where each rarely proves it, one of many does."""
FILLS: Final = np.arange(1, 13) / 12.0
CHANCE_LEAST: Final = 0.02
"""Share of full windows that must prove a change, below which it is never told: a few of FULL_DRAWS."""
LOOKS: Final = 6.0
"""Independent looks in a window's length at windows that slide. Measured on PSI at one look a pane."""
SEED: Final = 1
"""The same configuration is told the same."""
SAMPLES_MAX: Final = 1e9
"""More values than this in a window prove all that can be proven."""


def delay_s(
    detector: Detector, rule: Rule, line: tuple[View, float, float], groups: Groups | None, shares: FloatArray
) -> float:
    """Give the seconds until a window of a rule usually proves a change, to a twelfth of it; infinity if none does.

    line: the stream as a view of one row, whose rate_per_s is that of all its values; the limit; the nats needed.
    groups: of each bin, shape (1, width), where the arena has them. shares: of all bins, shape (2, width), before and
    after.
    """
    found = [np.inf]
    for window_s in rule.windows_s:
        fills = np.concatenate([np.repeat(FILLS, DRAWS), np.ones(FULL_DRAWS)])
        proven = _proven(detector, rule, line, _drawn(line[0], groups, shares, (window_s, fills)))
        filling, full = proven[:-FULL_DRAWS].reshape(len(FILLS), DRAWS).mean(axis=1), proven[-FULL_DRAWS:].mean()
        if filling.max() >= 0.5:
            found.append(window_s * float(FILLS[int((filling >= 0.5).argmax())]))
        elif full >= CHANCE_LEAST:
            found.append(window_s * (1.0 + (1.0 / full - 1.0) / LOOKS))
    return min(found)


def _proven(detector: Detector, rule: Rule, line: tuple[View, float, float], windows: View) -> BoolArray:
    """Tell which windows prove that the limit is passed."""
    _, limit, needed = line
    measure = detector.measure(windows)
    nats = (1.0 if rule.is_above else -1.0) * detector.evidence(windows, measure, np.full(len(windows.counts), limit))
    is_proven: BoolArray = (nats >= needed) & (measure.samples >= rule.samples_min)
    return is_proven


def _repeated(view: View, times: int) -> View:
    """Give a view of one row as one of so many, all alike."""
    return replace(
        view,
        reference=np.repeat(view.reference, times, axis=0),
        reference_grouped=np.repeat(view.reference_grouped, times, axis=0),
        edges=np.repeat(view.edges, times, axis=0),
        groups_used=np.repeat(view.groups_used, times),
        scale=np.repeat(view.scale, times),
        low=np.repeat(view.low, times),
        rate_per_s=np.repeat(view.rate_per_s, times),
        silence_s=np.repeat(view.silence_s, times),
    )


def _drawn(view: View, groups: Groups | None, shares: FloatArray, window: tuple[float, FloatArray]) -> View:
    """Give windows of a span, one for each part of it that is after the change."""
    window_s, fills = window
    rng = np.random.default_rng(SEED)
    expected = min(float(view.rate_per_s[0]) * window_s, SAMPLES_MAX)
    counts = rng.poisson(expected * ((1.0 - fills[:, None]) * shares[0] + fills[:, None] * shares[1])).astype(np.uint32)
    windows = replace(_repeated(view, len(counts)), counts=counts, span_s=window_s)
    if groups is None:
        return windows
    return replace(windows, grouped=group_counts(counts, np.repeat(groups, len(counts), axis=0)))


def value_in_reference(detector: Detector, view: View) -> float:
    """Give the statistic of the reference itself, of a view of one row; NaN where there is none."""
    rate = float(view.rate_per_s[0])
    span_s = float(view.reference[0, NO]) / rate if rate > 0.0 else 0.0  # of events, so that volume is 1
    own = replace(view, counts=view.reference, grouped=view.reference_grouped, span_s=span_s)
    return float(detector.measure(own).value[0])
