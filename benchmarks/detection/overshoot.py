"""Where two constants of the engine come from: how far odds overshoot, and how high evidence peaks in quiet streams.

    python -m benchmarks.detection.overshoot [--quick]

Both are averages over families of independent values, of which the engine's guarantee is exact but for them:

* budget.OVERSHOOT: the mean interval between false alarms over the limit that odds must pass. Odds less time are a
  martingale, so the mean time is that of the odds when they pass, and they pass in a step, not at the limit. What is
  checked in is less: a margin for streams whose fluctuation had to be learned, see there.
* rehearsal.PEAKS and PEAKS_OF_RATES: the k-th greatest of the evidence's block maxima in a rehearsal of t seconds is
  log(t * PEAKS[k] / k) on average.
"""

from __future__ import annotations

import zlib
from unittest.mock import patch

import numpy as np

from benchmarks.detection.candidates import Past, Shape, Terms
from benchmarks.detection.driftd import candidate
from benchmarks.detection.families import FAMILIES, Family
from benchmarks.detection.measure import watch_quiet
from benchmarks.report import options, show
from monitor.domain import FloatArray
from monitor.sequential.budget import OVERSHOOT
from monitor.sequential.rehearsal import PEAKS, PEAKS_OF_RATES, TOPS, Peaks

INDEPENDENT = ("N(0,1)", "lognormal 1", "Pareto 2.5", "Zipf 50", "rate .001", "rate .01", "rate .05")
INTERVAL_S = 1e4
"""The limit that odds must pass."""
STREAMS, LOOKS, QUICK_LOOKS = 200, 60_000, 10_000
SEED = 11


def main() -> None:
    """Measure and print."""
    looks = QUICK_LOOKS if options(str(__doc__).splitlines()[0]).quick else LOOKS
    families = [family for family in FAMILIES if family.name in INDEPENDENT]
    overshoots = {family.name: overshoot(family, looks) for family in families}
    heights = {family.name: peaks(family) for family in families}
    is_rate = {family.name: family.kind.shape is Shape.RATE for family in families}
    rows = {"family": "overshoot, then PEAKS of the greatest to the fourth"}
    for name, (ratio, low, high) in overshoots.items():
        rows[name] = f"{ratio:.2f} ({low:.2f} to {high:.2f})  " + " ".join(f"{own:.2f}" for own in heights[name])
    figures = {"overshoot": float(np.mean([ratio for ratio, _, _ in overshoots.values()]))}
    for rates, label in ((False, "peaks"), (True, "peaks_of_rates")):
        # Of logarithms, since evidence is one.
        mean = np.exp(np.mean([np.log(own) for name, own in heights.items() if is_rate[name] is rates], axis=0))
        figures |= {f"{label}_{k + 1}": float(mean[k]) for k in range(TOPS)}
    rows["checked in"] = f"{OVERSHOOT}; {PEAKS}; of rates {PEAKS_OF_RATES}"
    show("Constants of the sequential engine, measured", rows, figures)


def overshoot(family: Family, looks: int) -> tuple[float, float, float]:
    """Give the interval between false alarms over the limit of the odds, with its 95 % interval."""
    # nats_for takes the overshoot off, so it is put on, and the limit is INTERVAL_S itself.
    quiet = watch_quiet(candidate(), family, INTERVAL_S * OVERSHOOT, STREAMS, looks, SEED)
    assert quiet is not None
    return quiet.interval_ratio(INTERVAL_S)


def peaks(family: Family) -> FloatArray:
    """Give what PEAKS would be by the last rehearsals of streams of a family, shape (TOPS,)."""
    seen: list[FloatArray] = []

    def scale(self: Peaks, row: int) -> float:
        usual = np.log(self._blocks[row] * self._block_s[row] / np.arange(1.0, TOPS + 1.0))
        seen.append(np.sort(self._tops[row])[::-1] - usual)
        return 1.0

    rng = np.random.default_rng([SEED, zlib.crc32(family.name.encode())])
    times_s = np.arange(family.past_looks, dtype=np.float64) * family.look_s
    past = Past(family.make(rng, STREAMS).block(times_s), times_s)
    with patch.object(Peaks, "scale", scale):
        candidate().watch(family.kind, past, Terms(INTERVAL_S))
    found: FloatArray = np.exp(np.mean(seen, axis=0))
    return found


if __name__ == "__main__":
    main()
