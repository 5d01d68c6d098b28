"""The gates that the daemon keeps asking, and `driftd gate` against what a daemon serves."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor import gate_watch
from monitor.cli import cli
from monitor.domain import Snapshot
from monitor.exporter import render
from monitor.gate.policy import UPGRADE, Policy
from monitor.gate_watch import GateOrder, GateWatch
from monitor.releases import ReleaseTerms
from monitor.web import WebServer, WebTerms
from tests.golden.traffic import event, finished, pipeline
from tests.unit.snapshots import NOW_S, snapshot

POLICY = Policy(criteria=(replace(UPGRADE[2], margin=0.02, effect=0.02), UPGRADE[0]))
NAME = 'a model/with "signs" & more'


@pytest.fixture(scope="module")
def shot() -> Snapshot:
    to = pipeline(releases=ReleaseTerms(frozenset({"unsafe"})))
    versions = ("v1", "v2")
    events = [
        event(i * 0.05, event_id=f"e{i}", model=NAME, model_version=versions[i % 2], unsafe=False) for i in range(4_000)
    ]
    finished(to, events)
    return replace(snapshot(), picture=to.picture(), gates=())


def test_gates_are_asked_of_the_models_that_match(shot: Snapshot) -> None:
    orders = [GateOrder("a *", "previous", "newest"), GateOrder("b *", "v1", "v2"), GateOrder("*", "v1", "v9")]
    watch = GateWatch(lambda: shot, orders, POLICY, clock=lambda: NOW_S)
    watch.look()

    (status,) = watch.status()
    assert (NAME, "v1", "v2") == (status.model, status.incumbent, status.candidate)
    assert {"overall": "insufficient", "violations": "pass", "success": "insufficient"} == dict(status.verdicts)
    page = render(replace(shot, gates=(status,))).decode()
    assert 'criterion="violations"} 1.0' in page
    assert 'criterion="overall"} 0.0' in page
    json.dumps(status.details, allow_nan=False)


def test_watch_asks_by_itself_and_ends_when_told(shot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_watch, "ASK_S", 0.01)
    watch = GateWatch(lambda: shot, [GateOrder("*", "v1", "v2")], POLICY)
    watch.start()
    deadline_s = time.monotonic() + 60.0
    while not watch.status() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    watch.stop()
    watch.stop()

    assert 1 == len(watch.status())


def test_nothing_is_said_before_there_is_a_snapshot() -> None:
    watch = GateWatch(lambda: None, [GateOrder("*", "v1", "v2")], POLICY)
    watch.look()

    assert () == tuple(watch.status())


def test_gate_asks_a_daemon(shot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    policy = "releases: {default_criteria: false, criteria: {v: {field: unsafe, scale: points, margin: 0.02}}}\n"
    (tmp_path / "policy.yaml").write_text(policy, encoding="utf-8")
    server = WebServer(lambda: shot, WebTerms())
    server.start()
    words = ["gate", "--url", f"http://127.0.0.1:{server.port}", "--policy", "policy.yaml", "--model"]
    try:
        found, other = (CliRunner().invoke(cli, [*words, name]) for name in (NAME, "other"))
    finally:
        server.stop()

    assert (0, True) == (found.exit_code, "v2 against v1: PASS" in found.output)
    assert (1, True) == (other.exit_code, "has no two versions" in other.output)
