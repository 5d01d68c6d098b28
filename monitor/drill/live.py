"""A drill beside live traffic: events of a made-up model go through Kafka to the running daemon, and on to everybody.

The model `driftd-drill` is healthy until the daemon has learned it, then the incident is planted, then it is healthy
again until the alert is resolved. The daemon marks its alerts as drills, and counts them in no statistic of pages.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from monitor import build
from monitor.alert_json import alert_of
from monitor.config import Settings
from monitor.dead_letters import CLIENT_OPTIONS
from monitor.domain import DRILL_MODEL, AlertState
from monitor.drill.incidents import Event, Planted, Traits, plant
from monitor.drill.report import Order, Result
from monitor.errors import DriftdError
from monitor.explain.finding import ask

VERSION: Final = "1"
"""Of the made-up model: another one where its healthy events change, since a daemon may have kept its reference."""
RATE_PER_S: Final = 300.0
HEALTHY_S: Final = 5.0
"""Of healthy events, at least, before the incident: what is left of an earlier drill would show."""
RECOVER_S: Final = 300.0
"""Of healthy events, at most, after it: windows of a minute need about two to prove that all is well."""
TICK_S: Final = 0.05
ASK_S: Final = 0.5
READY_S: Final = 30.0
"""How long a daemon that has just been started, or whose partitions move, may take to be ready."""
PRODUCE_TIMEOUT_S: Final = 10.0
COUNTRIES: Final = ("DE", "FR", "ES", "PL")

Say = Callable[[str], None]


def healthy_event(rng: random.Random, time_s: float) -> Event:
    """Give an event of the made-up model; it has something for every incident."""
    return {
        "event_id": f"drill-{rng.getrandbits(96):024x}",
        "event_time": round(time_s, 4),
        "model": DRILL_MODEL,
        "model_version": VERSION,
        "features": {
            "amount": round(rng.lognormvariate(3.0, 0.5), 3),
            "age": None if rng.random() < 0.02 else round(rng.gauss(40.0, 12.0), 2),
            "country": rng.choice(COUNTRIES),
        },
        "score": round(rng.betavariate(2.0, 8.0), 5),
        "latency_s": round(rng.lognormvariate(-3.0, 0.4), 6),
        "unsafe": rng.random() < 0.01,
        "status": "ok",
    }


@dataclass(slots=True)
class Place:
    """Where the drill takes place: the topic that is written to, and the daemon that is asked."""

    producer: Producer
    topic: str
    url: str
    refused: list[str]


class Traffic:
    """Sends the made-up model's events so that their number keeps to the clock."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._rng = random.Random()  # noqa: S311 - fresh event ids, so that no event is a duplicate of another drill's
        self._due_s = time.time()

    def send(self, planted: Planted | None) -> None:
        """Send what is due by now. Raises DriftdError where the broker took none of it."""
        now_s = time.time()
        while self._due_s <= now_s:
            event = healthy_event(self._rng, self._due_s)
            if planted is not None:
                planted.change(event, self._rng)
            body = msgspec.json.encode(event)
            self._place.producer.produce(self._place.topic, body, DRILL_MODEL, on_delivery=self._note)
            self._due_s += 1.0 / RATE_PER_S
        self._place.producer.poll(0)
        if self._place.refused:
            raise DriftdError(
                f"kafka: topic {self._place.topic!r} takes no events: {self._place.refused[0]};"
                " the drill needs the right to write to it"
            )

    def _note(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._place.refused.append(error.str())


def drill(settings: Settings, order: Order, where: tuple[str, str | None], say: Say) -> Result:
    """Plant, wait, and be healthy again. where: the daemon's address, and the topic (None: the first configured)."""
    url, topic = where
    _wait_ready(url, say)
    rng = random.Random(1)  # noqa: S311 - only to know what healthy events are like
    traits = Traits.of([healthy_event(rng, 0.0) for _ in range(2_000)])
    planted = plant(order.incident, traits, order.field, order.size)
    if planted is None:
        raise DriftdError(f"{order.incident}: the drill's model has nothing for it")
    place = _place(settings, topic or settings.kafka.topics[0], url)
    traffic = Traffic(place)
    try:
        return _perform(place, traffic, (order, planted), say)
    finally:
        place.producer.flush(PRODUCE_TIMEOUT_S)


def _perform(place: Place, traffic: Traffic, what: tuple[Order, Planted], say: Say) -> Result:
    order, planted = what
    say(f"healthy events of {DRILL_MODEL} go to {place.topic}, {RATE_PER_S:.0f}/s, until the daemon knows it")
    began_s = time.time()

    def is_learned() -> bool:
        return time.time() - began_s >= HEALTHY_S and _is_known(place.url) and not _going_on(place.url)

    if not _send_until(traffic, None, is_learned, order.timeout_s):
        raise DriftdError(
            f"the daemon at {place.url} was not ready for the drill within {order.timeout_s:g} s: "
            f"{_why_not(place.url)}; does it read {place.topic}? A longer --timeout lets it learn for longer"
        )
    planted_s = time.time()
    result = Result("live", planted.name, planted.words, DRILL_MODEL, planted.stream, planted_s)
    say(f"planting {planted.name}: {planted.words}")
    seen: dict[str, Mapping[str, Any]] = {}

    def is_heard() -> bool:
        told = _alert_of_drill(place.url, planted.stream, planted_s)
        if told is not None and not seen:
            say(f"found: {told['summary']}")
        seen.update({"alert": told} if told is not None else {})
        return told is not None and None not in told["deliveries"].values()

    _send_until(traffic, planted, is_heard, order.timeout_s)
    if not seen:
        return result
    alert = alert_of(seen["alert"])
    receipts = seen["alert"]["deliveries"]
    heard = {sink: None if receipt is None else receipt["delay_s"] for sink, receipt in receipts.items()}
    decided_wall_s = [r["accepted"] - r["delay_s"] for r in receipts.values() if r is not None]
    lag_s = max(0.0, min(decided_wall_s) - (alert.firing_s or 0.0)) if decided_wall_s else 0.0
    say("healthy events again, until the alert is resolved")
    is_over = _send_until(traffic, None, lambda: not _going_on(place.url), max(RECOVER_S, order.timeout_s))
    return replace(result, found=alert, heard=heard, lag_s=lag_s, is_over=is_over)


def _send_until(traffic: Traffic, planted: Planted | None, is_done: Callable[[], bool], timeout_s: float) -> bool:
    """Send events, looking now and then whether something has come about; tell whether it has within the time."""
    end_s = time.monotonic() + timeout_s
    ask_s = 0.0
    while time.monotonic() < end_s:
        traffic.send(planted)
        if time.monotonic() >= ask_s:
            if is_done():
                return True
            ask_s = time.monotonic() + ASK_S
        time.sleep(TICK_S)
    return False


def _place(settings: Settings, topic: str, url: str) -> Place:
    """Open a producer with the consumer's connection and rights. Raises DriftdError where the topic is not there."""
    given = build.kafka_options(settings.kafka)
    options = {name: value for name, value in given.items() if name.startswith(CLIENT_OPTIONS)}
    options |= {"linger.ms": 20, "message.timeout.ms": int(PRODUCE_TIMEOUT_S * 1_000), "log_level": 2}
    try:
        producer = Producer(options)
        found = producer.list_topics(topic, PRODUCE_TIMEOUT_S).topics[topic]
    except KafkaException as error:
        raise DriftdError(f"kafka: {error.args[0]}") from None
    if found.error is not None:
        raise DriftdError(f"kafka: topic {topic!r}: {found.error}")
    return Place(producer, topic, url, [])


# ---- what the daemon says


def _wait_ready(url: str, say: Say) -> None:
    """Return when the daemon is ready. Raises DriftdError with what it lacks where it still isn't after READY_S."""
    end_s = time.monotonic() + READY_S
    told = None
    while not (status := ask(url, "/api/v1/status"))["ready"]:
        why = status["not_ready_because"]
        if time.monotonic() >= end_s:
            raise DriftdError(f"the daemon at {url} is not ready: {why}")
        if why != told:
            say(f"waiting for the daemon: {why}")
        told = why
        time.sleep(ASK_S)


def _model(url: str) -> Mapping[str, Any] | None:
    models = ask(url, f"/api/v1/status?model={DRILL_MODEL}")["models"]
    return next((each for each in models if each["model_version"] == VERSION), None)


def _is_known(url: str) -> bool:
    found = _model(url)
    return found is not None and found["state"] == "ready"


def _why_not(url: str) -> str:
    found = _model(url)
    if found is None:
        return "no event of the drill has reached it"
    if found["state"] != "ready":
        return f"it has learned {found['progress']:.0%} of what is healthy (reference.learn_events)"
    return "an alert of an earlier drill is still active"


def _alerts(url: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = ask(url, f"/api/v1/alerts?model={DRILL_MODEL}")["alerts"]
    return found


def _going_on(url: str) -> bool:
    return any(each["state"] != AlertState.RESOLVED for each in _alerts(url))


def _alert_of_drill(url: str, stream: str, planted_s: float) -> Mapping[str, Any] | None:
    """Give the strongest alert on the stream that began to fire after the incident was planted."""
    fit = [
        each
        for each in _alerts(url)
        if each["field"] == stream and not each["segment"] and (each["firing"] or 0.0) >= planted_s
    ]
    return min(fit, key=lambda each: (each["rank"], each["firing"]), default=None)
