"""What does a scrape of 20,000 series cost: the scraper, and the loop? With events flowing, by turns scraped and not.

The whole daemon in a process of its own, on the embedded broker; the traffic comes from another process. A stall is
what the loop's turns (from one poll to the next) take longer while it is scraped five times a second: the difference of
the 99th percentiles of turns in scraped and in quiet spells that follow each other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from confluent_kafka import Producer

from benchmarks.events import events
from benchmarks.report import options, show
from monitor import assembly
from monitor.baseline import Input, build_references
from monitor.board import Board
from monitor.config import load_settings
from monitor.domain import Batch
from monitor.embedded import EmbeddedBroker
from monitor.reference_files import write_reference
from monitor.sources.base import Source

MODELS = 22
RATE_PER_S = 4_000.0
SPELL_S = 3.0
SCRAPES_PER_S = 5.0
TOPIC = "scrape"


class Turns:
    """The daemon's source, with a watch: when each turn of the loop began, and how long it took."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._returned_s = 0.0
        self.turns: list[tuple[float, float]] = []

    def poll(self, timeout_s: float) -> Batch:
        """Note how long the turn that ends here took, and poll."""
        now_s = time.perf_counter()
        if self._returned_s:
            self.turns.append((self._returned_s, now_s - self._returned_s))
        batch = self._source.poll(timeout_s)
        self._returned_s = time.perf_counter()
        return batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def daemon(servers: str, folder: str, spells: int) -> dict[str, float]:
    """Run the daemon in this thread and scrape it from another."""
    settings = load_settings(
        None,
        {
            "DRIFTD_KAFKA__BOOTSTRAP_SERVERS": servers,
            "DRIFTD_KAFKA__TOPICS": TOPIC,
            "DRIFTD_REFERENCE__DIRECTORY": folder,
            "DRIFTD_STATE__DIRECTORY": f"{folder}/state",
            "DRIFTD_HTTP__PORT": "0",
        },
    )
    board = Board()
    app, server = assembly.app(settings, board)
    turns = Turns(app.source)
    app.source = turns  # it passes on whatever it does not watch
    scraped: list[tuple[float, float]] = []
    series: list[int] = []

    def scrape() -> None:
        time.sleep(8.0)
        with httpx2.Client() as client:
            client.get(f"http://127.0.0.1:{server.port}/metrics")  # the first page is made from nothing, once in a life
            for _ in range(spells):
                time.sleep(SPELL_S)
                until_s = time.perf_counter() + SPELL_S
                while (began_s := time.perf_counter()) < until_s:
                    text = client.get(f"http://127.0.0.1:{server.port}/metrics").text
                    scraped.append((began_s, time.perf_counter() - began_s))
                    series.append(sum(1 for line in text.splitlines() if not line.startswith("#")))
                    time.sleep(max(0.0, began_s + 1 / SCRAPES_PER_S - time.perf_counter()))
        app.stop()

    threading.Thread(target=scrape, daemon=True).start()
    app.run(server)
    first_s = scraped[0][0]
    in_spell = [(int((at - first_s) // SPELL_S), took) for at, took in turns.turns if at > first_s - SPELL_S]
    quiet = [took for spell, took in in_spell if spell % 2]
    busy = [took for spell, took in in_spell if not spell % 2]
    times_ms = np.array([took for _, took in scraped]) * 1e3
    return {
        "scrape_p50_ms": float(np.percentile(times_ms, 50)),
        "scrape_p99_ms": float(np.percentile(times_ms, 99)),
        "loop_stall_ms": float(max(0.0, np.percentile(busy, 99) - np.percentile(quiet, 99)) * 1e3),
        "turn_p99_ms": float(np.percentile(busy, 99) * 1e3),
        "turn_quiet_p99_ms": float(np.percentile(quiet, 99) * 1e3),
        "series": int(np.median(series)),
        "scrapes": len(scraped),
        "events": sum(board.latest().picture.counted.values()),  # type: ignore[union-attr]
    }


def traffic(servers: str) -> None:
    """Send events at a steady rate until killed."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5})
    began_s = time.time()
    for number, message in enumerate(events(10**9, RATE_PER_S, MODELS, began_s)):
        if number % 200 == 0:
            time.sleep(max(0.0, began_s + number / RATE_PER_S - time.time()))
            producer.poll(0)
        producer.produce(TOPIC, message)


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--daemon"]:
        print(json.dumps(daemon(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
        return
    if sys.argv[1:2] == ["--traffic"]:
        traffic(sys.argv[2])
        return
    quick = options(str(__doc__).splitlines()[0]).quick
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker({TOPIC: 4}) as broker:
        settings = load_settings(None, {}, topics_required=False)
        lines = list(events(300 * MODELS, RATE_PER_S, MODELS))
        for reference in build_references(settings, Input("benchmark", lambda _: iter([lines]))).references:
            write_reference(Path(folder), reference)
        sender = subprocess.Popen([*_command("--traffic"), broker.bootstrap_servers])
        try:
            spells = "4" if quick else "20"
            done = subprocess.run(
                [*_command("--daemon"), broker.bootstrap_servers, folder, spells],
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            sender.kill()
            sender.wait()
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    show(
        "Scraping while events flow",
        {
            "series": f"{found['series']:,}",
            "events": f"{found['events']:,} at {RATE_PER_S:,.0f}/s, {MODELS} models",
            "scrape": f"p50 {found['scrape_p50_ms']:.1f} ms, p99 {found['scrape_p99_ms']:.1f} ms of {found['scrapes']}",
            "loop turn": (
                f"p99 {found['turn_p99_ms']:.1f} ms while scraped, {found['turn_quiet_p99_ms']:.1f} ms while not"
            ),
        },
        found,
    )


def _command(what: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.scrape", what]


if __name__ == "__main__":
    main()
