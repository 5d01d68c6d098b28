"""A heartbeat to a dead man's switch: sent only while driftd does its work, so that its absence wakes somebody.

Whoever keeps the switch (healthchecks.io and its like, or one's own) is asked for one address at regular intervals, and
raises the alarm when nothing asks any more: because the machine is gone, the network is, or driftd itself says nothing
since something it does is not done. What must have been done since the last beat is in `Beats`.

The address is as good as a password: it appears in no log, error or metric.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from typing import Final

import httpx2
import structlog
from pydantic import SecretStr

from monitor.domain import Snapshot, TopicPartition
from monitor.upkeep import HeartbeatStatus

_JOIN_S: Final = 1.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HeartbeatTerms:
    """Whom to ask, and how often. timeout_s: for the whole of one attempt.

    judge_s: how long events may have come without a look of the judge: the pane, what it waits for, and a margin.
    silent: receivers that reach nobody (logs), so that their health says nothing.
    """

    url: SecretStr
    interval_s: float = 60.0
    timeout_s: float = 10.0
    judge_s: float = 60.0
    silent: Collection[str] = ()


class Beats:
    """Tells whether a beat is earned, from one snapshot to the next. Pure.

    * The loop has ticked, and is ready: partitions are assigned, and brokers answer.
    * Each partition has moved, or has nothing left to read, or has been standing for less than an interval.
    * The judge has looked, or no inference has come that it could look at. That nothing comes at all is legitimate
      here: a driftd that is caught up on a quiet topic does its work, and tells of it by its alert driftd-no-data.
    * State was stored, where it is kept, and the last attempt to do so did not fail.
    * Of the receivers that reach anybody, at least one takes what it is told.
    """

    def __init__(self, interval_s: float, judge_s: float, silent: Collection[str] = ()) -> None:
        self._interval_s = interval_s
        self._judge_s = judge_s
        self._silent = frozenset(silent)
        self._before: Snapshot | None = None
        self._owed_s: float | None = None

    def lacks(self, now: Snapshot | None, now_s: float) -> str:
        """Give why no beat is earned, "" if one is. now_s: of a clock that does not go backwards."""
        before, self._before = self._before, now
        if now is None or before is None:
            return "driftd has only just started"
        checks = (
            self._loop(before, now),
            "" if now.is_ready else now.not_ready_because or "not ready",
            self._reading(before, now),
            self._judging(before, now, now_s),
            _saving(now),
            self._telling(now),
        )
        return next((lack for lack in checks if lack), "")

    def _loop(self, before: Snapshot, now: Snapshot) -> str:
        return "the main loop stands still" if now.tick_wall_s == before.tick_wall_s else ""

    def _reading(self, before: Snapshot, now: Snapshot) -> str:
        if not now.partitions:
            return "no partition is read here"
        positions = {status.source: status.position for status in before.partitions}
        for status in now.partitions:
            is_unmoved = positions.get(status.source) == status.position
            is_standing = status.is_held or status.stalled_s >= self._interval_s
            if is_unmoved and is_standing and status.lag_records:
                return f"partition {_name(status.source)} is not read"
        return ""

    def _judging(self, before: Snapshot, now: Snapshot, now_s: float) -> str:
        if now.picture.looks != before.picture.looks:
            self._owed_s = None
        elif _inferences(now) != _inferences(before) and self._owed_s is None:
            self._owed_s = now_s
        if self._owed_s is not None and now_s - self._owed_s >= self._judge_s:
            return "events come and are not judged"
        return ""

    def _telling(self, now: Snapshot) -> str:
        reaching = [sink for sink in now.sinks if sink.name not in self._silent]
        if reaching and not any(sink.is_healthy for sink in reaching):
            return "no receiver takes notices"
        return ""


def _saving(now: Snapshot) -> str:
    if not now.state.is_kept:
        return ""
    if now.state.failures:
        return "state can't be stored"
    return "state was not stored yet" if now.state.saved_wall_s is None else ""


def _inferences(snapshot: Snapshot) -> int:
    return sum(count for (_, kind), count in snapshot.picture.counted.items() if kind == "inference")


def _name(source: TopicPartition) -> str:
    return f"{source.topic}/{source.partition}"


class Refused(Exception):  # noqa: N818 - it is an outcome, not a fault of ours
    """The switch did not take the beat. The message says why in a word of a bounded set, and never the address."""


@cache
def _trusted() -> ssl.SSLContext:
    """Give whom we trust; read once, since it takes some 20 ms that the main loop would miss each time."""
    return httpx2.create_ssl_context()


async def ask(terms: HeartbeatTerms) -> None:
    """Ask for the address once, within timeout_s altogether. No redirects. Raises Refused."""
    try:
        async with asyncio.timeout(terms.timeout_s):
            limits = httpx2.Limits(max_connections=1)
            async with httpx2.AsyncClient(
                timeout=terms.timeout_s, follow_redirects=False, limits=limits, verify=_trusted()
            ) as client:
                request = client.build_request("GET", terms.url.get_secret_value(), headers={"User-Agent": "driftd"})
                answer = await client.send(request, stream=True)  # what it says does not matter, so it is not read
                await answer.aclose()
    except TimeoutError:
        raise Refused("timeout") from None
    except httpx2.TimeoutException:
        raise Refused("timeout") from None
    except (httpx2.HTTPError, OSError):
        raise Refused("unreachable") from None
    if not answer.is_success:
        raise Refused(f"status_{answer.status_code // 100}xx")


def send(terms: HeartbeatTerms) -> None:
    """Send one beat, and return once it is taken. Raises Refused."""
    asyncio.run(ask(terms))


class Heartbeat:
    """Beats from `start` until `stop`, on a thread of its own that nobody waits for.

    latest: gives the last snapshot. beat: sends one; another one in tests.
    """

    def __init__(
        self,
        latest: Callable[[], Snapshot | None],
        terms: HeartbeatTerms,
        beat: Callable[[HeartbeatTerms], None] = send,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # at info it logs whole addresses
        self._latest = latest
        self._terms = terms
        self._beat = beat
        self._wall = wall
        self._steady = steady
        self._beats = Beats(terms.interval_s, terms.judge_s, terms.silent)
        self._sent = self._withheld = 0
        self._failed: Counter[str] = Counter()
        self._because = self._failing = ""
        self._sent_wall_s: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="driftd-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat. Called once."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; an attempt under way is left behind. More than once does nothing."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def status(self) -> HeartbeatStatus:
        """Give how it fares; from any thread."""
        return HeartbeatStatus(
            is_on=True,
            sent=self._sent,
            withheld=self._withheld,
            failed=dict(self._failed),
            withheld_because=self._because,
            sent_wall_s=self._sent_wall_s,
        )

    def step(self) -> None:
        """Beat once, if it is earned: all of its work, and can be called without the thread."""
        because = self._beats.lacks(self._latest(), self._steady())
        if because != self._because:
            if because:
                _log.warning("heartbeat withheld", error_code="heartbeat_withheld", because=because)
            else:
                _log.info("heartbeat goes on")
        self._because = because
        if because:
            self._withheld += 1
        else:
            self._send()

    def _send(self) -> None:
        try:
            self._beat(self._terms)
        except Refused as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - the thread's last guard; the message may hold the address
            reason = f"other_{type(error).__name__}"
        else:
            reason = ""
            self._sent += 1
            self._sent_wall_s = self._wall()
        if reason:
            self._failed[reason] += 1
        if reason != self._failing:
            if reason:
                _log.warning("heartbeat not taken", error_code="heartbeat_failed", reason=reason)
            else:
                _log.info("heartbeat taken again")
        self._failing = reason

    def _run(self) -> None:
        while not self._stopping.wait(self._terms.interval_s):
            self.step()
