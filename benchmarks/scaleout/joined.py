"""Outcomes among the events of folds and judges: traffic in which each is in the partition of its inference."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.faults.traffic import HISTORY_EVENTS, MODELS, Traffic, event
from monitor.baseline import Input, build_references
from monitor.config import load_settings
from monitor.reference_files import write_reference

OUTCOMES: Final[Mapping[str, object]] = {"join": "always", "ttl_s": 120, "absence_s": 120}
"""Nobody is told of what was not said before the end: that waits, and is compared as it waits."""
DELAY_S: Final = 6.0
SHARES: Final = {"label": 0.7, "override": 0.05, "evaluation": 0.2}
AGAIN: Final = 0.05


def outcomes(chance: random.Random, asked: Mapping[str, Any]) -> Iterator[tuple[float, bytes]]:
    """Give what comes of an inference: when, and the message. Some come twice."""
    for kind, share in SHARES.items():
        if chance.random() >= share:
            continue
        at_s = max(0.1, chance.expovariate(1.0 / DELAY_S))
        more: dict[str, object] = {}
        if kind == "label":
            answer = asked.get("prediction", "block")
            more["label"] = answer if chance.random() < 0.9 else "block" if answer == "allow" else "allow"
        elif kind == "evaluation":
            more |= {"evaluator": "citation", "value": chance.random() < 0.9}
        head = {"type": "outcome", "request_id": asked["event_id"], "kind": kind}
        said = msgspec.json.encode({**head, "event_time": asked["event_time"] + at_s, **more})
        yield at_s, said
        if chance.random() < AGAIN:
            yield at_s + 2.0, said


class JoinedTraffic(Traffic):
    """Traffic with outcomes, each sent where its inference went; or to that partition of `outcomes_topic`."""

    outcomes_topic = ""

    def __init__(
        self,
        servers: str,
        topic: str,
        partitions: int,
        rate_per_s: float,
        planted: Callable[[float], bool],
        seed: int = 0,
    ) -> None:
        super().__init__(servers, topic, partitions, rate_per_s, planted, seed)
        self.is_keyed = True  # each fold knows the partitions that it reads
        self._due: list[tuple[float, int, bytes]] = []

    def _send(self, *, is_planted: bool) -> None:
        super()._send(is_planted=is_planted)
        while self._due and self._due[0][0] <= time.time():
            _, place, said = heapq.heappop(self._due)
            super()._produce(said, place, self.outcomes_topic)

    def _produce(self, value: bytes | None, place: int | None = None, topic: str = "") -> int:
        partition = super()._produce(value, place, topic)
        try:
            asked = msgspec.json.decode(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return partition
        if isinstance(asked, dict) and "event_id" in asked:
            for at_s, said in outcomes(self._rng, asked):
                heapq.heappush(self._due, (time.time() + at_s, partition, said))
        return partition


def write_joined_references(folder: Path, rate_per_s: float) -> None:
    """Build the references of all models, and of what comes of their answers, from healthy history at this rate."""
    own_per_s = rate_per_s / len(MODELS)

    def history() -> Iterator[list[bytes | None]]:
        for number, model in enumerate(MODELS):
            rng, out = random.Random(number), list[tuple[float, bytes]]()
            for at in range(HISTORY_EVENTS // 4):
                time_s = 1_780_000_000 + at / own_per_s
                value = event(rng, model, time_s, is_planted=False)
                out.append((time_s, value))
                out += [(time_s + at_s, said) for at_s, said in outcomes(rng, msgspec.json.decode(value))]
            yield [value for _, value in sorted(out)]

    settings = load_settings(None, {}, topics_required=False)
    for reference in build_references(settings, Input("benchmark", lambda _: history())).references:
        write_reference(folder, reference)
