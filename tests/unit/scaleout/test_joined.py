"""Joined by folds that are killed, stopped and revoked, outcomes come to the same as in one process."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from monitor import build
from monitor.baseline import Input, build_references
from monitor.config import Settings
from monitor.domain import Batch
from tests.unit.scaleout.joined import NOW_S, SOURCES, JoinedCluster, traffic
from tests.unit.scaleout.test_halves import counts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.court import Court
    from monitor.references import Reference
    from tests.unit.scaleout.joined import Sent

OUTCOMES: Final = {"join": "always", "ttl_s": 60, "absence_s": 20}


def settings_of(**outcomes: object) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {"topics": ["t"]},
            "alerts": {"windows": ["10s"]},
            "outcomes": {**OUTCOMES, **outcomes},
            "models": [{"match": "*", "segments": ["country"]}],
        }
    )


SETTINGS: Final = settings_of()


@pytest.fixture(scope="module")
def references() -> Sequence[Reference]:
    history = [value for _, value in traffic(300.0, 10.0, seed=99)]
    return build_references(SETTINGS, Input("test", lambda _: iter([history]))).references


def in_one(settings: Settings, references: Sequence[Reference], messages: Sequence[Sent]) -> Court:
    whole = build.pipeline(settings, references)
    whole.assign(SOURCES)
    for at in range(0, len(messages), 40):
        part = messages[at : at + 40]
        whole.step(Batch([value for _, value in part], [number for number, _ in part], SOURCES), NOW_S)
    whole.finish()
    return whole


def joined(*courts: Court) -> Counter[tuple[str, str]]:
    out: Counter[tuple[str, str]] = Counter()
    for court in courts:
        out.update({key: n for key, n in court.picture().join.outcomes.items() if key[1] in ("joined", "late") and n})
    return out


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_one_process(references: Sequence[Reference], seed: int) -> None:
    messages = traffic(150.0, 12.0, seed)
    whole = in_one(SETTINGS, references, messages)
    cluster = JoinedCluster(build.pipeline_terms(SETTINGS), references, random.Random(seed), hurt=0.0)

    cluster.run(messages)

    assert joined(whole) == joined(*cluster.judges)
    assert counts_of([whole]) == counts_of(cluster.judges)


@pytest.mark.parametrize("seed", range(6))
def test_killed_and_stopped_they_neither_lose_nor_double_an_outcome(references: Sequence[Reference], seed: int) -> None:
    messages = traffic(150.0, 12.0, seed)
    whole = in_one(SETTINGS, references, messages)
    cluster = JoinedCluster(build.pipeline_terms(SETTINGS), references, random.Random(seed))

    cluster.run(messages)

    assert sum(cluster.done.values()) > 3
    assert cluster.again > 100
    assert joined(whole) == joined(*cluster.judges)
    assert counts_of([whole]) == counts_of(cluster.judges)
