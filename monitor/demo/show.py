"""One performance: references from healthy history, a broker, the daemon, traffic, incidents, what comes of them."""

from __future__ import annotations

import json
import queue
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer
from rich.console import Console
from rich.markup import escape

from monitor.baseline import Input, build_references
from monitor.config import load_settings
from monitor.demo.cast import TOPICS, Cast, alone, scaled
from monitor.demo.receiver import AlertReceiver
from monitor.demo.traffic import INCIDENTS, RATES_PER_S, Incident, event, history
from monitor.embedded import EmbeddedBroker
from monitor.reference_files import write_reference

TOPIC: Final = "inferences"
HISTORY_S: Final = 120.0
QUIET_SHARE: Final = 0.25
"""Share of the time before the first incident: whatever fires in it is a false alarm."""
LASTING_SHARE: Final = 0.16
SHOW_SHARE: Final = 0.7
"""Of the whole time, for the show itself, however long a busy machine takes for setting up."""
TICK_S: Final = 0.05


@dataclass(slots=True)
class Plant:
    """An incident that is planted, and when it was told of. Times are wall clock; told_s is None until it is."""

    incident: Incident
    from_s: float
    to_s: float
    told_s: float | None = None
    said: str = ""
    is_shown: bool = False


@dataclass(slots=True)
class Show:
    """What has happened so far. fired_early counts alerts that fit no incident planted before them."""

    plants: list[Plant] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    sent: int = 0

    def take(self, alert: dict[str, Any], at_s: float) -> tuple[Plant | None, bool]:
        """Take in a notification; give the incident it is about, and whether it is the first word of it."""
        if alert["status"] != "firing":
            return None, False
        labels = alert["labels"]
        for plant in self.plants:
            fits = labels.get("model") == plant.incident.model and labels.get("field") in plant.incident.fields
            if fits and plant.from_s <= at_s:
                is_first = plant.told_s is None
                if is_first:
                    plant.told_s, plant.said = at_s, alert["annotations"]["summary"]
                return plant, is_first
        self.false_alarms.append(alert["annotations"]["summary"])
        return None, True

    def result(self) -> dict[str, Any]:
        """Give the last line."""
        planted = [plant for plant in self.plants if plant.is_shown]
        delays = [plant.told_s - plant.from_s for plant in planted if plant.told_s is not None]
        return {
            "planted": len(planted),
            "detected": len(delays),
            "false_alarms": len(self.false_alarms),
            "mttd_s": round(sum(delays) / len(delays), 2) if delays else None,
            "incidents": [
                {
                    "name": plant.incident.name,
                    "detected": plant.told_s is not None,
                    "delay_s": None if plant.told_s is None else round(plant.told_s - plant.from_s, 2),
                }
                for plant in planted
            ],
            "events": self.sent,
        }


def run_demo(seconds: float | None, *, as_json: bool, port: int, is_scaled: bool = False) -> bool:
    """Perform; tell whether every planted incident was detected and delivered, and nothing else fired.

    seconds: how long; None: until Ctrl-C. is_scaled: two folds and two judges in place of one daemon. One of each is
    killed, and the other must have taken over.
    """
    console = Console(stderr=as_json, highlight=False)
    show = Show()
    began_s = time.time()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="driftd-demo-")))
        _say(console, began_s, "building references from two minutes of healthy history …")
        _build_references(folder)
        broker = stack.enter_context(EmbeddedBroker({TOPIC: 2, **(TOPICS if is_scaled else {})}))
        said: queue.Queue[tuple[dict[str, Any], float]] = queue.Queue()
        receiver = AlertReceiver(lambda alert, at_s: said.put((alert, at_s)))
        stack.callback(receiver.close)
        settings = _settings(folder, broker.bootstrap_servers, receiver.url)
        cast = stack.enter_context(scaled(settings, folder, port) if is_scaled else alone(settings, folder, port))
        stack.enter_context(_interrupts())
        where = f"(embedded broker on {broker.bootstrap_servers})"
        for actor in cast.actors:
            _say(console, began_s, f"the {actor.title} is up: {actor.url}/metrics  {where}")
        try:
            _perform(console, show, broker.bootstrap_servers, said, (began_s, seconds), cast)
        except KeyboardInterrupt:
            _say(console, began_s, "stopping")
        is_standing = cast.is_good()
    result = {**show.result(), **cast.result()}
    is_good = result["detected"] == result["planted"] > 0 and not show.false_alarms and is_standing
    _finish(console, show, result, began_s)
    if as_json:
        sys.stdout.write(f"{json.dumps(result)}\n")
        sys.stdout.flush()
    return is_good or (seconds is None and not show.false_alarms)


