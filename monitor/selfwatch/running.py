"""Conditions of driftd's own running: state, receivers, bounds, memory, configuration. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from monitor.selfwatch.findings import OUTBOX, Finding, Look, judged, span, yes_no
from monitor.selfwatch.terms import Usage

RECENT_S: Final = 600.0
"""For how long something that happened at once (a bound was reached) is still told."""
OUTBOX_FULL: Final = "outbox_full"
"""The reason under which delivery counts a notice that found no room."""
_MIB: Final = 1 << 20


def state(look: Look) -> Iterator[Finding]:
    """Find that state can't be stored."""
    status = look.snapshot.state
    if not status.is_kept:
        return
    for_s = look.past.since.note("unsaved", look.now_s, is_so=status.failures > 0)
    limit_s = look.terms.unsaved_s
    text = (
        f"state could not be stored for {span(for_s)}, {status.failures} times in a row; after a crash what came since"
        " is read again, and alerts may be told again"
    )
    fine = "state is stored again"
    yield Finding(judged(for_s, limit_s), for_s, limit_s, text, fine, lasted_s=for_s)


def disk(look: Look) -> Iterator[Finding]:
    """Find that the disk with the state is nearly full."""
    yield from _usage(look.watched.disk, look.terms.disk_share, "the disk that holds the state")


def memory(look: Look) -> Iterator[Finding]:
    """Find that memory is nearly what the control group allows, after which the kernel ends the process."""
    yield from _usage(look.watched.memory, look.terms.memory_share, "the memory that driftd may have")


def _usage(usage: Usage | None, limit: float, what: str) -> Iterator[Finding]:
    if usage is None or usage.limit <= 0:
        return
    share = usage.used / usage.limit
    text = f"{share:.0%} of {what} is used: {usage.used / _MIB:,.0f} of {usage.limit / _MIB:,.0f} MiB"
    yield Finding(judged(share, limit), share, limit, text, f"there is room in {what} again")


def receiver(look: Look) -> Iterator[Finding]:
    """Find receivers that take nothing. The others are told now, and it is told itself as soon as it is back."""
    look.past.since.keep("receiver ", {f"receiver {sink.name}" for sink in look.snapshot.sinks})
    for sink in look.snapshot.sinks:
        for_s = look.past.since.note(f"receiver {sink.name}", look.now_s, is_so=not sink.is_healthy)
        text = f"receiver {sink.name} has taken nothing for {span(for_s)}; {sink.queued} notices wait, none is lost"
        limit_s, fine = look.terms.receiver_down_s, f"receiver {sink.name} takes notices again"
        seen = judged(for_s, limit_s)
        yield Finding(seen, for_s, limit_s, text, fine, f"receiver={sink.name}", lasted_s=for_s)


def outbox(look: Look) -> Iterator[Finding]:
    """Find receivers whose outbox had no room for a notice."""
    for sink in look.snapshot.sinks:
        dropped = sink.failed.get(OUTBOX_FULL, 0)
        total = look.past.totals.note(f"{OUTBOX}{sink.name}", dropped, look.now_s, is_news=False)
        ago_s = look.now_s - total.grew_s
        text = f"the outbox of receiver {sink.name} is full: {dropped:,} notices were dropped so far"
        seen, segment = yes_no(is_bad=ago_s < RECENT_S), f"receiver={sink.name}"
        fine = f"no notice for receiver {sink.name} was dropped lately"
        yield Finding(seen, float(dropped), 1.0, text, fine, segment, lasted_s=min(ago_s, RECENT_S))


def overflow(look: Look) -> Iterator[Finding]:
    """Find bounds that were reached, so that something is not watched."""
    for what, count in sorted(look.snapshot.picture.overflow.items()):
        total = look.past.totals.note(f"overflow {what}", count, look.now_s)
        ago_s = look.now_s - total.grew_s
        text = f"the bound on {what} was reached {count:,} times: something is left out"
        seen, fine = yes_no(is_bad=ago_s < RECENT_S), f"the bound on {what} was not reached lately"
        yield Finding(seen, float(count), 1.0, text, fine, f"what={what}", lasted_s=min(ago_s, RECENT_S))


def series(look: Look) -> Iterator[Finding]:
    """Find that /metrics leaves series out."""
    dropped = look.snapshot.picture.series_dropped
    text = f"{dropped:,} series are left out of /metrics; verdicts are not affected, dashboards are"
    yield Finding(yes_no(is_bad=dropped > 0), float(dropped), 1.0, text, "/metrics is complete again")


def reload(look: Look) -> Iterator[Finding]:
    """Find that the configuration could not be read anew."""
    text = "the changed configuration can't be used, so the one before is still in force"
    seen = yes_no(is_bad=not look.snapshot.reload.is_good)
    yield Finding(seen, float(not look.snapshot.reload.is_good), 1.0, text, "the configuration in force is the file's")
