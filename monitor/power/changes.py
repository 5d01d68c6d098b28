"""Named changes of a stream, as what they do to the shares of its bins; each has a size, and a size that is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from monitor.bins import (
    ABOVE,
    ARENA_OF,
    FLAGS_WIDTH,
    LOG_INNER,
    NO,
    NULLS,
    UNSEEN,
    VALUE_SPANS,
    WRONG_TYPES,
    YES,
    Arena,
    log_bin,
    log_values,
)
from monitor.detectors.intervals import wilson_upper
from monitor.domain import FloatArray, Kind
from monitor.references import StreamReference
from monitor.rules import Rule

SHIFT: Final = 0.5
"""Standard deviations: a medium effect (Cohen (1988), Statistical Power Analysis)."""
SHARE: Final = 0.05
UNSAFE_TIMES: Final = (5.0, 10.0, 25.0)
SLOWER_TIMES: Final = (1.5, 2.0, 3.0, 5.0, 10.0)
VOLUME_TIMES: Final = (5.0, 20.0, 100.0)
"""Named sizes, of which the first counts that is beyond the limit: a change up to the limit is none to tell."""
BEYOND: Final = 1.1
"""By how much it must be."""
SLOWER_MOST: Final = 16.0
VOLUME_MOST: Final = 1000.0
RARER_MOST: Final = 1e6


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one stream.

    apply: gives the shares of all bins after a change of some size, shape (width,). size: the named one. nothing: the
    size that changes nothing, most: the greatest that is looked at. unit: of sizes: sd, times or share. words: says a
    size.
    """

    apply: Callable[[float], FloatArray]
    size: float
    nothing: float
    most: float
    unit: str
    words: Callable[[float], str]


def change_of(rule: Rule, stream: StreamReference, limit: float = np.nan, own: float = np.nan) -> Change | None:
    """Give the change by which a rule's power on a stream is told; None where there is none to tell.

    limit: of the statistic, own: that of the reference itself.
    """
    if rule.statistic == "volume":
        return _times_events(limit, is_up=rule.is_above)
    if rule.statistic in ("p50", "p95", "p99", "mean"):
        return _times_value(stream, rule, limit / own if own > 0.0 else np.nan)
    if rule.statistic == "yes_rate":
        return _yes(stream, limit, is_up=rule.is_above)
    if not rule.is_above:
        return None
    into = _bin_of(rule.statistic, stream.kind)
    if into is not None:
        return _added(stream, *into)
    if stream.kind is Kind.CATEGORICAL:
        return _added(stream, UNSEEN, "of a new category")
    return _shifted(stream)


def shares_of(stream: StreamReference) -> FloatArray:
    """Give the share of each bin in the reference, shape (width,)."""
    total = max(1.0, float(stream.counts.sum()))
    shares: FloatArray = stream.counts / total
    return shares


def is_by_kind(statistic: str) -> bool:
    """Tell whether the change by which a statistic's power is told differs between numbers and categories."""
    return _bin_of(statistic, Kind.NUMERIC) is None


def _bin_of(statistic: str, kind: Kind) -> tuple[int, str] | None:
    """Give the bin that values move into, and what that is called."""
    arena = ARENA_OF[kind]
    known = {
        "null_rate": (NULLS[arena], "nulls"),
        "invalid_rate": (WRONG_TYPES[arena], "invalid"),
        "unseen_rate": (UNSEEN, "of a new category"),
        "out_of_range_rate": (ABOVE, "out of range"),
    }
    return known.get(statistic)


def _named(times: Sequence[float], ratio: float, *, is_up: bool) -> float:
    """Give the first factor that is beyond a limit at so many times what is usual; the first where none is."""
    far = ratio if is_up else 1.0 / max(ratio, 1e-12)
    found = next((each for each in times if each > BEYOND * far), times[0])
    return found if is_up else 1.0 / found


def _added(stream: StreamReference, bin_: int, what: str) -> Change:
    shares = shares_of(stream)
    one = np.zeros(len(shares))
    one[bin_] = 1.0
    return Change(lambda s: (1.0 - s) * shares + s * one, SHARE, 0.0, 1.0, "share", lambda s: f"{percent(s)} {what}")


def _yes(stream: StreamReference, limit: float, *, is_up: bool) -> Change:
    """Give another rate of yes; where no yes was seen, by what the rate may have been."""
    yes, checked = np.array([float(stream.counts[YES])]), np.array([max(1.0, float(stream.counts[: YES + 1].sum()))])
    rate = float(yes[0] / checked[0]) or float(wilson_upper(yes, checked)[0])

    def apply(size: float) -> FloatArray:
        shares = np.zeros(len(stream.counts))
        shares[YES], shares[NO] = size, 1.0 - size
        return shares

    named = min(1.0, rate * _named(UNSAFE_TIMES, limit / rate, is_up=is_up))
    most = 1.0 if is_up else rate / RARER_MOST
    return Change(apply, named, rate, most, "share", lambda size: f"yes {percent(size)}")


def _times_events(limit: float, *, is_up: bool) -> Change:
    def apply(times: float) -> FloatArray:
        shares = np.zeros(FLAGS_WIDTH)
        shares[NO] = times
        return shares

    most = VOLUME_MOST if is_up else 1.0 / VOLUME_MOST
    named = _named(VOLUME_TIMES, limit, is_up=is_up)
    return Change(apply, named, 1.0, most, "times", lambda times: f"traffic x{times:.2g}")


def _times_value(stream: StreamReference, rule: Rule, ratio: float) -> Change:
    """Give values that are all some times as large: everything takes so much longer."""
    shares = shares_of(stream)
    values = log_values(stream.exponent)
    span = VALUE_SPANS[Arena.LOGS]

    def apply(times: float) -> FloatArray:
        to = log_bin(values * times, np.full(span, stream.exponent))
        out = shares.copy()
        out[:span] = np.bincount(to, weights=shares[:span], minlength=span)
        return out

    named = _named(SLOWER_TIMES, ratio, is_up=rule.is_above)
    most = SLOWER_MOST if rule.is_above else 1.0 / SLOWER_MOST
    return Change(apply, named, 1.0, most, "times", lambda times: f"{rule.statistic} {100 * times - 100:+.0f} %")


def _shifted(stream: StreamReference) -> Change:
    """Give values that are all higher by so many standard deviations, of a normal stream with the same ranks."""
    shares = shares_of(stream)
    span = VALUE_SPANS[ARENA_OF[stream.kind]]
    values = shares[:span].sum()
    until = np.cumsum(shares[:span]) / max(values, 1e-12)
    total = max(1.0, float(stream.counts[:span].sum()))
    top = int(np.flatnonzero(shares[:span])[-1]) if values > 0.0 else span - 1
    # What is above all that the reference held is in the bins beyond, which begin where 1/m of values are above.
    edges = ndtri(np.clip(until, 1e-12, total / (total + 1.0)))
    beyond = min(top + 1, LOG_INNER + 1) if stream.kind is Kind.LOG else ABOVE

    def apply(deviations: float) -> FloatArray:
        below = ndtr(edges - deviations)
        out = shares.copy()
        out[:span] = values * np.diff(below, prepend=0.0)
        out[beyond] += values * (1.0 - below[-1])
        return out

    return Change(apply, SHIFT, 0.0, 6.0, "sd", lambda d: f"a shift of {d:.2g} sd")


def percent(share: float) -> str:
    """Give a share as people read it: 0.047 %, 2.4 %, 12 %."""
    return f"{100.0 * share:.2g} %" if share < 0.995 else "100 %"
