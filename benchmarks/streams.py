"""What do many streams cost? 1, 100 and 1,000 models of 25 features each, under the same total traffic.

The pipeline alone (decode, fold, judge and a picture per second of event time), each case in a process of its own. The first half of
the events is for learning references; the second half is measured, so that every stream is judged. Memory is what the
process grew by, over the feature streams, with windows of a minute, ten minutes and an hour.
"""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.events import CATEGORICAL, NUMERIC, events
from benchmarks.report import options, rss_mb, show
from monitor import build
from monitor.app import calm_the_collector
from monitor.config import load_settings
from monitor.domain import Batch, TopicPartition
from monitor.pipeline import LearnTerms

CASES = (1, 100, 1_000)
RATE_PER_S = 20_000.0
BATCH = 2_000


def measure(models: int, count: int) -> dict[str, float]:
    """Feed `count` events of so many models; give the rate of the second half, memory and the cost of looks."""
    settings = load_settings(None, {}, topics_required=False)
    learn = LearnTerms(events=max(60, count // (3 * models)), seconds=math.inf)
    terms = replace(build.pipeline_terms(settings), learn=learn)
    messages = list(events(count, RATE_PER_S, models))
    calm_the_collector()
    before_mb = rss_mb()
    pipeline = build.pipeline(settings, (), terms)
    source = (TopicPartition("t", 0),)
    pipeline.assign(source)
    half, taken_s, pictures = count // 2, 0.0, 0
    for start in range(0, count, BATCH):
        batch = messages[start : start + BATCH]
        began_s = time.perf_counter()
        pipeline.step(Batch(batch, np.zeros(len(batch), np.int64), source), math.inf)
        if start // int(RATE_PER_S) > pictures:
            pictures += 1
            pipeline.picture()
        if start >= half:
            taken_s += time.perf_counter() - began_s
    gc.collect()
    picture = pipeline.picture()
    assert all(model.state == "ready" for model in picture.models), "not all models have learned their reference"
    feature_streams = models * (NUMERIC + CATEGORICAL)
    return {
        "events_per_s": (count - half) / taken_s,
        "bytes_per_stream": (rss_mb() - before_mb) * 1e6 / feature_streams,
        "streams": picture.streams,
        "looks": picture.looks,
    }


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measure(int(sys.argv[2]), int(sys.argv[3]))))
        return
    quick = options(str(__doc__).splitlines()[0]).quick
    count, rounds = (200_000, 1) if quick else (600_000, 3)
    found = {models: [_child(models, count) for _ in range(rounds)] for models in CASES}
    best = {models: max(run["events_per_s"] for run in runs) for models, runs in found.items()}
    last = found[CASES[-1]]
    show(
        "Many streams, one pipeline",
        {f"{m:,} models": f"{best[m]:,.0f} events/s, {found[m][0]['streams']:,.0f} streams" for m in CASES}
        | {"memory": f"{min(r['bytes_per_stream'] for r in last):,.0f} bytes per feature stream at {CASES[-1]:,} models"},
        {
            "slowdown_100_models": best[1] / best[100],
            "slowdown_1000_models": best[1] / best[1_000],
            "bytes_per_stream": min(r["bytes_per_stream"] for r in last),
            "events_per_s": best[1],
        },
    )


def _child(models: int, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.streams", "--child", str(models), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    if done.returncode:
        raise SystemExit(f"{models} models failed:\n{done.stderr[-3000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
