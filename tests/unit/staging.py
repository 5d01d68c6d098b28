"""An app among fakes: a list as source, a list as delivery, a clock that is a list."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from monitor import build
from monitor.app import App, AppTerms
from monitor.board import Board
from monitor.config import load_settings
from monitor.domain import Batch, Gap, PartitionStatus, SinkStatus, TopicPartition, Transition
from monitor.intake import Intake

if TYPE_CHECKING:
    from monitor.domain import Alert
    from monitor.kept import Section, State
    from monitor.pipeline import Pipeline
    from monitor.sinks.base import Sink

NOON_S: Final = 1_780_000_000.0
PLACE: Final = TopicPartition("events", 0)
OTHER: Final = TopicPartition("events", 1)


@dataclass
class Clock:
    """Times in order; the last one stands."""

    times_s: list[float]

    def __call__(self) -> float:
        return self.times_s.pop(0) if len(self.times_s) > 1 else self.times_s[0]


@dataclass
class Ticking:
    """Goes on by a step whenever it is asked."""

    now_s: float = NOON_S
    step_s: float = 0.0

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@dataclass
class Batches:
    """A list as source: one batch per poll, the last one says so. on_poll is called with the number of the poll."""

    batches: list[Batch]
    calls: list[str]
    on_poll: Callable[[int], object] = lambda _: None
    places: Sequence[TopicPartition] | None = (PLACE,)
    quiet: tuple[Sequence[TopicPartition], float] = ((), 0.0)
    fails: Mapping[str, Exception] = field(default_factory=dict)
    polls: int = 0
    left: Sequence[TopicPartition] = ()
    lost: list[Gap] = field(default_factory=list)
    given: Counter[TopicPartition] = field(default_factory=Counter)
    opened: list[Mapping[TopicPartition, int]] = field(default_factory=list)
    opened_ids: list[Mapping[str, str]] = field(default_factory=list)
    ids: Mapping[str, str] = field(default_factory=dict)
    told_saved: list[Mapping[TopicPartition, int]] = field(default_factory=list)
    held: list[Collection[TopicPartition]] = field(default_factory=list)
    woes: str = ""

    def _call(self, name: str) -> None:
        self.calls.append(f"source.{name}")
        if name in self.fails:
            raise self.fails[name]

    def open(self, stored: Mapping[TopicPartition, int], topic_ids: Mapping[str, str]) -> None:
        self._call("open")
        self.opened.append(dict(stored))
        self.opened_ids.append(dict(topic_ids))
        self.given.update(stored)

    def topic_ids(self) -> Mapping[str, str]:
        return self.ids

    def poll(self, timeout_s: float) -> Batch:
        self._call("poll")
        self.polls += 1
        self.on_poll(self.polls)
        if not self.batches:
            return Batch(is_last=True)
        batch = self.batches.pop(0)
        self.given.update(batch.sources[at] for at in batch.partitions)
        return batch

    def positions(self) -> Mapping[TopicPartition, int]:
        return dict(self.given)

    def saved(self, positions: Mapping[TopicPartition, int]) -> None:
        self._call("saved")
        self.told_saved.append(dict(positions))

    def hold(self, partitions: Collection[TopicPartition]) -> None:
        self.held.append(partitions)

    def away(self) -> Sequence[TopicPartition]:
        return self.left

    def gaps(self) -> Sequence[Gap]:
        lost, self.lost = self.lost, []
        return lost

    def assigned(self) -> Sequence[TopicPartition] | None:
        return self.places

    def idle(self) -> tuple[Sequence[TopicPartition], float]:
        return self.quiet

    def trouble(self) -> str:
        return self.woes

    def status(self) -> Sequence[PartitionStatus]:
        return [PartitionStatus(place, 1, 2, 1, 0.5, 0.0) for place in self.places or ()]

    def intake(self) -> Intake:
        return Intake()

    def errors(self) -> Mapping[str, int]:
        return {"_transport": 3}

    def close(self) -> None:
        self._call("close")


@dataclass
class Told:
    """A list as delivery. left: what it could not deliver in the end."""

    calls: list[str]
    left: int = 0
    told: list[tuple[Transition, float]] = field(default_factory=list)
    resumed: list[Alert] = field(default_factory=list)
    replaced: list[tuple[list[str], Collection[str]]] = field(default_factory=list)

    def start(self) -> None:
        self.calls.append("delivery.start")

    def offer(self, transitions: Sequence[Transition], now_wall_s: float) -> None:
        self.told += [(each, now_wall_s) for each in transitions]

    def status(self) -> Sequence[SinkStatus]:
        return [SinkStatus("list", len(self.told), {}, 0, 0.0, is_healthy=True)]

    def resume(self, alerts: Sequence[Alert], now_wall_s: float) -> None:
        self.calls.append("delivery.resume")
        self.resumed += alerts

    def sections(self) -> Iterable[Section]:
        return ()

    def restore(self, states: Mapping[str, State], now_wall_s: float) -> None:
        self.calls.append("delivery.restore")

    def replace(self, sinks: Sequence[Sink], same: Collection[str]) -> None:
        self.replaced.append(([sink.name for sink in sinks], same))

    def drain(self, budget_s: float) -> int:
        self.calls.append("delivery.drain")
        return self.left

    def close(self) -> None:
        self.calls.append("delivery.close")


@dataclass
class Server:
    calls: list[str]
    error: Exception | None = None

    def start(self) -> None:
        self.calls.append("server.start")
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        self.calls.append("server.stop")


class Stage:
    """An app among fakes."""

    def __init__(
        self,
        batches: Sequence[Batch] = (),
        terms: AppTerms | None = None,
        clock: Callable[[], float] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.calls: list[str] = []
        self.source = Batches(list(batches), self.calls)
        self.delivery = Told(self.calls)
        self.server = Server(self.calls)
        self.board = Board()
        self.pipeline = pipeline_of(settings or {})
        self.app = App(
            self.pipeline, self.source, self.delivery, self.board, terms or AppTerms(), clock or Clock([NOON_S])
        )

    def run(self) -> Stage:
        self.app.run(self.server)
        return self

    @property
    def reason(self) -> str:
        """Why it is not ready, as anyone who looks now is told."""
        snapshot = self.board.latest()
        assert snapshot is not None
        assert snapshot.is_ready == (not snapshot.not_ready_because)
        return snapshot.not_ready_because


def pipeline_of(settings: Mapping[str, str]) -> Pipeline:
    return build.pipeline(load_settings(None, {**RULES, **settings}, topics_required=False))


RULES: Final = {
    "DRIFTD_ALERTS__WINDOWS": '["10s"]',
    "DRIFTD_ALERTS__OWNER": "me",
    "DRIFTD_ALERTS__RUNBOOK": "book",
    "DRIFTD_MODELS": '[{"match": "m", "thresholds": {"unsafe_rate": {"yellow": 0.05, "red": 0.1}}}]',
}


CERTAIN: Final = {
    "DRIFTD_MODELS": '[{"match": "*", "thresholds": {"unsafe_rate": {"yellow": 0.5, "red": null}}}]',
    "DRIFTD_ALERTS__DEFAULT_RULES": "false",
}
"""One rule, which fires once for whatever model answers unsafely."""


def batch(from_s: float, seconds: float, *, unsafe: bool = False, rate_per_s: int = 100, model: str = "m") -> Batch:
    """Give events of a model at this rate from so many seconds after noon on."""
    count = int(seconds * rate_per_s)
    values = [body(NOON_S + from_s + n / rate_per_s, unsafe=unsafe, model=model) for n in range(count)]
    return Batch(values, [0] * count, [PLACE])


def body(time_s: float, *, unsafe: bool, model: str = "m", event_id: str | None = None) -> bytes:
    event: dict[str, Any] = {
        "event_time": time_s,
        "model": model,
        "unsafe": unsafe,
        "features": {"x": round(time_s % 1.0, 2)},
    }
    if event_id is not None:
        event["event_id"] = event_id
    return json.dumps(event).encode()