def _perform(
    console: Console,
    show: Show,
    servers: str,
    said: queue.Queue[tuple[dict[str, Any], float]],
    span: tuple[float, float | None],
    cast: Cast,
) -> None:
    began_s, seconds = span
    start_s = time.time()
    end_s = max(began_s + seconds, start_s + SHOW_SHARE * seconds) if seconds is not None else float("inf")
    show.plants = list(_plan(start_s, min(end_s, start_s + 90.0)))
    cast.plan([(plant.from_s, plant.incident.model) for plant in show.plants])
    _say(console, began_s, f"healthy traffic: {', '.join(f'{m} {r:.0f}/s' for m, r in RATES_PER_S.items())}")
    sender = Sender(servers, start_s)
    while (now_s := time.time()) < end_s or (now_s < end_s + cast.patience_s and not _is_over(show, cast)):
        for plant in show.plants:
            if not plant.is_shown and now_s >= plant.from_s:
                plant.is_shown = True
                _say(console, began_s, f"[bold yellow]planted[/]   {plant.incident.words} ({plant.incident.model})")
        for text in cast.act(now_s):
            _say(console, began_s, text)
        show.sent += sender.send_until(now_s, show.plants)
        while not said.empty():
            _tell(console, show, *said.get(), began_s=began_s)
        if all(plant.is_shown and now_s > plant.to_s + 20 for plant in show.plants) and seconds is None:
            show.plants += list(_plan(now_s, now_s + 90.0))
        time.sleep(TICK_S)
    sender.flush()


def _is_over(show: Show, cast: Cast) -> bool:
    """Tell whether all is detected that was planted, and others have taken over from all who were killed."""
    return all(plant.told_s is not None for plant in show.plants) and cast.is_good()


def _plan(start_s: float, end_s: float) -> Iterator[Plant]:
    """Spread the incidents over the time: each over before the next begins, the last with time to be noticed."""
    span_s = end_s - start_s
    step_s = (1.0 - QUIET_SHARE) * span_s / len(INCIDENTS)
    for number, incident in enumerate(INCIDENTS):
        from_s = start_s + QUIET_SHARE * span_s + number * step_s
        yield Plant(incident, from_s, from_s + max(LASTING_SHARE * span_s, min(12.0, 0.9 * step_s)))


def _tell(console: Console, show: Show, alert: dict[str, Any], at_s: float, *, began_s: float) -> None:
    plant, is_first = show.take(alert, at_s)
    text = escape(alert["annotations"]["summary"])
    if alert["status"] != "firing":
        _say(console, began_s, f"[green]resolved[/]  {text}")
    elif plant is None:
        _say(console, began_s, f"[bold red]FALSE ALARM[/] {text}")
    else:
        delay = f" [bold]({at_s - plant.from_s:.1f} s after it was planted)[/]" if is_first else ""
        _say(console, began_s, f"[bold red]alert[/]     {text}{delay}")


def _say(console: Console, began_s: float, text: str) -> None:
    console.print(f"[dim]{time.time() - began_s:6.1f} s[/]  {text}", soft_wrap=True)


def _finish(console: Console, show: Show, result: dict[str, Any], began_s: float) -> None:
    _say(
        console,
        began_s,
        f"[bold]{result['detected']} of {result['planted']} incidents detected and delivered, "
        f"{result['false_alarms']} false alarms, mean time to detect {result['mttd_s']} s, {show.sent:,} events[/]",
    )


class Sender:
    """Sends events so that their number keeps to the clock, however late each call comes."""

    def __init__(self, servers: str, start_s: float) -> None:
        self._producer = Producer({"bootstrap.servers": servers, "linger.ms": 20})
        self._rng = random.Random(23)  # noqa: S311 - to be repeatable, not to be secret
        self._due = dict.fromkeys(RATES_PER_S, start_s)

    def send_until(self, now_s: float, plants: list[Plant]) -> int:
        """Send all events due by now; give how many."""
        count = 0
        for model, rate_per_s in RATES_PER_S.items():
            while self._due[model] <= now_s:
                at_s = self._due[model]
                going = (p.incident.name for p in plants if p.incident.model == model and p.from_s <= at_s < p.to_s)
                body = json.dumps(event(self._rng, model, round(at_s, 4), next(going, None))).encode()
                self._producer.produce(TOPIC, body)
                self._due[model] += 1.0 / rate_per_s
                count += 1
        self._producer.poll(0)
        return count

    def flush(self) -> None:
        """Wait for what is on its way."""
        self._producer.flush(5)


def _build_references(folder: Path) -> None:
    lines = [json.dumps(found).encode() for found in history(HISTORY_S, time.time() - 60.0)]
    settings = load_settings(None, {}, topics_required=False)
    given = Input("two minutes of healthy traffic", lambda _: iter([lines]))
    for reference in build_references(settings, given).references:
        write_reference(folder / "references", reference)


def _settings(folder: Path, servers: str, webhook: str) -> dict[str, Any]:
    return {
        "kafka": {"bootstrap_servers": [servers], "topics": [TOPIC], "start": "earliest"},
        "reference": {"directory": str(folder / "references")},
        "alerts": {
            "windows": ["10s", "1m"],
            "keep_firing_for_s": 5,
            "owner": "on-call",
            "runbook": "https://example.com/runbooks/driftd",
        },
        "receivers": {
            "log": {"type": "log"},
            "on-call": {"type": "webhook", "url": webhook, "http": {"allow_internal": True}},
        },
        "log": {"format": "json"},
    }


@contextmanager
def _interrupts() -> Iterator[None]:
    """Let SIGTERM end the demonstration as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
