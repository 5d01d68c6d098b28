"""A receiver that is away for an hour of virtual time, while incidents begin and end, and the process is killed.

The real workers and sinks over real HTTP; only the clocks are moved by hand. Away means here: it answers 503, as a
proxy before a dead receiver does. Beside that it is unkind twice: at the start of the outage it takes a notice, and the
answer is lost; and the process is killed right after the receiver is back, before it has stored what it told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from monitor.build import sinks
from monitor.config import Settings
from monitor.domain import Alert, AlertState, Band, Reason, Severity, StreamKey, Transition
from monitor.sinks.base import Notice, Sink
from monitor.sinks.message import timestamp
from monitor.sinks.worker import Clocks, Worker
from tests.support.receiver import Receiver

START_S: Final = 1_800_000_000.0
AWAY_S: Final = (600.0, 4_200.0)
END_S: Final = 7_200.0
SAVE_S: Final = 5.0
KILLED_S: Final = (2_000.0, AWAY_S[1] + 75.0)
"""In the midst of the outage, and when much was just told."""
RESEND_S: Final = 60.0

Span = tuple[float, float]
INCIDENTS: Final[Mapping[str, Sequence[Span]]] = {
    "over before": ((100.0, 300.0),),
    "begins as it goes": ((600.0, 5_000.0),),
    "ends meanwhile": ((300.0, 1_500.0),),
    "lasts longer": ((400.0, 5_400.0),),
    "begins and ends meanwhile": ((900.0, 1_200.0),),
    "begins and ends around the kill": ((1_998.0, 2_003.0),),
    "begins meanwhile": ((2_500.0, 6_000.0),),
    "begins meanwhile and stays": ((3_000.0, END_S + 1.0),),
    "flaps meanwhile": ((1_000.0, 1_100.0), (1_500.0, 1_700.0), (2_200.0, 6_200.0)),
    "flaps and is over": ((1_000.0, 1_100.0), (2_100.0, 2_300.0)),
    "ends as it comes back": ((3_500.0, 4_200.0),),
    "comes again afterwards": ((700.0, 800.0), (5_000.0, 5_500.0)),
    "begins at the second kill": ((KILLED_S[1] - 1.0, 6_500.0),),
}


@dataclass(slots=True)
class OutageRun:
    """What came out, over all sinks. told: notices that the receivers took; worst: who was paged twice."""

    lost: int
    duplicate_pages: int
    incidents: int
    told: int
    worst: Sequence[str]


@dataclass(slots=True)
class Heard:
    """What a receiver took, by alert: how often it was told anew that it fires, and what it heard last.

    Of one incident (one span of firing) the first page is due; more are duplicates.
    """

    pages: Counter[tuple[str, str]] = field(default_factory=Counter)
    last: dict[str, tuple[str, str]] = field(default_factory=dict)
    heard: int = 0
    requests: int = 0

    def take(self, alerts: Iterable[Mapping[str, Any]], *, is_held: bool, now: str) -> None:
        """is_held: the receiver knows by itself what fires already, as Alertmanager does, and pages for news alone."""
        for alert in alerts:
            name, starts = alert["labels"]["field"], alert["startsAt"]
            is_firing = alert["endsAt"] > now or alert["endsAt"].startswith("0001")
            is_known = self.last.get(name) == ("firing", starts)
            self.heard += 1
            if is_firing and not (is_held and is_known):
                self.pages[name, starts] += 1
            self.last[name] = ("firing" if is_firing else "resolved", starts)


def run() -> OutageRun:
    """Play the outage to each kind of receiver."""
    found = [_play("webhook"), _play("alertmanager")]
    return OutageRun(
        sum(each.lost for each in found),
        max(each.duplicate_pages for each in found),
        sum(each.incidents for each in found),
        sum(each.told for each in found),
        [text for each in found for text in each.worst],
    )


def _play(kind: str) -> OutageRun:
    now = [0.0]
    clocks = Clocks(wall=lambda: START_S + now[0], steady=lambda: now[0])
    with Receiver() as receiver:
        sink = _sink(kind, receiver)
        worker, heard = Worker(sink, clocks), Heard()
        stored, due_save_s = worker.state(), 0.0
        plan = _plan()
        while now[0] < END_S:
            now[0] += 1.0
            if now[0] == AWAY_S[0]:
                receiver.answer_next(500)
                receiver.answer_always(503)
            if now[0] == AWAY_S[1]:
                receiver.answer_always(200)
            told = [plan.pop(0) for _ in range(sum(each.time_s <= START_S + now[0] for each in plan))]
            if told:
                # As the loop does: a transition is stored before it is told.
                worker.offer([Notice(each, clocks.wall()) for each in told])
                stored, due_save_s = worker.state(), now[0] + SAVE_S
            while worker.step():
                pass
            _hear(receiver, heard, now[0])
            if now[0] in KILLED_S:
                sink.close()
                sink = _sink(kind, receiver)
                worker = Worker(sink, clocks)
                worker.restore(stored, clocks.wall())
            elif now[0] >= due_save_s:
                stored, due_save_s = worker.state(), now[0] + SAVE_S
        sink.close()
    return _judged(kind, heard)


def _hear(receiver: Receiver, heard: Heard, now_s: float) -> None:
    """Note what the receiver took: all while it is there, and the one whose answer is lost."""
    is_there = not AWAY_S[0] <= now_s < AWAY_S[1]
    requests = receiver.requests[heard.requests :]
    heard.requests += len(requests)
    for request in requests if is_there else requests[:1] if now_s == AWAY_S[0] else ():
        body = request.json()
        is_held = isinstance(body, list)
        heard.take(body if is_held else body["alerts"], is_held=is_held, now=timestamp(START_S + now_s))


def _judged(kind: str, heard: Heard) -> OutageRun:
    lost = []
    for name, spans in INCIDENTS.items():
        state = "resolved" if spans[-1][1] <= END_S else "firing"
        if heard.last.get(name) != (state, timestamp(START_S + spans[-1][0])):
            lost.append(f"{kind}: {name!r} was left as {heard.last.get(name)}")
    twice = [f"{kind}: {name!r} {count} times" for (name, _), count in heard.pages.items() if count > 1]
    worst = max(heard.pages.values(), default=1) - 1
    return OutageRun(len(lost), worst, len(INCIDENTS), heard.heard, [*lost, *twice])


def _sink(kind: str, receiver: Receiver) -> Sink:
    own: dict[str, Any] = {"type": "webhook", "url": f"{receiver.url}/hook", "http": {"allow_internal": True}}
    if kind == "alertmanager":
        own = {"type": "alertmanager", "urls": [receiver.url], "resend_s": RESEND_S}
    (sink,) = sinks(Settings.model_validate({"kafka": {"topics": ["t"]}, "receivers": {kind: own}}))
    return sink


def _plan() -> list[Transition]:
    """Give all transitions, in order of time."""
    found = []
    for name, spans in INCIDENTS.items():
        for from_s, to_s in spans:
            firing = _alert(name, from_s)
            resolved = replace(firing, state=AlertState.RESOLVED, resolved_s=START_S + to_s)
            found.append(Transition(START_S + from_s, None, firing, Reason.BREACHED))
            if to_s <= END_S:
                found.append(Transition(START_S + to_s, AlertState.FIRING, resolved, Reason.CLEARED))
    return sorted(found, key=lambda each: each.time_s)


def _alert(name: str, from_s: float) -> Alert:
    return Alert(
        rule="drift",
        key=StreamKey("fraud", "1", name),
        statistic="psi",
        state=AlertState.FIRING,
        severity=Severity.SEV2,
        band=Band.RED,
        value=0.4,
        threshold=0.2,
        interval=(0.3, 0.5),
        samples=1_000,
        evidence=30.0,
        evidence_needed=10.0,
        window_s=600.0,
        since_s=START_S + from_s - 60.0,
        pending_s=START_S + from_s,
        firing_s=START_S + from_s,
        resolved_s=None,
        incident=name,
        dedup_key=f"key {name}",
        owner="",
        runbook="",
        reference="ref",
        summary=name,
    )
