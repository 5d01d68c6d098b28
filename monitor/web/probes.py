"""Whether the process is alive, and whether its numbers may be relied upon."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from monitor.domain import Snapshot

OUTAGE_PATIENCE: Final = 4.0  # times progress_s: so long a stall is forgiven while the source reports errors


class Probe(NamedTuple):
    """What a probe is told, and why."""

    is_good: bool
    reason: str


class Liveness:
    """Whether restarting the process would help. It is asked at each probe, and remembers what the last ones saw.

    * The main loop must tick: a tick that is unchanged for stall_s is a standstill. standing: gives for how long, by
      somebody who watches all the time; without, it goes by this class's own clock from one probe to the next. The
      wall clock in the snapshot is only compared with itself, so setting the clock neither kills nor saves anyone.
    * Every assigned partition with records waiting must move within progress_s; one may hang while others go on.
      A rebalance is no failure: partitions that come start at 0, those that went are not asked about.
      Nor is a broker that is down, which a restart won't mend: where the source reports errors, or knows no lag, that
      is waited out for OUTAGE_PATIENCE times as long. /readyz tells of it at once. Commits that fail are no outage:
      they are advisory, and a missing right would lengthen that patience for good.
    * What a fold counts must reach the judges: partitions claimed and counts acknowledged within progress_s, or as long
      as a broker that is down is waited for.
    * Before the first snapshot it is alive: restoring state takes as long as it takes.
    """

    def __init__(
        self,
        stall_s: float,
        progress_s: float,
        steady: Callable[[], float] = time.monotonic,
        standing: Callable[[], float] | None = None,
    ) -> None:
        self._stall_s = stall_s
        self._progress_s = progress_s
        self._steady = steady
        self._standing = standing
        self._tick_wall_s = math.nan
        self._ticked_s = 0.0
        self._errors: int | None = None
        self._error_s = -math.inf

    def probe(self, snapshot: Snapshot | None) -> Probe:
        """Tell whether the process is alive. One thread at a time."""
        if snapshot is None:
            return Probe(is_good=True, reason="starting")
        now_s = self._steady()
        self._note(snapshot, now_s)
        quiet_s = now_s - self._ticked_s if self._standing is None else self._standing()
        if quiet_s > self._stall_s:
            return Probe(is_good=False, reason=f"main loop: no tick for {quiet_s:.0f} s (limit {self._stall_s:g} s)")
        has_errors = now_s - self._error_s <= self._progress_s
        limit_s = self._progress_s * (OUTAGE_PATIENCE if has_errors else 1.0)
        for status in snapshot.partitions:
            if status.lag_records and status.stalled_s > limit_s:
                where = f"{status.source.topic}/{status.source.partition}"
                told = (
                    f"{status.lag_records} records wait, none read for {status.stalled_s:.0f} s (limit {limit_s:g} s)"
                )
                return Probe(is_good=False, reason=f"partition {where}: {told}")
        waiting_s = snapshot.picture.half.waiting_s
        if waiting_s > limit_s:
            told = f"not claimed and acknowledged for {waiting_s:.0f} s (limit {limit_s:g} s)"
            return Probe(is_good=False, reason=f"counts: {told}")
        return Probe(is_good=True, reason="ok")

    def _note(self, snapshot: Snapshot, now_s: float) -> None:
        if snapshot.tick_wall_s != self._tick_wall_s:
            self._tick_wall_s, self._ticked_s = snapshot.tick_wall_s, now_s
        errors = sum(count for name, count in snapshot.source_errors.items() if not name.startswith("commit"))
        if self._errors is not None and errors > self._errors:  # when the first ones were can't be told
            self._error_s = now_s
        self._errors = errors


def readiness(snapshot: Snapshot | None, liveness: Probe) -> Probe:
    """Tell whether its numbers may be relied upon: the loop says so, and is alive to say so."""
    if snapshot is None:
        return Probe(is_good=False, reason="starting: no numbers yet")
    if not snapshot.is_ready:
        return Probe(is_good=False, reason=snapshot.not_ready_because or "not ready")
    return liveness
