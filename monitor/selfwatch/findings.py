"""What a look at driftd itself is made of, and what it finds. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from monitor.domain import Seen, Snapshot, TopicPartition
from monitor.kept import State
from monitor.selfwatch.past import LagPast, Shares, Since, Totals
from monitor.selfwatch.terms import HYSTERESIS, SHARE_S, SelfTerms, Watched

PARTITIONS_TOLD_MAX: Final = 8
GAPS: Final = "gaps "
OUTBOX: Final = "outbox "
PROCESS_TOTALS: Final = (GAPS, OUTBOX)
"""Totals that start at 0 with each process; the others are part of the state."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. text: what is wrong, for a person; fine: what to say when it is over.

    segment: which of several, as name=value, "" where there is one. lasted_s: for how long it has been so.
    """

    seen: Seen
    value: float
    limit: float
    text: str
    fine: str
    segment: str = ""
    lasted_s: float = 0.0
    change: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


class Past:
    """All that is remembered of earlier looks."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.since = Since()
        self.shares = Shares(SHARE_S)
        self.lags: dict[TopicPartition, LagPast] = {}
        self.flow_s = 0.0

    def state(self) -> State:
        """Give what must live across a restart: shares and lags are known again within minutes."""
        return {"totals": self.totals.state(), "since": self.since.state(), "flow_s": self.flow_s}

    def restore(self, state: State) -> None:
        """Go on from what `state` gave."""
        self.totals.restore(state.get("totals", {}), PROCESS_TOTALS)
        self.since.restore(state.get("since", {}))
        self.flow_s = float(state.get("flow_s", 0.0))


@dataclass(frozen=True, slots=True)
class Look:
    """One look. now_s: of the watch's own clock. step_s: since the look before."""

    snapshot: Snapshot
    watched: Watched
    terms: SelfTerms
    past: Past
    now_s: float
    step_s: float


def judged(value: float, limit: float) -> Seen:
    """Tell whether a value is beyond its limit; just below, nothing is proven, so that nothing flaps at the edge."""
    if math.isnan(value):
        return Seen.UNKNOWN
    if value >= limit:
        return Seen.RED
    return Seen.HOLD if value > limit * (1.0 - HYSTERESIS) else Seen.CLEAR


def yes_no(*, is_bad: bool) -> Seen:
    """Give what is found where something is so or not."""
    return Seen.RED if is_bad else Seen.CLEAR


def by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[TopicPartition]]:
    """Give partitions by their topic, in order."""
    found: dict[str, list[TopicPartition]] = {}
    for each in sorted(partitions):
        found.setdefault(each.topic, []).append(each)
    return found


def numbers(partitions: Iterable[TopicPartition]) -> str:
    """Give the numbers of partitions for people."""
    told = [str(each.partition) for each in partitions]
    more = f" and {len(told) - PARTITIONS_TOLD_MAX} more" if len(told) > PARTITIONS_TOLD_MAX else ""
    return ", ".join(told[:PARTITIONS_TOLD_MAX]) + more


def span(seconds: float) -> str:
    """Give a span of time for people."""
    for unit_s, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"
