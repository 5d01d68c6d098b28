"""Traffic: how much there is beside the reference, and how long there was none."""

from __future__ import annotations

import numpy as np

from monitor.bins import NO
from monitor.detectors.base import Measure, View
from monitor.detectors.evidence import FACT_NATS, count_evidence, limit_of
from monitor.detectors.intervals import count_interval
from monitor.domain import FloatArray, Kind


class Volume:
    """Events per second in the window over the reference's: 1 is as usual, 0.5 is half the traffic.

    Samples: the greater of the events seen and the events expected, so that a window with none, where hundreds were
    due, rests on hundreds. Evidence: Chernoff's bound for a Poisson count against threshold * rate * span.
    Guarantee: exact for Poisson traffic; bursts and daily cycles make it too sure, so thresholds should leave room for
    them (0.5 and 2, not 0.95). NaN without a reference rate. Cost: O(S).
    """

    name = "volume"
    kinds = frozenset({Kind.VOLUME})
    needs_reference = True

    def measure(self, view: View) -> Measure:
        """Give the ratio with the interval of a Poisson count."""
        counts = view.counts[:, NO].astype(np.float64)
        expected = self._expected(view)
        low, high = count_interval(counts)
        return Measure(
            value=counts / expected,
            samples=np.fmax(np.where(np.isnan(expected), 0.0, counts), np.nan_to_num(expected, nan=0.0)),
            low=low / expected,
            high=high / expected,
        )

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:  # noqa: ARG002
        """Give the signed evidence that the true ratio lies above the threshold."""
        mean = limit_of(threshold) * self._expected(view)
        return count_evidence(view.counts[:, NO].astype(np.float64), mean)

    def of_reference(self, view: View) -> FloatArray:
        """Give 1 where the reference's rate is known."""
        return np.where(np.isnan(self._expected(view)), np.nan, 1.0)

    def _expected(self, view: View) -> FloatArray:
        """Give the events due in the window, NaN where unknown or none."""
        expected = view.rate_per_s * view.span_s
        return np.where((expected > 0.0) & np.isfinite(expected), expected, np.nan)


class Silence:
    """Seconds since the last event. Known, not estimated: below the threshold is a fact (-700 nats).

    Above it, with a reference rate: rate * silence nats, as exp(-rate * silence) is the chance that Poisson traffic
    stays away so long; a minute's silence is nothing to a stream of one event an hour, whatever the threshold.
    Without a rate only the person's threshold speaks, and passing it is a fact (700 nats).
    Samples: 1, the one gap seen. Guarantee: exact for Poisson traffic; a daily cycle needs a threshold above its quiet
    hours. Cost: O(S).
    """

    name = "silence"
    kinds = frozenset({Kind.VOLUME})
    needs_reference = False

    def measure(self, view: View) -> Measure:
        """Give the silence; its interval is itself."""
        value = np.where(np.isfinite(view.silence_s), view.silence_s, np.nan)
        samples = np.where(np.isnan(value), 0.0, 1.0)
        return Measure(value=value, samples=samples, low=value.copy(), high=value.copy())

    def evidence(self, view: View, measure: Measure, threshold: FloatArray) -> FloatArray:
        """Give the signed evidence that the silence is beyond the threshold and beyond chance."""
        silence_s = measure.value
        has_rate = np.isfinite(view.rate_per_s) & (view.rate_per_s > 0.0)
        chance = np.where(has_rate, view.rate_per_s, 0.0) * silence_s
        nats = np.where(silence_s > threshold, np.where(has_rate, chance, FACT_NATS), -FACT_NATS)
        return np.where(np.isnan(threshold) | np.isnan(silence_s), 0.0, nats)

    def of_reference(self, view: View) -> FloatArray:
        """Give the mean gap between events in the reference, in seconds; NaN where its rate is unknown."""
        has_rate = np.isfinite(view.rate_per_s) & (view.rate_per_s > 0.0)
        return np.where(has_rate, 1.0 / np.where(has_rate, view.rate_per_s, 1.0), np.nan)
