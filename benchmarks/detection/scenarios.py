"""Streams in which something changes, with the exact divergence between after and before.

Before the onset a stream is of a quiet family; from the onset on its values are changed. A scenario of rows D3 to D5
belongs to the bar if `is_judged`; the rest are printed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from benchmarks.detection import families as f
from benchmarks.detection import limits
from benchmarks.detection.candidates import DAY_S, Shape, StreamKind
from monitor.domain import FloatArray

Change = Callable[[FloatArray, FloatArray, np.random.Generator], FloatArray]
"""From the values as they would have been, the events since the onset (1 at the first changed one), and a generator."""

ARL0_EVENTS = 1e5
CHARGED, MISSED = 10.0, 5.0
"""Times D*: what a miss costs, and what counts as one."""
MODE = 0.85
"""Of the shape scenario: half of the mass about -0.85, half about +0.85, so narrow that mean 0 and variance 1 stay."""
SPREAD = math.sqrt(1.0 - MODE**2)
CATEGORIES = 20
COLLAPSED = 0.3
"""The score that half of all scores become; it lies inside the third tenth of Beta(2, 2)."""
LATENCY_FACTOR = 1.5
UNSAFE_AFTER = 0.05


@dataclass(frozen=True, slots=True)
class Scenario:
    """One change: what it is, and how soon it could be known."""

    name: str
    row: str
    """Of the bar: D3, D4, D5, D7 or D8; empty if none."""
    before: f.Family
    after: Change
    kl: float
    """Nats per event, of after over before."""
    arl0_events: float = ARL0_EVENTS
    is_judged: bool = True
    quiet: str = ""
    """The family whose realised false-alarm interval stands for this one's; empty: none was measured."""
    complete_after: float = 0.0
    """Events from onset until the change is complete."""

    @property
    def limit_events(self) -> float:
        """Give D*, the least mean delay, in events."""
        return limits.optimal_delay(self.arl0_events, self.kl)

    @property
    def deadline_events(self) -> float:
        """Give the delay that a miss is charged with."""
        return self.complete_after + CHARGED * self.limit_events

    @property
    def missed_after_events(self) -> float:
        """Give the delay beyond which a change counts as missed."""
        return self.complete_after + MISSED * self.limit_events


def raised(shift: float) -> Change:
    """Add a constant."""
    return lambda values, _since, _rng: values + shift


def ramped(shift: float, over_events: float) -> Change:
    """Add what grows evenly to `shift`."""
    return lambda values, since, _rng: values + shift * np.minimum(since / over_events, 1.0)


def scaled(factor: float) -> Change:
    """Multiply."""
    return lambda values, _since, _rng: values * factor


def redrawn(draw: f.Draw) -> Change:
    """Draw anew; where a look had no event it still has none."""

    def change(values: FloatArray, _since: FloatArray, rng: np.random.Generator) -> FloatArray:
        return np.where(np.isnan(values), np.nan, draw(rng, (values.shape[0], values.shape[1])))

    return change


def replaced(share: float, by: float) -> Change:
    """Put one value in the place of a share of all."""
    return lambda values, _since, rng: np.where(rng.random(values.shape) < share, by, values)


