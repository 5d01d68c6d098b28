"""Scorecards: from what was counted to a page, side by side, and what has changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from monitor.cli import cli
from monitor.domain import Snapshot
from monitor.releases import ReleaseTerms
from monitor.scorecard import markdown, scorecards
from monitor.versions import GateStatus
from monitor.web import WebServer, WebTerms
from tests.golden.traffic import event, finished, pipeline
from tests.unit.snapshots import NOW_S, snapshot


def served() -> Snapshot:
    """Give a snapshot of two versions, of which the newer one is half as often unsafe and dearer."""
    to = pipeline(releases=ReleaseTerms(frozenset({"unsafe", "cost_usd", "latency_s"})), learn_events=100)
    events = [
        event(
            i * 0.1,
            event_id=f"e{i}",
            model_version="v2" if i % 2 else "v1",
            unsafe=i % (20 if i % 2 else 10) in {0, 1},
            cost_usd=0.02 if i % 2 else 0.01,
            latency_s=0.5,
        )
        for i in range(2_000)
    ]
    finished(to, events)
    gate = GateStatus("fraud", "v1", "v2", NOW_S, {"overall": "insufficient"}, {}, {}, 0.0, {})
    return replace(snapshot(), picture=to.picture(), gates=(gate,))


@pytest.fixture(scope="module")
def shot() -> Snapshot:
    return served()


@pytest.fixture(scope="module")
def url(shot: Snapshot) -> Iterator[str]:
    server = WebServer(lambda: shot, WebTerms())
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


def run(*words: str | Path) -> tuple[int, str]:
    found = CliRunner().invoke(cli, ["scorecard", "--model", "fraud", *map(str, words)], env={"COLUMNS": "200"})
    return found.exit_code, found.output


def test_card_says_what_was_counted(shot: Snapshot) -> None:
    v1, v2 = scorecards(shot, "fraud")["scorecards"]

    assert 0.2 == pytest.approx(v1["kpis"]["unsafe_rate"]["value"], abs=0.001)
    assert 0.1 == pytest.approx(v2["kpis"]["unsafe_rate"]["value"], abs=0.001)
    assert 20.0 == pytest.approx(v2["kpis"]["cost_per_1000"]["value"], rel=0.01)
    assert 0.5 == pytest.approx(v2["kpis"]["latency_p95"]["value"], rel=0.01)
    assert "unsafe_rate" == v1["lines"]["violation rate"]
    assert v1["lines"]["quality"] is None
    assert (None, "insufficient", "v1") == (v1["release_status"], v2["release_status"], v2["compared_with"])
    assert [] == scorecards(shot, "other")["scorecards"]


def test_page_for_people_in_all_forms(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = "alerts: {owner: team-fraud}\nmodels: [{match: fraud, use_case: card payments}]\n"
    (tmp_path / "driftd.yaml").write_text(config, encoding="utf-8")
    (tmp_path / "offline.json").write_text('{"accuracy": 0.93}', encoding="utf-8")

    code, text = run("--url", url, "--version", "v2", "--offline", "offline.json")
    assert (0, 1) == (code, text.count("# fraud v2"))
    for line in ("| use case | card payments |", "| owner | team-fraud |", "| offline quality | accuracy 0.93 |"):
        assert line in text
    assert "| release status | insufficient, against v1 |" in text
    assert "<td>card payments</td>" in run("--url", url, "--format", "html")[1]
    side = run("--url", url, "--offline", "offline.json", "--reconcile")[1]
    assert "| KPI | offline | canary v2 | live v1 | lift |" in side
    assert "| accuracy | 0.93 | unknown | unknown | unknown |" in side
    (line,) = [each for each in side.splitlines() if each.startswith("| unsafe_rate |")]
    lift, low, high = (float(found) for found in re.findall(r"([+-][\d.]+)%", line))
    assert -50.0 == pytest.approx(lift, abs=0.5)
    assert -70.0 < low < lift < high < -25.0


def test_changes_since_an_earlier_scorecard(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    earlier: dict[str, Any] = json.loads(run("--url", url, "--format", "json")[1])
    earlier["scorecards"][1]["kpis"]["unsafe_rate"] |= {"value": 0.15, "interval": [0.12, 0.18]}
    (tmp_path / "week.json").write_text(json.dumps(earlier), encoding="utf-8")

    text = run("--url", url, "--against", "week.json")[1]

    assert "| KPI | before | now | change |" in text
    (line,) = [each for each in text.splitlines() if each.startswith("| unsafe_rate | 0.15")]
    change, low, high = (float(found) for found in re.findall(r"([+-][\d.]+)", line))
    assert -0.05 == pytest.approx(change, abs=1e-3)
    assert -0.1 < low < change < high < 0.0


def test_what_can_not_be_read_is_told(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[]", encoding="utf-8")
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")

    assert 1 == run("--url", url, "--version", "v9")[0]
    code, text = run("--url", url, "--offline", "list.json")
    assert (1, True) == (code, "no JSON object" in text)
    assert 1 == run("--url", url, "--against", "other.json")[0]
    assert 1 == run("--url", "http://127.0.0.1:9")[0]


def test_names_from_outside_stay_text(shot: Snapshot) -> None:
    (card, _) = scorecards(shot, "fraud")["scorecards"]
    page = markdown([{**card, "model": "<script>|*x*", "owner": "a|b"}])

    assert "\\<script\\>\\|\\*x\\*" in page
    assert "| owner | a\\|b |" in page


def test_pages_answer_before_there_is_a_snapshot() -> None:
    server = WebServer(lambda: None, WebTerms())
    server.start()
    try:
        base = f"http://127.0.0.1:{server.port}/api/v1"
        found = [httpx2.get(f"{base}/{page}", trust_env=False).json() for page in ("counts", "gates", "scorecards")]
    finally:
        server.stop()
    assert [] == found[0]["models"]
    assert [{"gates": []}, {}] == found[1:]
