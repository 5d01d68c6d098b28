"""Rehearsals: evidence where nothing has changed scales all evidence down; independent streams keep theirs."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.bins import VALUE_BINS, VALUE_SPANS, WIDTHS, Arena
from monitor.domain import FloatArray
from monitor.sequential.normal import Normal
from monitor.sequential.rehearsal import BLOCKS, PEAKS, History, Peaks, Stage
from monitor.sequential.scores import classes_by_value

SECONDS = 5_000


def scales(evidence: FloatArray, from_s: float = 0.0) -> FloatArray:
    """Give the scale of streams by their evidence in each second, shape (S, seconds)."""
    peaks, rows = Peaks(PEAKS), np.arange(len(evidence))
    for row in rows.tolist():
        peaks.begin(row, from_s, SECONDS / BLOCKS, is_new=True)
    for second in range(evidence.shape[1]):
        peaks.observe(rows, evidence[:, second], from_s + second + 1.0)
    return np.array([peaks.scale(row) for row in rows.tolist()])


def foreseen(streams: int, seed: int = 1) -> FloatArray:
    """Give evidence whose peaks are as high as those of independent streams: one above x in exp(x) / 0.8 seconds."""
    chance = np.random.default_rng(seed).random((streams, SECONDS + 1))
    return np.log(PEAKS[0] / chance)


def test_peaks_as_high_as_foreseen_leave_evidence_as_it_is() -> None:
    found = scales(foreseen(200))
    assert np.median(found) > 0.97
    assert np.all((found > 0.5) & (found <= 1.0))


def test_peaks_twice_as_high_halve_evidence() -> None:
    assert np.all(scales(2.0 * foreseen(50)) < 0.75)


def test_the_higher_the_peaks_the_less_evidence_counts() -> None:
    evidence = foreseen(1)
    found = [scales(factor * evidence)[0] for factor in (1.0, 1.5, 2.0, 4.0)]
    assert sorted(found, reverse=True) == found
    assert 0.0 < found[-1] < 0.35


def test_an_unfinished_rehearsal_says_nothing() -> None:
    assert [1.0] == scales(np.full((1, 1), 50.0)).tolist()
    assert 1.0 == Peaks(PEAKS).scale(3)


def test_a_rehearsal_is_of_its_own_time_and_forgets_the_one_before() -> None:
    peaks, row = Peaks(PEAKS), np.array([0])
    for from_s in (0.0, 1e9):
        peaks.begin(0, from_s, SECONDS / BLOCKS, is_new=True)
        loud = 60.0 if from_s == 0.0 else 1.0
        for second in range(SECONDS + 1):
            peaks.observe(row, np.array([loud]), from_s + second + 1.0)
    assert 1.0 == peaks.scale(0)


def test_until_it_has_blocks_enough_what_the_one_before_said_holds() -> None:
    peaks, row = Peaks(PEAKS), np.array([0])
    peaks.begin(0, 0.0, SECONDS / BLOCKS, is_new=True)
    for second in range(SECONDS + 1):
        peaks.observe(row, np.array([40.0]), second + 1.0)
    before = peaks.scale(0)
    assert before < 0.5
    peaks.begin(0, 1e6, SECONDS / BLOCKS, is_new=False)
    assert before == peaks.scale(0)
    peaks.begin(0, 2e6, SECONDS / BLOCKS, is_new=True)
    assert 1.0 == peaks.scale(0)


def shares() -> FloatArray:
    found: FloatArray = np.exp(-0.5 * np.linspace(-3.0, 3.0, VALUE_BINS) ** 2)
    found /= found.sum()
    return found


def history(rows: int) -> History:
    return History(np.full(rows, float(SECONDS)), np.ones(rows, dtype=bool))


@pytest.mark.parametrize(("burst_bins", "least", "most"), [(0, 0.9, 1.0), (12, 0.0, 0.8)])
def test_bursts_that_nobody_foresaw_are_scaled_down(burst_bins: int, least: float, most: float) -> None:
    stage, width, streams = Stage(Arena.VALUES), WIDTHS[Arena.VALUES], 20
    counts = (shares() * SECONDS).astype(np.uint32)
    normal = Normal(classes_by_value(counts[None])[0])
    rng, rows, ones = np.random.default_rng(1), np.arange(streams), np.ones(streams, dtype=np.uint32)
    stage.begin(rows, np.tile(counts, (streams, 1)), [normal] * streams, 0.0, history(streams))
    bins = rng.choice(VALUE_BINS, p=shares(), size=(SECONDS + 2, streams))
    for second in range(SECONDS + 2):
        is_burst = second % 400 < 40
        own = np.clip(bins[second] + burst_bins * is_burst, 0, VALUE_BINS - 1)
        stage.observe(rows * width + own, ones, second + 1.0)
    found = np.median([stage.scale(row) for row in rows.tolist()])
    assert least <= found <= most


def test_yes_no_streams_are_rehearsed_as_rates() -> None:
    stage, width = Stage(Arena.FLAGS), WIDTHS[Arena.FLAGS]
    normal = Normal(np.arange(VALUE_SPANS[Arena.FLAGS], dtype=np.uint8))
    rng, quiet, loud = np.random.default_rng(1), 0, 1
    counts = np.tile(np.array([4_500, 500], dtype=np.uint32), (2, 1))
    stage.begin(np.array([quiet, loud]), counts, [normal] * 2, 0.0, history(2))
    ones = np.ones(2, dtype=np.uint32)
    for second in range(SECONDS + 2):
        rates = np.array([0.1, 0.6 if second % 400 < 40 else 0.05])
        stage.observe(np.arange(2) * width + (rng.random(2) < rates), ones, second + 1.0)
    assert stage.scale(loud) < 0.8 < stage.scale(quiet)
