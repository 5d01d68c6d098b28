"""Events to measure with: 900 bytes, 20 numeric and 5 categorical features, seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache

import msgspec
from confluent_kafka import Producer

START_S = 1_790_000_000.0
NUMERIC, CATEGORICAL = 20, 5
COUNTRIES = ("DE", "FR", "US", "JP", "BR", "IN", "KE", "AU")


def event(rng: random.Random, number: int, rate_per_s: float, model: str = "fraud") -> bytes:
    """Give one event of about 900 bytes; event time advances evenly at rate_per_s."""
    features: dict[str, float | str] = {
        f"feature_{i:02d}": round(rng.gauss(10.0 * i, 1.0 + i), 6) for i in range(NUMERIC)
    }
    for i in range(CATEGORICAL):
        features[f"category_{i}"] = COUNTRIES[int(rng.random() ** 2 * len(COUNTRIES))]
    found = {
        "type": "inference",
        "event_id": f"{rng.getrandbits(128):032x}",
        "request_id": f"{rng.getrandbits(128):032x}",
        "event_time": START_S + number / rate_per_s,
        "model": model,
        "model_version": "2026-11-01",
        "endpoint": "/v1/score",
        "features": features,
        "prediction": round(rng.random(), 6),
        "score": round(rng.random(), 6),
        "latency_s": round(rng.lognormvariate(-3.0, 0.5), 6),
        "status": "ok",
        "trace_id": f"{rng.getrandbits(128):032x}",
    }
    return msgspec.json.encode(found)


@lru_cache(maxsize=2)
def pool(models: int) -> list[tuple[bytes, bytes, bytes]]:
    """Give events to repeat, 20 for each model, each cut at its id and its time, which are put in when it is sent."""
    rng = random.Random(7)
    parts = []
    for number in range(max(20 * models, 2_000)):
        text = event(rng, 0, 1.0, f"model-{number % models:04d}")
        head, key, rest = text.partition(b'"event_id":"')
        middle, name, tail = rest[32:].partition(b'"event_time":')
        parts.append((head + key, middle + name, tail[tail.index(b",") :]))
    return parts


def events(count: int, rate_per_s: float, models: int = 1, start_s: float = START_S) -> Iterator[bytes]:
    """Give `count` events, spread evenly over models: the same again and again, each with its own id and time."""
    parts, rng = pool(models), random.Random(start_s)
    for number in range(count):
        head, middle, tail = parts[number % len(parts)]
        time_s = start_s + number / rate_per_s
        yield b"%s%032x%s%.4f%s" % (head, rng.getrandbits(128), middle, time_s, tail)


def produce(servers: str, topic: str, messages: Iterator[bytes], partitions: int = 1) -> tuple[int, int]:
    """Send messages, spread over partitions in short runs as keyless producers do; give their number and bytes."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50, "queue.buffering.max.messages": 200_000})
    count = size = 0
    for message in messages:
        while True:
            try:
                producer.produce(topic, message, partition=count // 100 % partitions)
                break
            except BufferError:
                producer.poll(0.1)
        count, size = count + 1, size + len(message)
        if count % 1_000 == 0:
            producer.poll(0)
    producer.flush()
    return count, size
