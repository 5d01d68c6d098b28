"""Segments worse than the rest: the exact test, its correction for many, and the way from events to the command."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
from scipy.stats import fisher_exact
from typer.testing import CliRunner

from monitor.cli import cli
from monitor.domain import StreamKey
from monitor.segment_hits import SegmentHits
from monitor.segments_report import to_text
from monitor.status import segments_dict
from monitor.worst import FALSE_SHARE, is_yes_bad, worst_segments
from tests.golden.traffic import feed, pipeline, steady
from tests.unit.snapshots import snapshot

SEGMENTS: Final = 40


def hits(rows: list[tuple[int, int]], whole: tuple[int, int], *, field: str = "error", model: str = "m") -> SegmentHits:
    """Give segments of one model: bad and all of each, and of all traffic."""
    keys = tuple(StreamKey(model, "1", field, f"region={i}") for i in range(len(rows)))
    own = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return SegmentHits(
        window="1h",
        keys=keys,
        hits=own[:, 0],
        samples=own[:, 1],
        whole_hits=np.full(len(rows), whole[0]),
        whole_samples=np.full(len(rows), whole[1]),
        is_above=np.zeros(len(rows), dtype=bool),
    )


def test_chance_is_fishers_exact_one() -> None:
    (worst,) = worst_segments(hits([(30, 200)], (60, 2_000)))

    table = np.array([[30, 170], [30, 1_770]])
    assert fisher_exact(table, alternative="greater").pvalue == pytest.approx(worst.chance, rel=1e-9)
    assert (30 / 200, 30 / 1_800, 200) == (worst.share, worst.rest, worst.samples)


def test_chance_is_corrected_for_how_many_are_looked_at() -> None:
    alone = worst_segments(hits([(9, 100)], (40, 1_000)))
    among = worst_segments(hits([(9, 100)] + [(3, 100)] * 99, (40, 1_000)))

    assert 1 == len(alone)
    assert alone[0].chance == pytest.approx(alone[0].false_share)
    assert [] == among


def test_better_ones_and_small_ones_are_not_told() -> None:
    assert [] == worst_segments(hits([(0, 500), (5, 5)], (300, 2_000)))


def test_none_are_told_where_there_are_none() -> None:
    assert [] == worst_segments(hits([], (0, 0)))
    assert [] == worst_segments(hits([(0, 0)], (0, 0)))
    assert [] == worst_segments(hits([(50, 50)], (50, 50)))  # there is no rest


def test_models_are_looked_at_apart() -> None:
    found = hits([(30, 200)], (60, 2_000))

    assert [] == worst_segments(found, "other")
    assert 1 == len(worst_segments(found, "m"))


@pytest.mark.parametrize("seed", range(3))
def test_share_of_false_ones_is_kept(seed: int) -> None:
    """Ten of forty segments are worse. On average at most one in twenty of those told is not (Benjamini, Hochberg)."""
    rng = np.random.default_rng(seed)
    false, told, found = [], 0, 0
    for _ in range(150):
        samples = np.full(SEGMENTS, 300)
        bad = rng.binomial(samples, np.where(np.arange(SEGMENTS) < 10, 0.12, 0.05))
        whole = (int(bad.sum()), int(samples.sum()))
        named = {each.key.segment for each in worst_segments(hits(list(zip(bad, samples, strict=True)), whole))}
        truly = {f"region={i}" for i in range(10)}
        false.append(len(named - truly) / max(1, len(named)))
        told, found = told + len(named), found + len(named & truly)

    assert np.mean(false) <= FALSE_SHARE + 0.02  # of 150 trials; and the worse ones raise the rest, which only helps
    assert found > 0.6 * 150 * 10


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_told_of_segments_that_are_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(200):
        samples = rng.integers(50, 1_000, SEGMENTS)
        bad = rng.binomial(samples, 0.05)
        told = worst_segments(hits(list(zip(bad, samples, strict=True)), (int(bad.sum()), int(samples.sum()))))
        wrong += bool(told)

    assert wrong / 200 <= FALSE_SHARE + 0.03


@pytest.mark.parametrize(
    ("field", "is_bad"),
    [
        ("unsafe", True),
        ("error", True),
        ("refused", True),
        ("overridden", True),
        ("evaluation.policy_violation", True),
        ("feedback.repeat_contact", True),
        ("blocked", True),
        ("correct", False),
        ("success", False),
        ("labelled", False),
        ("recall", False),
        ("evaluation.citation_valid", False),
        ("feedback", False),
        ("evaluation.cites_source", False),
    ],
)
def test_which_answer_is_bad(field: str, is_bad: bool) -> None:  # noqa: FBT001 - pytest gives it by name
    assert is_bad == is_yes_bad(field)


# ---- from events on


def worse_in_us(number: int, content: dict[str, Any]) -> None:
    rng = random.Random(number)
    content["segment"] = {"country": rng.choice(("DE", "FR", "US"))}
    is_us = content["segment"]["country"] == "US"
    content["unsafe"] = rng.random() < (0.06 if is_us else 0.02)
    content["latency_s"] = rng.lognormvariate(-1.0, 0.5) * (1.4 if is_us else 1.0)
    content["tokens_in"] = 1_000 if is_us else 10


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    made = pipeline(segments=["country"])
    feed(made, steady(3, 6_000, change=worse_in_us))
    told: dict[str, Any] = json.loads(json.dumps(segments_dict(replace(snapshot(), picture=made.picture()), "fraud")))
    return told


def test_segment_that_is_worse_is_told_in_each_field(seen: dict[str, Any]) -> None:
    told = {(each["field"], each["segment"], each["beyond"]) for each in seen["segments"]}

    assert {("unsafe", "country=US", "yes"), ("latency_s", "country=US", "p95")} == told
    assert "1h" == seen["window"]
    (latency,) = (each for each in seen["segments"] if each["field"] == "latency_s")
    assert latency["share"] > 2 * latency["rest"]


def test_people_read_it(seen: dict[str, Any]) -> None:
    text = to_text(seen)

    assert "2 of 6 segments and fields compared in the last 1h are worse than the rest" in text
    assert "fraud: unsafe where country=US: 5.86% yes, the rest 1.74% (1,996 samples" in text
    assert "beyond the model's p95" in text


def test_model_without_segments_says_how_to_have_some() -> None:
    assert "auto_segments" in to_text(segments_dict(snapshot()))


def test_command_without_a_daemon_says_so() -> None:
    result = CliRunner().invoke(cli, ["segments", "--url", "http://127.0.0.1:1"])

    assert 1 == result.exit_code
    assert "no daemon answers" in result.output
