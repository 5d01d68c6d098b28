"""What does the join cost, and what does a waiting inference take? The pipeline with state and its file, on and off.

The same messages, four inferences of 900 bytes to one label, through decode, fold and judge in processes of their own,
by turns: with the join on, every request sampled, and off. State is stored as the daemon stores it, every five seconds.
Then so many inferences as --pending says are remembered, and never asked for: what they take on disk and in memory.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.events import events
from benchmarks.report import show
from monitor import build
from monitor.collector import calm_the_collector
from monitor.config import load_settings
from monitor.domain import Batch, TopicPartition
from monitor.join.pending import Pending
from monitor.join.records import Inference, encode
from monitor.store import Store
from monitor.store.pending_file import PendingFile

BATCH = 5_000
BEHIND = 20_000
"""How many inferences after its own a label comes."""
SAVE_S = 5.0
RATE_PER_S = 100_000.0
SOURCE = (TopicPartition("join", 0),)
MIB = 1 << 20


def messages(inferences: int) -> Iterator[bytes]:
    """Give inferences, each with an id of its own, and after every fourth the label of an earlier one."""
    for number, event in enumerate(events(inferences, RATE_PER_S)):
        head, _, tail = event.partition(b'"request_id":"')
        yield b'%s"request_id":"%032d%s' % (head, number, tail[32:])
        asked = number - BEHIND
        if number % 4 == 0 and asked >= 0:
            time_s = event.partition(b'"event_time":')[2].partition(b",")[0]
            label = b"1" if asked % 3 else b"0"
            yield (
                b'{"type":"outcome","request_id":"%032d","event_time":%s,"kind":"label","label":%s}'
                % (asked, time_s, label)
            )


def run(mode: str, inferences: int) -> dict[str, float]:
    """Count all messages, storing state meanwhile."""
    settings = load_settings(None, {}, topics_required=False)
    batches: list[list[bytes]] = [[]]
    for message in messages(inferences):
        if len(batches[-1]) == BATCH:
            batches.append([])
        batches[-1].append(message)
    with tempfile.TemporaryDirectory() as folder:
        file = PendingFile(Path(folder), 4096 * MIB)
        terms = build.pipeline_terms(settings)
        terms = replace(terms, join=replace(terms.join, mode=mode), backing_of=file.part)
        pipeline, store = build.pipeline(settings, (), terms), Store.open(folder)
        calm_the_collector()
        began_s = saved_s = time.perf_counter()
        for batch in batches:
            pipeline.step(Batch(values=batch, partitions=[0] * len(batch), sources=SOURCE), math.inf)
            if time.perf_counter() - saved_s >= SAVE_S:
                saved_s = time.perf_counter()
                store.save(pipeline.sections(), {}, time.time())
                pipeline.saved()
        taken_s = time.perf_counter() - began_s
        join = pipeline.picture().join
        store.close()
        file.close()
    count = sum(map(len, batches))
    return {"seconds": taken_s, "messages": count, "joined": join.outcomes.get(("label", "joined"), 0)}


def remember(count: int) -> dict[str, float]:
    """Remember inferences that nothing is said of; give what they take."""
    with tempfile.TemporaryDirectory() as folder:
        file = PendingFile(Path(folder), 16_384 * MIB)
        pending = Pending(file.part("inferences"))
        before, began_s = _anonymous_bytes(), time.perf_counter()
        for start in range(0, count, 100_000):
            numbers = range(start, min(count, start + 100_000))
            ids = [(number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big") for number in numbers]
            values = [encode(Inference("fraud", "v7", 1.79e9 + n / 1e3, "legit", 0.4321, None, 0.002)) for n in numbers]
            pending.add([n * 8 // count for n in numbers], ids, values)
            pending.saved()
            while pending.changes:
                pending.drain()
        taken_s, nbytes = time.perf_counter() - began_s, file.nbytes
        held = _anonymous_bytes() - before
        assert len(pending) == count
        file.close()
    return {"seconds": taken_s, "bytes": nbytes, "anonymous_bytes": held}


def _anonymous_bytes() -> int:
    """Give what the process holds beside files that are mapped, which the kernel may take back."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in text.splitlines() if line.startswith("RssAnon")).split()[1]) * 1024


def main() -> int:
    """Measure and print; 1 where the join takes more than half of the speed."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer messages, and a million that wait")
    parser.add_argument("--pending", type=int, help="inferences that wait [default: 10,000,000; quick: 1,000,000]")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        kind, count = chosen.child[0], int(chosen.child[1])
        print(json.dumps(remember(count) if kind == "remember" else run(kind, count)))
        return 0
    inferences, rounds = (150_000, 3) if chosen.quick else (400_000, 5)
    results: dict[str, list[dict[str, float]]] = {"off": [], "on": []}
    for _ in range(rounds):
        for kind, found in results.items():
            found.append(_child(kind, inferences))
    waiting = chosen.pending or (1_000_000 if chosen.quick else 10_000_000)
    kept = _child("remember", waiting)
    ratios = [off["seconds"] / on["seconds"] for off, on in zip(results["off"], results["on"], strict=True)]
    fastest = min(results["on"], key=lambda found: found["seconds"])
    per_pending, anonymous = kept["bytes"] / waiting, kept["anonymous_bytes"] / MIB
    figures = {
        "ratio_with_join": statistics.median(ratios),
        "messages_per_s": fastest["messages"] / fastest["seconds"],
        "joined_per_s": fastest["joined"] / fastest["seconds"],
        "bytes_per_pending": per_pending,
        "pending": waiting,
        "pending_anonymous_mib": anonymous,
        "remembered_per_s": waiting / kept["seconds"],
    }
    show(
        "The join",
        {
            "messages": f"{fastest['messages']:,.0f}, {fastest['joined']:,.0f} labels joined, {rounds} rounds in turns",
            "ratio": f"{figures['ratio_with_join']:.3f} (rounds: {', '.join(f'{r:.3f}' for r in ratios)})",
            "waiting": f"{waiting:,}: {per_pending:.0f} bytes each on disk, {anonymous:.0f} MiB of memory in all",
        },
        figures,
    )
    return 0 if figures["ratio_with_join"] >= 0.5 else 1


def _child(kind: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.join", "--child", kind, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    if done.returncode:
        raise SystemExit(f"{kind} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
