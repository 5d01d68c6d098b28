"""What versions count side by side: over the same time, whatever comes when, across restarts, within bounds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from monitor.bins import NO, YES
from monitor.cli import cli
from monitor.domain import Kind
from monitor.errors import DriftdError
from monitor.gate.counts import counts_dict, model_of, pair_of, totals_of
from monitor.pipeline import Pipeline
from monitor.pipeline_terms import LearnTerms
from monitor.releases import VERSIONS_MAX, ReleaseTerms
from tests.golden.traffic import batch, event, feed, finished, pipeline
from tests.unit.state.keeping import Kept

TERMS = ReleaseTerms(frozenset({"unsafe", "latency_s"}))


def made(**options: Any) -> Pipeline:  # noqa: ANN401 - as `pipeline` takes them
    return pipeline(releases=TERMS, segments=["region"], **options)


def served(
    version: str, start_s: float, events: int, *, unsafe: int = 0, region: str = "eu", every_s: float = 1.0
) -> list[bytes]:
    """Give events of a version, the first so many of them unsafe."""
    fields: dict[str, Any] = {"model_version": version, "latency_s": 0.5, "segment": {"region": region}}
    return [
        event(start_s + i * every_s, event_id=f"{version}-{region}-{start_s}-{i}", unsafe=i < unsafe, **fields)
        for i in range(events)
    ]


def mixed(*parts: Sequence[bytes]) -> list[bytes]:
    return sorted((each for part in parts for each in part), key=lambda each: json.loads(each)["event_time"])


def unsafe_of(to: Pipeline, incumbent: str, candidate: str) -> tuple[list[int], list[int]]:
    """Give safe and unsafe events of incumbent and candidate."""
    pair = pair_of(model_of(to.picture().releases, "fraud"), incumbent, candidate)
    cells = pair.cells_incumbent, pair.cells_candidate
    own, other = (each[""]["unsafe"].counts[[NO, YES]].tolist() for each in cells)
    return own, other


def test_one_version_alone_is_not_added_up() -> None:
    to = made()
    finished(to, served("v1", 0, 50))

    assert () == tuple(to.picture().releases)


def test_both_versions_are_counted_from_the_candidates_first_event_on() -> None:
    to = made()
    finished(to, mixed(served("v1", 0, 300, unsafe=100), served("v2", 200, 100, unsafe=5)))

    (v1, v2) = unsafe_of(to, "v1", "v2")
    assert [95, 5] == v2
    assert [100, 0] == v1


def test_third_version_is_compared_over_its_own_time() -> None:
    to = made()
    parts = served("v1", 0, 300, unsafe=150), served("v2", 100, 200, unsafe=120), served("v3", 200, 100, unsafe=7)
    finished(to, mixed(*parts))

    v2, v3 = unsafe_of(to, "v2", "v3")
    assert [93, 7] == v3
    assert [80, 20] == v2
    pair = pair_of(model_of(to.picture().releases, "fraud"))
    assert ("v2", "v3") == (pair.incumbent, pair.candidate)


def test_watched_segments_are_counted_apart() -> None:
    to = made()
    finished(to, mixed(served("v1", 0, 60), served("v2", 10, 40), served("v2", 10, 25, unsafe=9, region="us")))

    cells = pair_of(to.picture().releases[0]).cells_candidate
    found = {segment: cell["unsafe"].counts[[NO, YES]].tolist() for segment, cell in cells.items()}
    assert {"": [56, 9], "region=eu": [40, 0], "region=us": [16, 9]} == found


def test_late_events_are_counted_once() -> None:
    to = made()
    late = [event(20.5, event_id=f"late-{i}", model_version="v2", unsafe=True) for i in range(5)]
    finished(to, [*mixed(served("v1", 0, 60), served("v2", 10, 50)), *late])

    assert [50, 5] == unsafe_of(to, "v1", "v2")[1]


@pytest.mark.parametrize("stop", [10, 110, 150, 230, 390])
def test_process_that_ends_anywhere_changes_nothing(stop: int) -> None:
    messages = mixed(served("v1", 0, 200, unsafe=60), served("v2", 50, 150, unsafe=20), served("v3", 120, 60, unsafe=3))
    whole = made()
    finished(whole, messages)

    first, kept = made(), Kept()
    feed(first, messages[:stop])
    kept.save(first.sections())
    second = made()
    second.restore(kept.states())
    second.assign([*batch().sources])
    finished(second, messages[stop:])

    documents = [json.dumps(counts_dict(to.picture().releases, 0.0)) for to in (whole, second)]
    assert documents[0] == documents[1]


def test_state_of_before_there_were_totals_begins_now() -> None:
    messages = mixed(served("v1", 0, 100), served("v2", 50, 50))
    first, kept = pipeline(segments=["region"]), Kept()
    feed(first, messages)
    kept.save(first.sections())
    states = {name: state for name, state in kept.states().items() if name != "releases"}

    second = made()
    second.restore(states)
    second.assign([*batch().sources])
    finished(second, mixed(served("v1", 100, 30), served("v2", 100, 20, unsafe=4)))

    assert unsafe_of(second, "v1", "v2")[1][1] == 4


def test_old_versions_are_given_up_and_those_that_are_left_stay_exact() -> None:
    to = made()
    parts = [served(f"v{i}", 10.0 * i, 200, unsafe=i) for i in range(VERSIONS_MAX + 3)]
    finished(to, mixed(*parts))

    model = to.picture().releases[0]
    assert [f"v{i}" for i in range(3, VERSIONS_MAX + 3)] == [version.model_version for version in model.versions]
    assert VERSIONS_MAX + 2 == unsafe_of(to, "previous", "newest")[1][YES]
    assert all("v0" not in version.before for version in model.versions)


def test_streams_beyond_the_bound_are_counted_as_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.releases.SLOTS_MAX", 3)
    to = made()
    finished(to, mixed(served("v1", 0, 50), served("v2", 10, 40)))

    assert 0 < to.picture().overflow["release_streams"]


# ---- the document


def test_document_gives_the_same_cells_back() -> None:
    to = made()
    finished(to, mixed(served("v1", 0, 100, unsafe=7), served("v2", 30, 70, unsafe=3)))
    before = to.picture().releases

    after = totals_of(json.loads(json.dumps(counts_dict(before, 1.0))), "here")

    own, other = (pair_of(model_of(models, "fraud")).cells_candidate for models in (before, after))
    assert own.keys() == other.keys()
    for segment, cell in own.items():
        for name, stream in cell.items():
            assert np.array_equal(stream.counts, other[segment][name].counts)
            assert stream.kind is other[segment][name].kind
    assert Kind.LOG is other[""]["latency_s"].kind


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "no counts of driftd"),
        ({"format": "other"}, "no counts of driftd"),
        ({"format": "driftd-counts", "version": 2}, "has version 2, this driftd reads 1"),
        ({"format": "driftd-counts", "version": 1, "models": [{}]}, "damaged"),
    ],
)
def test_damaged_document_is_refused_with_what_is_wrong(document: object, words: str) -> None:
    with pytest.raises(DriftdError, match=words):
        totals_of(document, "counts.json")


# ---- the command


def run(*words: str | Path) -> tuple[int, str]:
    found = CliRunner().invoke(cli, [str(word) for word in words], env={"COLUMNS": "200"})
    return found.exit_code, found.output


CONFIG = """\
models:
  - segments: [region]
