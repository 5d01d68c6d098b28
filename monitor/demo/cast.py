"""Who performs: one daemon, or two folds and two judges of which one each is killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml

from monitor.deltas import court_of
from monitor.errors import DriftdError

READY_S: Final = 90.0
COURTS: Final = 4
TOPICS: Final[Mapping[str, int]] = {"driftd.deltas": COURTS, "driftd.layouts": 1, "driftd.state": COURTS}
AHEAD_S: Final = 3.0
"""So long before an incident somebody is killed: it comes while nobody has taken over yet."""
ASK_EVERY_S: Final = 0.5
PATIENCE_S: Final = 60.0


@dataclass(slots=True)
class Actor:
    """A process. title: for people. role: the command it runs."""

    title: str
    role: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str) -> dict[str, Any]:
        """Give a page as JSON; {} where nobody answers."""
        try:
            answer = httpx2.get(f"{self.url}{path}", timeout=2.0)
            return answer.json() if answer.status_code == 200 else {}
        except (httpx2.HTTPError, ValueError):
            return {}

    def partitions(self) -> set[int]:
        """Give the partitions that it has."""
        return {each["partition"] for each in self.get("/api/v1/status").get("partitions", ())}


@dataclass(slots=True)
class Death:
    """Somebody is killed at a time. court: that a judge must have; back_s: when another had taken over, wall clock."""

    role: str
    at_s: float
    court: int | None = None
    victim: Actor | None = None
    had: set[int] = field(default_factory=set)
    back_s: float | None = None


@dataclass(slots=True)
class Cast:
    """All who perform, and what becomes of them. is_scaled: whether somebody is to be killed."""

    actors: list[Actor]
    is_scaled: bool = False
    deaths: list[Death] = field(default_factory=list)
    _asked_s: float = 0.0

    @property
    def patience_s(self) -> float:
        """How much longer the show may last where something is still to come: a kill costs a session, and more."""
        return PATIENCE_S if self.is_scaled else 0.0

    def plan(self, incidents: Sequence[tuple[float, str]]) -> None:
        """Say when what comes: the fold is killed before the second incident, before the third who judges its model."""
        if self.is_scaled and not self.deaths:
            (second_s, _), (third_s, model) = incidents[1:3]
            self.deaths = [
                Death("fold", second_s - AHEAD_S),
                Death("judge", third_s - AHEAD_S, court_of(model, COURTS)),
            ]

    def act(self, now_s: float) -> Iterator[str]:
        """Do what is due, and give what there is to say about it."""
        for death in self.deaths:
            if death.victim is None and now_s >= death.at_s:
                yield self._kill(death)
            elif death.victim is not None and death.back_s is None and now_s - self._asked_s >= ASK_EVERY_S:
                self._asked_s = now_s
                others = [a for a in self.actors if a.role == death.role and a is not death.victim]
                if death.had <= set().union(*(each.partitions() for each in others)):
                    death.back_s = time.time()
                    took_s = death.back_s - death.at_s
                    yield f"[bold cyan]took over[/] {others[0].title} has it all after {took_s:.1f} s"

    def _kill(self, death: Death) -> str:
        able = [actor for actor in self.actors if actor.role == death.role]
        had = {actor.title: actor.partitions() for actor in able}
        death.victim = next((a for a in able if death.court is None or death.court in had[a.title]), able[0])
        death.had, death.at_s = had[death.victim.title], time.time()
        death.victim.process.kill()
        what = "source partitions" if death.role == "fold" else "courts"
        return f"[bold yellow]killed[/]    {death.victim.title} (kill -9), which had the {what} {sorted(death.had)}"

    def result(self) -> dict[str, Any]:
        """Give what came of it, for the last line; {} where nobody is killed."""
        if not self.is_scaled:
            return {}
        return {
            "killed": [
                {
                    "who": None if death.victim is None else death.victim.title,
                    "took_over_s": None if death.back_s is None else round(death.back_s - death.at_s, 2),
                }
                for death in self.deaths
            ]
        }

    def is_good(self) -> bool:
        """Tell whether others took over from all who were killed, and those are all that is not there any more."""
        victims = [death.victim for death in self.deaths]
        alive = all(actor.process.poll() is None for actor in self.actors if actor not in victims)
        return alive and all(death.back_s is not None for death in self.deaths)


@contextmanager
def alone(settings: Mapping[str, Any], folder: Path, port: int) -> Iterator[Cast]:
    """Run `driftd run` as a person would, until the block ends. port: 0 takes a free one."""
    with _running([("daemon", "run", port, settings)], folder) as actors:
        yield Cast(actors)


@contextmanager
def scaled(settings: Mapping[str, Any], folder: Path, port: int) -> Iterator[Cast]:
    """Run two folds and two judges on the topics of TOPICS. port: of the first judge, 0 takes a free one."""
    own = {**settings, "scaleout": {"courts": COURTS, "replicas": 1}}
    roles = [(f"{role} {number}", role) for role in ("judge", "fold") for number in (1, 2)]
    wanted = [(title, role, 0 if at else port, own) for at, (title, role) in enumerate(roles)]
    with _running(wanted, folder) as actors:
        yield Cast(actors, is_scaled=True)


@contextmanager
def _running(wanted: Sequence[tuple[str, str, int, Mapping[str, Any]]], folder: Path) -> Iterator[list[Actor]]:
    actors: list[Actor] = []
    ports = _ports([port for _, _, port, _ in wanted])
    try:
        for (title, role, _, settings), port in zip(wanted, ports, strict=True):
            actors.append(_start(title, role, port, settings, folder / title.replace(" ", "-")))
        for actor in actors:
            _wait(actor)
        yield actors
    finally:
        for actor in actors:
            actor.process.send_signal(signal.SIGTERM)
        for actor in actors:
            try:
                actor.process.wait(30)
            except subprocess.TimeoutExpired:
                actor.process.kill()
                actor.process.wait()


def _start(title: str, role: str, port: int, settings: Mapping[str, Any], folder: Path) -> Actor:
    folder.mkdir()
    config, log = folder / "driftd.yaml", folder / "driftd.log"
    own = {**settings, "http": {"port": port}, "state": {"directory": str(folder / "state")}}
    config.write_text(yaml.safe_dump(own), encoding="utf-8")
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - this program itself, without a shell
            [sys.executable, "-m", "monitor", role, "--config", str(config)], stderr=file
        )
    return Actor(title, role, f"http://127.0.0.1:{port}", process, log)


def _wait(actor: Actor) -> None:
    """Wait until it is alive, and of a group's member until it has something to do."""
    deadline_s = time.monotonic() + READY_S
    while not (_answers(f"{actor.url}/livez") and (actor.role == "run" or actor.partitions())):
        if actor.process.poll() is not None or time.monotonic() > deadline_s:
            raise DriftdError(f"the {actor.title} did not start:\n{actor.log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2.0).status_code == 200
    except httpx2.HTTPError:
        return False


def _ports(wanted: Sequence[int]) -> list[int]:
    """Give the ports wanted, a free one for each 0: all are held at once, or two could be given the same."""
    with ExitStack() as held:
        ports = []
        for port in wanted:
            if port:
                ports.append(port)
                continue
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
        return ports
