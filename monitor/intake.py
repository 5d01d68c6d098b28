"""How messages come in, and what becomes of those that can't be used, as plain numbers. Words, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

REPLAYS: Final = "driftd-replays"
"""Header of a message that was put back from the dead letters: how often."""


class Origin(NamedTuple):
    """What a record says beside its payload.

    timestamp_ms: since the epoch, -1: none. replays: how often it was put back from the dead letters.
    """

    timestamp_ms: int
    replays: int


@dataclass(frozen=True, slots=True)
class Intake:
    """How a source fares, since the start.

    rebalances: by kind (assigned, revoked, lost). revoke_s_max, revoke_s_p99: how long partitions took to be given up,
    of the last ones; 0 before the first. gaps, missing: by topic, how often records were gone that had not been read,
    and how many. repeated: records that the broker gave again and that were passed over. unsettled: partitions whose
    start a broker has yet to tell.
    """

    rebalances: Mapping[str, int] = field(default_factory=dict)
    revoke_s_max: float = 0.0
    revoke_s_p99: float = 0.0
    gaps: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    repeated: int = 0
    unsettled: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetterStatus:
    """How dead letters fare. sent: by reason of rejection. failed: attempts, by error. waiting: not yet accepted.

    is_full: no more fit, so nothing more may be read. broken: partitions (topic, number) that are not read because too
    many of their messages could not be used, with the reason.
    """

    sent: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    is_full: bool = False
    broken: Mapping[tuple[str, int], str] = field(default_factory=dict)