releases:
  default_criteria: false
  criteria:
    violations: {field: unsafe, scale: points, margin: 0.02, effect: 0.02}
    latency: {kpi: latency_p95, margin: 0.2, effect: 0.2}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "driftd.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def replayed(place: Path, unsafe: int, events: int = 3_000) -> Path:
    parts = served("v1", 0, events + 200, every_s=0.05), served("v2", 10, events, unsafe=unsafe, every_s=0.05)
    (place / "events.jsonl").write_bytes(b"\n".join(mixed(*parts)))
    code, text = run("replay", "-i", place / "events.jsonl", "--counts-out", place / "counts.json")
    assert (0, True) == (code, "counted" in text)
    return place / "counts.json"


@pytest.mark.parametrize(
    ("unsafe", "events", "code", "verdict"),
    [(0, 3_000, 0, "pass"), (300, 3_000, 1, "fail"), (1, 40, 3, "insufficient")],
)
def test_exit_code_says_the_verdict(place: Path, unsafe: int, events: int, code: int, verdict: str) -> None:
    counts = replayed(place, unsafe, events)

    ended, text = run(
        "gate", "--model", "fraud", "--incumbent", "v1", "--candidate", "v2", "--counts", counts, "--json"
    )

    found = json.loads(text)
    assert (code, verdict) == (ended, found["verdict"])
    assert {"violations", "latency"} == {each["criterion"] for each in found["criteria"]}
    people = run("gate", "--model", "fraud", "--counts", counts)
    assert code == people[0]
    assert "fraud: v2 against v1" in people[1]


def test_wrong_words_and_files_end_with_codes_of_their_own(place: Path) -> None:
    counts = replayed(place, 0, 40)
    (place / "bad.yaml").write_text("releases: {alpha: 2}\n", encoding="utf-8")
    (place / "none.yaml").write_text("log: {level: info}\n", encoding="utf-8")

    assert 2 == run("gate")[0]
    assert 1 == run("gate", "--model", "other", "--counts", counts)[0]
    code, text = run("gate", "--model", "fraud", "--candidate", "v9", "--counts", counts)
    assert (1, True) == (code, "'v1', 'v2'" in text)
    assert 78 == run("gate", "--model", "fraud", "--counts", counts, "--policy", place / "bad.yaml")[0]
    code, text = run("gate", "--model", "fraud", "--counts", counts, "--policy", place / "none.yaml")
    assert (78, True) == (code, "no section 'releases'" in text)
    assert 1 == run("gate", "--model", "fraud", "--counts", place / "missing.json")[0]
    assert 1 == run("gate", "--model", "fraud", "--url", "http://127.0.0.1:9")[0]


@pytest.mark.parametrize("is_inherited", [False, True])
def test_new_version_learns_or_takes_the_incumbents_reference(is_inherited: bool) -> None:  # noqa: FBT001 - a choice
    learn = LearnTerms(events=100, events_min=50, is_inherited=is_inherited)
    to, kept = made(learn=learn), Kept()
    feed(to, served("v1", 0, 150))
    feed(to, served("v2", 150, 20))

    v1, v2 = to.picture().models
    assert "ready" == v1.state
    assert (v1.reference, "ready") == (v2.reference, v2.state) if is_inherited else "learning" == v2.state
    kept.save(to.sections())
    back = made(learn=learn)
    back.restore(kept.states())
    assert to.picture().models == back.picture().models