def two_humps(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Draw from the even mixture of N(-MODE, SPREAD^2) and N(MODE, SPREAD^2): mean 0, variance 1."""
    return np.where(rng.random(shape) < 0.5, -MODE, MODE) + SPREAD * rng.standard_normal(shape)


def two_humps_density(x: float) -> float:
    """Give the density of two_humps."""
    return float(norm.pdf(x, -MODE, SPREAD) + norm.pdf(x, MODE, SPREAD)) / 2.0


def mean_shift(shift_sd: float, *, is_judged: bool = True) -> Scenario:
    """Give a shift of N(0, 1)."""
    kl = limits.kl_mean_shift(shift_sd)
    return Scenario(f"mean +{shift_sd:g} sd", "D3", NORMAL, raised(shift_sd), kl, is_judged=is_judged, quiet="N(0,1)")


def rate_change(before: float, after: float) -> Scenario:
    """Give a rate that rises beyond its limit, which a person set just where it was: the rule of a threshold."""
    kind = StreamKind(Shape.RATE, rate_threshold=before)
    family = f.independent(f"rate {before:g}", kind, f.yes_no(before))
    kl = limits.kl_rate(before, after)
    return Scenario(f"rate {before:g} to {after:g}", "D4", family, redrawn(f.yes_no(after)), kl, quiet="rate rule .01")


def rate_drift(before: float, after: float) -> Scenario:
    """Give the same where nobody set a limit: what it was must be learned from a past of 10,000 events."""
    family = f.independent(f"learned rate {before:g}", f.RATE, f.yes_no(before))
    kl = limits.kl_rate(before, after)
    name = f"learned rate {before:g} to {after:g}"
    return Scenario(name, "", family, redrawn(f.yes_no(after)), kl, is_judged=False, quiet="rate .01")


def newcomer(share: float, *, is_judged: bool = True) -> Scenario:
    """Give a category never seen, from 20 of equal share (its KL: see shares_with_newcomer)."""
    known = np.full(CATEGORIES, 1.0 / CATEGORIES)
    family = f.independent("20 categories", f.CATEGORICAL, f.codes(known))
    kl = limits.kl_shares(*limits.shares_with_newcomer(known, f.PAST_EVENTS, share))
    change = replaced(share, float(CATEGORIES))
    return Scenario(f"new category {share:.0%}", "D5", family, change, kl, is_judged=is_judged, quiet="Zipf 50")


def collapse() -> Scenario:
    """Give scores of Beta(2, 2) half of which become 0.3.

    KL is infinite there too, for who knows that no score ever comes twice; it is that of the ten groups of equal mass
    before, one of which takes in half of all.
    """
    before = np.full(10, 0.1)
    after = before / 2.0
    after[2] += 0.5
    kl = limits.kl_shares(list(before), list(after))
    family = f.independent("scores", f.NUMERIC, f.beta(2.0, 2.0))
    return Scenario("score collapse", "D5", family, replaced(0.5, COLLAPSED), kl, quiet="N(0,1)")


def shape_change() -> Scenario:
    """Give two humps instead of one, with mean and variance as before."""
    kl = limits.kl_densities(norm.pdf, two_humps_density, -6.0, 6.0)
    return Scenario("shape, two humps", "D5", NORMAL, redrawn(two_humps), kl, quiet="N(0,1)")


def variance_change(factor: float) -> Scenario:
    """Give a change of the variance; sd goes with its root."""
    change = scaled(math.sqrt(factor))
    return Scenario(f"variance x{factor:g}", "D5", NORMAL, change, limits.kl_variance(factor), quiet="N(0,1)")


def unsafe() -> Scenario:
    """Give the rise of the unsafe rate at 10 events/s, with one false alarm in 100 stream-days."""
    family = f.independent("unsafe", f.UNSAFE, f.yes_no(f.UNSAFE_RATE))
    kl = limits.kl_rate(f.UNSAFE_RATE, UNSAFE_AFTER)
    arl0 = 100.0 * DAY_S * f.UNSAFE.events_per_s
    return Scenario(
        "unsafe .5 % to 5 %", "D7", family, redrawn(f.yes_no(UNSAFE_AFTER)), kl, arl0, quiet="unsafe rule .005"
    )


def latency() -> Scenario:
    """Give latencies half as long again; the budget is the old p95."""
    family = f.independent("latency", f.LATENCY, f.lognormal(f.LATENCY_SIGMA))
    kl = limits.kl_mean_shift(math.log(LATENCY_FACTOR) / f.LATENCY_SIGMA)
    return Scenario("latency x1.5", "D8", family, scaled(LATENCY_FACTOR), kl, 1e7, quiet="p95 rule")


def _family(name: str) -> f.Family:
    return next(family for family in f.FAMILIES if family.name == name)


def _ramp(over_events: float) -> Scenario:
    kl = limits.kl_mean_shift(1.0)
    change = ramped(1.0, over_events)
    name = f"ramp to 1 sd over {over_events:,.0f}"
    return Scenario(name, "", NORMAL, change, kl, is_judged=False, complete_after=over_events)


def _printed(name: str, family: str, after: Change, kl: float) -> Scenario:
    return Scenario(name, "", _family(family), after, kl, is_judged=False, quiet=family)


NORMAL = _family("N(0,1)")
HALF = limits.kl_mean_shift(0.5)
SCENARIOS = (
    *(mean_shift(shift_sd) for shift_sd in (0.25, 0.5, 1.0)),
    mean_shift(2.0, is_judged=False),
    *(rate_change(0.01, after) for after in (0.02, 0.03, 0.05)),
    rate_change(0.005, 0.05),
    rate_drift(0.01, 0.02),
    rate_drift(0.01, 0.05),
    variance_change(1.5),
    shape_change(),
    newcomer(0.05),
    newcomer(0.01, is_judged=False),
    collapse(),
    unsafe(),
    latency(),
    _ramp(1e3),
    _ramp(1e4),
    _printed("AR(1) 0.7, +0.5 sd", "AR(1) 0.7", raised(0.5), limits.kl_autoregressive(0.5, 0.7)),
    _printed("daily cycle, +0.5 sd", "daily cycle", raised(0.5), HALF),
    _printed("low traffic rate .01 to .05", "low traffic rate", redrawn(f.yes_no(0.05)), limits.kl_rate(0.01, 0.05)),
)
