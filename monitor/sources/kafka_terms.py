"""How topics are read, and what is told to the client unless a person says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

StartsAt = Callable[[int, str | None, int], tuple[int, int] | None]
"""By offset and text as committed, and which topic it is (0: the first, 1: the first follower, ...): gives from where
its messages count, and from where they are read, where there are any; None: nothing is known."""

QUEUED_MESSAGES_MIN: Final = 100_000
"""Messages per partition that are fetched ahead; the bound in bytes is what limits memory."""
FETCH_BACKOFF_MS: Final = 10
"""How long fetching rests when the prefetch is full: librdkafka's 1,000 ms starves a reader that drains it sooner."""
RECONNECT_MS_MAX: Final = 1_000
"""The longest pause before a broker that went is asked again, as in Java's client. At librdkafka's 10,000 ms a member
can be as long without its group after brokers are back.
"""
CLASSIC: Final[Mapping[str, object]] = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500}
"""Of the classic protocol, unless told otherwise: a member that was killed, by hand or in the midst of a rebalance, is
missed after six seconds, the least that brokers allow by default, and not after librdkafka's 45, in which nobody reads
its partitions. To be missed costs little: who comes back goes on where it was. One that is killed in a rebalance may be
missed only after it, so that it takes two sessions; a rebalance waits twice for each member's next heartbeat. Under the
consumer protocol brokers decide.
"""


@dataclass(frozen=True, slots=True)
class KafkaTerms:
    """How to read.

    options: librdkafka's own, complete (servers, security, pass-through); its auto.offset.reset says where a group
    without offsets starts. idle_s: quiet for so long is idle. on_gap: what to do where the log lacks the next message.
    outage_s_max: without any broker for so long, reading fails for good; 0: never. positions: kept: as far as they are
    known here they hold, else those of the group do; ours: those of the group never do; group: they always do, and
    somebody else commits them. starts_at: gives where to start by what is committed. followers: of the topics, those
    whose partitions go with the first one's: whose its partition 3 is has theirs, and starts by what is committed with
    it. All have as many.
    """

    topics: tuple[str, ...]
    options: Mapping[str, Any]
    batch_records_max: int = 5_000
    idle_s: float = 10.0
    on_gap: Literal["fail", "accept-gap"] = "fail"
    outage_s_max: float = 600.0
    positions: Literal["kept", "ours", "group"] = "kept"
    starts_at: StartsAt | None = None
    followers: tuple[str, ...] = ()
