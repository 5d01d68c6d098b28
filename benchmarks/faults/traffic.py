"""What is sent while things fail: three models in event time as it is now, with duplicates, garbage and incidents."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from confluent_kafka import Producer

from monitor.baseline import Input, build_references
from monitor.config import load_settings
from monitor.reference_files import write_reference

VERSION: Final = "2026.1"
HISTORY_EVENTS: Final = 8_000  # of each model, for its reference
JITTER_S: Final = 0.5
"""How far event times go back at most within a partition: well within the disorder that is allowed, so none is late."""
DUPLICATES: Final = 0.005
GARBAGE: Final = 0.01
TICK_S: Final = 0.02
BROKEN: Final[Sequence[bytes | None]] = (
    None,
    b"",
    b"not json",
    b'{"model": "fraud"',
    b"[]",
    b'{"model": 7, "event_time": "yesterday"}',
    b'{"event_time": 1790000000.0, "features": {"amount": 1.0}}',
    b"\xff\xfe\x00" * 20,
)

Body = dict[str, Any]
Maker = Callable[[random.Random, bool], Body]
"""Gives an event without its head; the flag: whether something is wrong with the model."""


def fraud(rng: random.Random, is_planted: bool) -> Body:  # noqa: FBT001 - a Maker
    """Give a scored payment; planted: amounts double."""
    amount = rng.lognormvariate(3.0, 0.8) * (2.0 if is_planted else 1.0)
    score = 1.0 / (1.0 + math.exp(4.0 - 0.01 * min(amount, 300.0) - rng.gauss(0.0, 1.0)))
    return {
        "features": {
            "amount": round(amount, 2),
            "age_days": round(rng.expovariate(1 / 700.0), 1),
            "device": None if rng.random() < 0.02 else round(rng.gauss(0.0, 1.0), 4),
            "country": rng.choices(("DE", "FR", "PL", "IT"), (5, 3, 2, 1))[0],
        },
        "score": round(score, 5),
        "prediction": "block" if score > 0.5 else "allow",
        "latency_s": round(rng.lognormvariate(-3.6, 0.35), 6),
        "status": "ok" if rng.random() > 0.002 else "error",
    }


def assistant(rng: random.Random, is_planted: bool) -> Body:  # noqa: FBT001 - a Maker
    """Give an answer of a language model; planted: it takes twice as long, and many are unsafe."""
    tokens_out = int(rng.lognormvariate(4.0, 0.6)) + 1
    return {
        "latency_s": round(
            (0.8 + 0.002 * tokens_out) * rng.lognormvariate(0.0, 0.25) * (2.0 if is_planted else 1.0), 4
        ),
        "tokens_out": tokens_out,
        "unsafe": None if rng.random() < 0.1 else rng.random() < (0.12 if is_planted else 0.002),
        "refused": rng.random() < 0.02,
        "finish_reason": rng.choices(("stop", "length"), (9, 1))[0],
        "status": "ok",
    }


def ranker(rng: random.Random, is_planted: bool) -> Body:  # noqa: FBT001 - a Maker
    """Give a ranking; planted: a fifth of one feature is missing."""
    features: Body = {f"f{i}": round(rng.gauss(10.0 * i, 1.0 + i), 4) for i in range(5)}
    if is_planted and rng.random() < 0.2:
        features["f0"] = None
    return {"features": features, "score": round(rng.random(), 5)}


MODELS: Final[dict[str, Maker]] = {"fraud": fraud, "assistant": assistant, "ranker": ranker}


def event(rng: random.Random, model: str, time_s: float, *, is_planted: bool) -> bytes:
    """Give one event."""
    head = {"event_id": f"{rng.getrandbits(96):024x}", "event_time": time_s, "model": model, "model_version": VERSION}
    return msgspec.json.encode({**head, **MODELS[model](rng, is_planted)})


def write_references(folder: Path, rate_per_s: float) -> None:
    """Build the references of all models from healthy history at this rate, of all models together."""
    own_per_s = rate_per_s / len(MODELS)

    def history() -> Iterator[list[bytes | None]]:
        for number, model in enumerate(MODELS):
            rng = random.Random(number)
            yield [event(rng, model, 1_780_000_000 + at / own_per_s, is_planted=False) for at in range(HISTORY_EVENTS)]

    settings = load_settings(None, {}, topics_required=False)
    for reference in build_references(settings, Input("benchmark", lambda _: history())).references:
        write_reference(folder, reference)


class Traffic:
    """Sends at a steady rate from a thread. planted: told how many seconds it runs, whether something is wrong.

    is_keyed: a duplicate goes where its event went. sent: messages that the broker has, by partition. What could not be
    sent while the broker was away is not sent.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        partitions: int,
        rate_per_s: float,
        planted: Callable[[float], bool],
        seed: int = 0,
    ) -> None:
        self.sent: Counter[int] = Counter()
        self.skipped = 0
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "linger.ms": 10,
                "log_level": 0,
                "enable.idempotence": True,  # so that a partition's order stays when a broker goes away
                "queue.buffering.max.messages": 200_000,
                "reconnect.backoff.max.ms": 500,
            }
        )
        self._place = topic, partitions
        self.is_keyed = False
        self._rate_per_s = rate_per_s
        self._planted = planted
        self._rng = random.Random(seed)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop sending; return when the broker has all. Again does nothing."""
        self._end.set()
        self._thread.join()
        assert self._producer.flush(60) == 0, "the broker did not take everything"

    def _run(self) -> None:
        began_s, due = time.monotonic(), 0.0
        while not self._end.wait(TICK_S):
            ran_s = time.monotonic() - began_s
            wanted = int(ran_s * self._rate_per_s - due)
            # What a stalled machine did not send in time is not made up for: event times stay what they are.
            for _ in range(min(wanted, int(self._rate_per_s))):
                self._send(is_planted=self._planted(ran_s))
            due += wanted
            self._producer.poll(0)

    def _send(self, *, is_planted: bool) -> None:
        rng = self._rng
        if rng.random() < GARBAGE:
            self._produce(rng.choice(BROKEN))
            return
        time_s = round(time.time() - rng.random() * JITTER_S, 4)
        value = event(rng, rng.choice(tuple(MODELS)), time_s, is_planted=is_planted)
        place = self._produce(value)
        if rng.random() < DUPLICATES:
            self._produce(value, place if self.is_keyed else None)

    def _produce(self, value: bytes | None, place: int | None = None, topic: str = "") -> int:
        """Send to a partition, any if None is given; give which. topic: another one."""
        own, partitions = self._place
        partition = self._rng.randrange(partitions) if place is None else place
        try:
            self._producer.produce(topic or own, value, partition=partition, on_delivery=self._note)
        except BufferError:
            self.skipped += 1
        return partition

    def _note(self, error: object, message: Any) -> None:
        if error is None:
            self.sent[message.partition()] += 1
        else:
            self.skipped += 1
