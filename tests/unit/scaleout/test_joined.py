"""Joined by folds that are killed, stopped and revoked, outcomes come to the same as in one process."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from structlog.testing import capture_logs

from monitor import build
from monitor.baseline import Input, build_references
from monitor.config import Settings
from monitor.decode import ADAPTERS, Limits
from monitor.delta_court import DeltaCourt
from monitor.deltas import Post
from monitor.domain import Batch
from monitor.fold_house import FLUSH_S
from tests.unit.scaleout.joined import NOW_S, SOURCES, Broker, JoinedCluster, Member, told, traffic
from tests.unit.scaleout.test_halves import counts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.court import Court
    from monitor.pipeline_terms import PipelineTerms
    from monitor.references import Reference
    from tests.unit.scaleout.joined import Sent, Told

SETTINGS: Final = Settings.model_validate(
    {
        "kafka": {"topics": ["t"]},
        "alerts": {"windows": ["10s"]},
        "outcomes": {"join": "always", "ttl_s": 60, "absence_s": 10},
        "models": [{"match": "*", "segments": ["country"]}],
        "time": {"grace_s": 2},
    }
)


def terms_of(maturity_s: float = 0.0, sample: float = 1.0) -> PipelineTerms:
    """Give terms by which entries come and go within the traffic, as days later they would."""
    terms = build.pipeline_terms(SETTINGS)
    return replace(terms, seed=7, join=replace(terms.join, ttl_s=24.0, maturity_s=maturity_s, sample=sample))


@pytest.fixture(scope="module")
def references() -> Sequence[Reference]:
    return references_of_traffic()


def references_of_traffic() -> Sequence[Reference]:
    history = [value for _, value in traffic(60.0, 10.0, seed=99)]
    return build_references(SETTINGS, Input("test", lambda _: iter([history]))).references


def in_one(terms: PipelineTerms, references: Sequence[Reference], messages: Sequence[Sent]) -> tuple[Court, Told]:
    whole, out = build.pipeline(SETTINGS, references, terms), []
    whole.assign(SOURCES)
    for at in range(0, len(messages), 40):
        part = messages[at : at + 40]
        step = whole.step(Batch([value for _, value in part], [number for number, _ in part], SOURCES), NOW_S)
        out += told(step.transitions)
    return whole, out + told(whole.finish().transitions)


def joined(*courts: Court) -> Counter[tuple[str, str]]:
    out: Counter[tuple[str, str]] = Counter()
    for court in courts:
        out.update({key: n for key, n in court.picture().join.outcomes.items() if key[1] in ("joined", "late") and n})
    return out


def compare(references: Sequence[Reference], seed: int, terms: PipelineTerms, hurt: float) -> JoinedCluster:
    return compare_with_one(JoinedCluster(terms, references, random.Random(seed), hurt=hurt), seed)


def compare_with_one(cluster: JoinedCluster, seed: int) -> JoinedCluster:
    messages = traffic(50.0, 8.0, seed)
    whole, alone = in_one(cluster.terms, cluster.references, messages)

    cluster.run(messages)

    assert joined(whole)["label", "joined"] > 150
    assert joined(whole) == joined(*cluster.judges)
    assert counts_of([whole]) == counts_of(cluster.judges)
    assert sorted(alone, key=str) == sorted(cluster.told, key=str)
    return cluster


@pytest.mark.parametrize(
    "terms", [terms_of(), terms_of(maturity_s=9.0), terms_of(sample=0.7)], ids=["at_once", "mature", "sampled"]
)
def test_counts_are_those_of_one_process(references: Sequence[Reference], terms: PipelineTerms) -> None:
    compare(references, 1, terms, hurt=0.0)


@pytest.mark.parametrize("seed", range(3))
def test_killed_and_stopped_they_neither_lose_nor_double_an_outcome(references: Sequence[Reference], seed: int) -> None:
    cluster = compare(references, seed, terms_of(), hurt=0.04)

    assert min(cluster.done.values()) > 5
    assert cluster.again > 500


def test_pairs_of_which_a_court_has_some_count_once() -> None:
    """One owner means to send all and sends nothing, the next sends half, the third all, as it came."""
    terms, place, messages = terms_of(), SOURCES[0], [value for _, value in traffic(20.0, 8.0, 1)]
    broker, court = Broker(1), DeltaCourt(terms, ADAPTERS["canonical"](Limits()))
    for number, (upto, posts) in enumerate([(len(messages), 0), (len(messages) // 2, 1), (len(messages), 9)]):
        owner = Member(broker, terms, NOW_S + 10 * number)
        owner.begin(place, number)
        owner.take(place, messages[:1])  # of which it sends what it must, before it claims more
        owner.take(place, messages[1:upto])
        owner.left = posts
        for _ in range(3 if posts > 1 else 1):
            owner.flush(owner.now_s + FLUSH_S)
    for data in broker.logs[0]:
        court.take(Post.decode(data, "a post"))
    alone = build.pipeline(SETTINGS, (), terms)
    alone.step(Batch(messages, [0] * len(messages), [place]), NOW_S)

    assert [len(messages) // 2, len(messages)] == [end for end in ends(broker.logs[0]) if end > 1][:2]
    assert joined(alone)["label", "joined"] > 50
    assert joined(alone) == joined(court)


def test_outcomes_whose_inference_is_elsewhere_are_told() -> None:
    messages = [value for place, value in traffic(20.0, 8.0, 1) if place == 0]
    owner = Member(Broker(1), terms_of(), NOW_S)
    for place, is_own in ((SOURCES[0], False), (SOURCES[1], True)):
        owner.begin(place, 1)
        owner.take(place, messages[:1])
        owner.take(place, [each for each in messages if (b'"outcome"' in each) is is_own])
    with capture_logs() as log:
        owner.flush(owner.now_s + FLUSH_S)

    found = owner.house.picture().join
    assert found.outcomes["label", "elsewhere"] > 0
    assert found.waiting > 10
    told = next(line for line in log if line.get("error_code") == "outcomes_elsewhere")
    assert "request_id as key" in told["cure"]


def test_what_is_no_longer_there_to_be_read_back_is_told() -> None:
    broker = Broker(1, {SOURCES[0]: (100, "driftd2:1:100:20")})
    owner = Member(broker, terms_of(), NOW_S)
    owner.begin(SOURCES[0], 1)
    began_at, owner.at[SOURCES[0]] = owner.at[SOURCES[0]], 60
    with capture_logs() as log:
        owner.flush(owner.now_s + FLUSH_S)

    assert 20 == began_at
    assert ["join_unread"] == [line["error_code"] for line in log if line["log_level"] == "warning"]


def ends(posts: Sequence[bytes]) -> list[int]:
    return [delta.stretch.next for data in posts for delta in Post.decode(data, "a post").deltas if any(delta.stretch)]
