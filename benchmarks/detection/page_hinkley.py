"""The table of `monitor/river/page_hinkley.py`: which threshold gives how many values between two false alarms.

    .venv/bin/python -m benchmarks.detection.page_hinkley

river's test with its other defaults, on independent N(0, 1), many streams at once. The interval is the values watched
until the first alarm, or to the end of a stream, over the alarms: an exposure over a count, as alarms start it anew.
"""

from __future__ import annotations

import numpy as np

DELTA, ALPHA, LEAST_VALUES = 0.005, 1.0 - 0.0001, 30
"""river's defaults."""
STREAMS, VALUES, CHECK_EVERY = 1_000, 1_000_000, 1_000
THRESHOLDS = np.arange(20.0, 601.0, 20.0)


def simulated() -> tuple[np.ndarray, np.ndarray]:
    """Give, for each threshold, the values watched until the first alarm, and the alarms, over all streams."""
    rng = np.random.default_rng(1)
    mean, rise, fall = np.zeros(STREAMS), np.zeros(STREAMS), np.zeros(STREAMS)
    lowest, highest, farthest = np.full(STREAMS, np.inf), np.full(STREAMS, -1.0), np.zeros(STREAMS)
    watched, quiet = np.zeros(len(THRESHOLDS)), np.full(len(THRESHOLDS), STREAMS)
    for n in range(1, VALUES + 1):
        value = rng.standard_normal(STREAMS)
        mean += (value - mean) / n
        value -= mean
        rise *= ALPHA
        rise += value - DELTA
        fall *= ALPHA
        fall += value + DELTA
        np.minimum(lowest, rise, out=lowest)
        np.maximum(highest, fall, out=highest)
        if n >= LEAST_VALUES:
            np.maximum(farthest, rise - lowest, out=farthest)
            np.maximum(farthest, highest - fall, out=farthest)
        if n % CHECK_EVERY == 0:
            watched += quiet * CHECK_EVERY
            quiet = STREAMS - (farthest[:, None] > THRESHOLDS).sum(axis=0)
    return watched, STREAMS - quiet


def main() -> None:
    """Print the table."""
    watched, alarms = simulated()
    for threshold, own, count in zip(THRESHOLDS.tolist(), watched.tolist(), alarms.tolist(), strict=True):
        print(f"threshold {threshold:4.0f}: {own / count if count else np.inf:.3g} values ({count} alarms)")


if __name__ == "__main__":
    main()
