from __future__ import annotations

import numpy as np
import pytest

from monitor.detectors.evidence import FACT_NATS
from monitor.detectors.volume import Silence, Volume
from tests.unit.detectors.views import SPAN_S, at, view_of


def counts_of(*events: int) -> np.ndarray:
    counts = np.zeros((len(events), 4), dtype=np.uint32)
    counts[:, 0] = events
    return counts


def test_volume_is_a_ratio_to_the_reference_rate() -> None:
    view = view_of(counts_of(600, 300, 0, 600, 600), rate_per_s=np.array([10.0, 10.0, 10.0, np.nan, 0.0]))
    measure = Volume().measure(view)

    assert SPAN_S == 60.0
    assert measure.value == pytest.approx([1.0, 0.5, 0.0, np.nan, np.nan], nan_ok=True)
    assert measure.samples.tolist() == [600.0, 600.0, 600.0, 0.0, 0.0]
    assert Volume().of_reference(view) == pytest.approx([1.0, 1.0, 1.0, np.nan, np.nan], nan_ok=True)


def test_a_window_without_events_is_the_strongest_evidence_of_too_few() -> None:
    """Nothing where 600 were due, against half of that: 300 nats below."""
    view = view_of(counts_of(0), rate_per_s=np.array([10.0]))

    assert Volume().evidence(view, Volume().measure(view), at(0.5, view))[0] == -300.0


def test_volume_evidence_by_hand() -> None:
    """900 against 600: 900 log(1.5) - 300 = 64.92; without a reference rate nothing is known."""
    view = view_of(counts_of(900, 900), rate_per_s=np.array([10.0, np.nan]))

    assert Volume().evidence(view, Volume().measure(view), at(1.0, view)) == pytest.approx([64.919, 0.0], abs=1e-3)


@pytest.mark.parametrize(
    ("silence_s", "rate_per_s", "threshold_s", "nats"),
    [
        (59.0, 2.0, 60.0, -FACT_NATS),
        (60.0, 2.0, 60.0, -FACT_NATS),
        (61.0, 2.0, 60.0, 122.0),
        (61.0, 0.001, 60.0, 0.061),
        (61.0, np.nan, 60.0, FACT_NATS),
        (59.0, np.nan, 60.0, -FACT_NATS),
        (61.0, 2.0, np.nan, 0.0),
        (np.nan, 2.0, 60.0, 0.0),
    ],
    ids=["short", "just so", "long", "long, but rare events", "no rate", "no rate, short", "no threshold", "unknown"],
)
def test_silence(silence_s: float, rate_per_s: float, threshold_s: float, nats: float) -> None:
    view = view_of(counts_of(0), rate_per_s=np.array([rate_per_s]), silence_s=np.array([silence_s]))
    measure = Silence().measure(view)

    assert nats == pytest.approx(Silence().evidence(view, measure, at(threshold_s, view))[0])
    assert silence_s == pytest.approx(measure.value[0], nan_ok=True)
