"""What do many streams cost? 1, 100 and 1,000 models of 25 features each, under the same total traffic.

The pipeline alone (decode, fold, judge, and pictures as the daemon takes them), each case in a process of its own, with
a reference for every model, so that every stream is judged. Ten seconds of event time warm up; then events come at
100,000 per second of event time, about as fast as they are counted, so that looks are as frequent as live. Memory is
what the process grew by, over the feature streams, with windows of a minute, ten minutes and an hour.
"""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.events import CATEGORICAL, NUMERIC, START_S, events
from benchmarks.report import options, rss_mb, show
from monitor import build
from monitor.app import PUBLISH_S, PUBLISH_SHARE_MAX
from monitor.baseline import Input, build_references
from monitor.collector import calm_the_collector
from monitor.config import load_settings
from monitor.domain import Batch, TopicPartition
from monitor.reference_files import write_reference

CASES = (1, 100, 1_000)
RATE_PER_S = 100_000.0
WARM_EVENTS, WARM_RATE_PER_S = 160_000, 16_000.0
BATCH = 2_000


def learn(models: int, folder: Path) -> None:
    """Write the references of so many models, each from sixty events, at the traffic of the warm-up: none is silent."""
    settings = load_settings(None, {}, topics_required=False)
    lines = list(events(max(5_000, 60 * models), WARM_RATE_PER_S, models))
    for reference in build_references(settings, Input("benchmark", lambda _: iter([lines]))).references:
        write_reference(folder, reference)


def measure(models: int, count: int, folder: Path) -> dict[str, float]:
    """Feed `count` events of so many models; give the rate, memory and the number of looks."""
    settings = load_settings(None, {}, topics_required=False)
    warm = WARM_EVENTS
    messages = list(events(warm, WARM_RATE_PER_S, models))
    messages += events(count, RATE_PER_S, models, START_S + warm / WARM_RATE_PER_S)
    calm_the_collector()
    gc.collect()
    before_mb = rss_mb()
    pipeline = build.pipeline(settings, build.references(settings, str(folder)))
    source = (TopicPartition("t", 0),)
    pipeline.assign(source)
    taken_s, next_picture_s = 0.0, 0.0
    for start in range(0, len(messages), BATCH):
        batch = messages[start : start + BATCH]
        began_s = time.perf_counter()
        pipeline.step(Batch(batch, np.zeros(len(batch), np.int64), source), math.inf)
        if began_s >= next_picture_s:
            pipeline.picture()
            cost_s = time.perf_counter() - began_s
            next_picture_s = began_s + max(PUBLISH_S, cost_s / PUBLISH_SHARE_MAX)
        if start >= warm:
            taken_s += time.perf_counter() - began_s
    gc.collect()
    picture = pipeline.picture()
    assert all(model.state == "ready" for model in picture.models), "a model has no reference"
    feature_streams = models * (NUMERIC + CATEGORICAL)
    return {
        "events_per_s": count / taken_s,
        "bytes_per_stream": (rss_mb() - before_mb) * 1e6 / feature_streams,
        "streams": picture.streams,
        "looks": picture.looks,
    }


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--learn"]:
        learn(int(sys.argv[2]), Path(sys.argv[3]))
        return
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measure(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
        return
    quick = options(str(__doc__).splitlines()[0]).quick
    count, rounds = (300_000, 1) if quick else (1_000_000, 3)
    found = {models: [_child(models, count) for _ in range(rounds)] for models in CASES}
    best = {models: max(run["events_per_s"] for run in runs) for models, runs in found.items()}
    last = found[CASES[-1]]
    show(
        "Many streams, one pipeline",
        {f"{m:,} models": f"{best[m]:,.0f} events/s, {found[m][0]['streams']:,.0f} streams" for m in CASES}
        | {
            "memory": (
                f"{min(r['bytes_per_stream'] for r in last):,.0f} bytes per feature stream at {CASES[-1]:,} models"
            )
        },
        {
            "slowdown_100_models": best[1] / best[100],
            "slowdown_1000_models": best[1] / best[1_000],
            "bytes_per_stream": min(r["bytes_per_stream"] for r in last),
            "events_per_s": best[1],
        },
    )


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.streams", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def _child(models: int, count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        _run("--learn", str(models), folder)
        result: dict[str, float] = json.loads(_run("--child", str(models), str(count), folder).splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
