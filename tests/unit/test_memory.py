"""The declared bound of memory holds, whatever comes: a process of its own is flooded, and its memory is looked at."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor import build
from monitor.config import Settings, load_settings
from monitor.domain import Batch, TopicPartition
from monitor.memory import memory_max
from monitor.panes import HITS_MAX

STREAMS: Final = 4_000
PLACES: Final = (TopicPartition("t", 0), TopicPartition("t", 1))
NOON_S: Final = 1_800_000_000.0


def settings() -> Settings:
    limits = {
        "DRIFTD_LIMITS__STREAMS_MAX": str(STREAMS),
        "DRIFTD_LIMITS__MODELS_MAX": "200",
        "DRIFTD_LIMITS__EVENT_IDS_MAX": "20000",
    }
    return load_settings(None, limits, topics_required=False)


def flood(rng: random.Random, second: int, events: int) -> list[bytes]:
    """Give events with everything that could grow: models, features, categories, ids, and times far apart."""
    out = []
    for _ in range(events):
        features: dict[str, Any] = {f"f{rng.randrange(60)}": rng.gauss(0, 10.0 ** rng.randrange(6)) for _ in range(20)}
        features |= {f"c{rng.randrange(10)}": f"v{rng.getrandbits(40)}" for _ in range(5)}
        event = {
            "event_id": f"{rng.getrandbits(80):x}",
            "event_time": NOON_S + second + rng.choice((0, 0, 0, -30, -500, rng.random() * 5)),
            "model": f"m{rng.randrange(400)}",
            "model_version": f"v{rng.randrange(3)}",
            "features": features,
            "latency_s": rng.expovariate(1),
            "segment": {"country": f"x{rng.randrange(300)}"},
        }
        out.append(json.dumps(event).encode())
    return out


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def main() -> None:
    """Flood a pipeline of two partitions, one of which runs an hour ahead, and tell by how much the process grew."""
    pipeline, rng = build.pipeline(settings()), random.Random(1)
    pipeline.assign(PLACES)
    before, most = resident_bytes(), 0
    for turn in range(60):
        for number, ahead_s in enumerate((0, 3_600)):
            values = flood(rng, turn * 2 + ahead_s, 500)
            pipeline.step(Batch(values, np.full(len(values), number), PLACES), float("inf"))
        pipeline.picture()
        most = max(most, resident_bytes())
    for section in pipeline.sections():
        section.make()
    grown = max(most, resident_bytes()) - before
    sys.stdout.write(json.dumps({"grown": grown, "streams": pipeline.picture().streams}))


def test_flood_of_everything_stays_within_the_declared_bound() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.test_memory"], capture_output=True, text=True, timeout=240, check=True
    )
    found = json.loads(done.stdout)

    assert found["streams"] == STREAMS
    parts = memory_max(settings()).parts
    declared = sum(count for name, count in parts.items() if name.endswith(("learn", "ids"))) + 8 * HITS_MAX
    assert found["grown"] < declared
    assert found["grown"] > 20e6, "so little that nothing was tried"


def test_each_limit_moves_the_bound() -> None:
    least = memory_max(settings()).total

    for name, value in (("STREAMS_MAX", "8000"), ("EVENT_IDS_MAX", "400000"), ("LABEL_SERIES_MAX", "900000")):
        more = load_settings(None, {f"DRIFTD_LIMITS__{name}": value}, topics_required=False)
        assert memory_max(more).total > least


if __name__ == "__main__":
    main()
