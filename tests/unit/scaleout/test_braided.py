"""Outcomes in a topic of their own, joined by folds that are killed, stopped and revoked: as in one process."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from monitor.join.joiner import MARKED
from tests.unit.scaleout.braided import BraidedCluster
from tests.unit.scaleout.joined import traffic
from tests.unit.scaleout.test_halves import counts_of
from tests.unit.scaleout.test_joined import compare_with_one, in_one, joined, references_of_traffic, terms_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monitor.references import Reference


@pytest.fixture(scope="module")
def references() -> Sequence[Reference]:
    return references_of_traffic()


@pytest.mark.parametrize(("seed", "hurt"), [(1, 0.0), (2, 0.03), (3, 0.03)])
def test_counts_and_alerts_are_those_of_one_process(references: Sequence[Reference], seed: int, hurt: float) -> None:
    cluster = BraidedCluster(terms_of(), references, random.Random(seed), hurt=hurt)

    compare_with_one(cluster, seed)

    assert not hurt or (min(cluster.done.values()) > 3 and cluster.again > 10)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_whatever_order_topics_come_nothing_is_lost_or_doubled(references: Sequence[Reference], seed: int) -> None:
    """Of what time decides, which is whether an outcome came soon enough, the order of messages has a say."""
    messages, terms = traffic(20.0, 8.0, seed), terms_of()
    terms = replace(terms, join=replace(terms.join, ttl_s=1e4))
    whole, _ = in_one(terms, references, messages)
    cluster = BraidedCluster(terms, references, random.Random(seed), hurt=0.05)
    cluster.logs.rng = random.Random(seed)

    cluster.run(messages)

    assert joined(whole) == joined(*cluster.judges)
    assert timeless(counts_of([whole])) == timeless(counts_of(cluster.judges))
    assert min(cluster.done.values()) > 0


def timeless(counts: Mapping[tuple[object, ...], list[int]]) -> dict[tuple[object, ...], list[int]]:
    return {each: count for each, count in counts.items() if getattr(each[1], "field", "") not in MARKED.values()}
