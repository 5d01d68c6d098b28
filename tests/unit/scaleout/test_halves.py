"""Counted by several folds and judged by several courts, it comes to the same as in one process."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from benchmarks.faults.traffic import MODELS, event
from monitor import build
from monitor.baseline import Input, build_references
from monitor.claims import Stretch
from monitor.config import Settings
from monitor.decode import ADAPTERS, Limits
from monitor.delta_court import DeltaCourt
from monitor.delta_fold import DeltaFold
from monitor.deltas import Delta, Post, court_of
from monitor.domain import Batch, TopicPartition
from monitor.users import DISTINCT_USERS

if TYPE_CHECKING:
    from monitor.court import Court
    from monitor.layouts import Layout
    from monitor.pipeline_terms import PipelineTerms
    from monitor.references import Reference

PARTITIONS: Final = 4
SOURCES: Final = tuple(TopicPartition("t", number) for number in range(PARTITIONS))
START_S: Final = 1_795_200_002.4
APART: Final = 4
"""So many courts, and each model has one of its own."""
SETTINGS: Final = Settings.model_validate({"kafka": {"topics": ["t"]}, "alerts": {"windows": ["10s"]}})

Sent = tuple[int, bytes]
Told = list[tuple[object, ...]]


def sent(seconds: float, rate_per_s: float, seed: int = 4) -> list[Sent]:
    """Give messages in the order of sending, with the partition of each; from half of the time on all is wrong."""
    rng = random.Random(seed)
    out = []
    for number in range(int(seconds * rate_per_s)):
        at_s = number / rate_per_s
        value = event(rng, rng.choice(list(MODELS)), START_S + at_s, is_planted=at_s > seconds / 2)
        out.append((rng.randrange(PARTITIONS), value))
    return out


@pytest.fixture(scope="module")
def references() -> Sequence[Reference]:
    rng = random.Random(1)
    history = [
        event(rng, rng.choice(list(MODELS)), START_S - 60.0 + number / 100.0, is_planted=False)
        for number in range(6_000)
    ]
    return build_references(SETTINGS, Input("test", lambda _: iter([history]))).references


def told(transitions: Iterable[Any]) -> Told:
    return [(each.time_s, each.alert.rule, each.alert.key, each.alert.state, each.alert.value) for each in transitions]


def counts_of(courts: Iterable[Court]) -> Mapping[tuple[object, ...], list[int]]:
    """Give all that was counted in closed panes: of each stream by bin."""
    out: dict[tuple[object, ...], list[int]] = {}
    for court in courts:
        for rows, ladder in zip(court._table.arenas, court._ladders, strict=True):
            total = np.zeros(rows.size, dtype=np.uint32)
            for bucket in ladder.buckets:
                bucket.counts.add_to(total)
            for row, held in enumerate(total.reshape(-1, rows.width)[: len(rows)]):
                if held.any():
                    out[rows.arena, rows.keys[row]] = held.tolist()
    return out


def drift_looks_of(courts: Iterable[Court]) -> Mapping[tuple[str, str, float, str], int]:
    """Give what drift tests found in all courts: of each model version and window, how often."""
    found: Counter[tuple[str, str, float, str]] = Counter()
    for court in courts:
        found.update(court._judge.drift_looks.counts)
    return found


@dataclass
class Cluster:
    """Folds and courts on lists instead of topics, driven by chance."""

    terms: PipelineTerms
    references: Sequence[Reference]
    rng: random.Random
    folds: int = 2
    courts: int = 3
    sources: Sequence[TopicPartition] = SOURCES
    logs: list[list[bytes]] = field(default_factory=list)
    layouts: list[Layout] = field(default_factory=list)
    told: Told = field(default_factory=list)
    learned: list[Reference] = field(default_factory=list)
    forwarded: int = 0

    def __post_init__(self) -> None:
        self.logs = [[] for _ in range(self.courts)]
        self.read = [0] * self.courts
        self.judges = [self.court() for _ in range(self.courts)]
        self.counters = [DeltaFold(self.terms, ADAPTERS["canonical"](Limits()), self.courts) for _ in range(self.folds)]
        self.owners = {source: at % self.folds for at, source in enumerate(self.sources)}
        self.known = [0] * self.folds
        self.sent: dict[TopicPartition, int] = {}
        for source, owner in self.owners.items():
            self.counters[owner].begin(source, 0, 0)

    def court(self) -> DeltaCourt:
        return DeltaCourt(self.terms, ADAPTERS["canonical"](Limits()), self.references)

    def run(self, messages: Sequence[Sent]) -> None:
        queues = [[value for number, value in messages if number == at] for at in range(len(self.sources))]
        done = [0] * len(queues)
        while any(done[at] < len(queue) for at, queue in enumerate(queues)):
            at = self.rng.choice([at for at, queue in enumerate(queues) if done[at] < len(queue)])
            count = self.rng.randrange(1, 60)
            values = queues[at][done[at] : done[at] + count]
            offsets = range(done[at], done[at] + len(values))
            self.counters[self.owners[self.sources[at]]].take(
                Batch(values, [0] * len(values), (self.sources[at],), offsets=list(offsets)), math.inf
            )
            done[at] += len(values)
            if self.rng.random() < 0.3:
                self.flush(self.rng.randrange(self.folds))
            if self.rng.random() < 0.3:
                self.judge(self.rng.randrange(self.courts))
        for fold in range(self.folds):
            self.flush(fold)
        for court in range(self.courts):
            self.judge(court)
        for judge in self.judges:
            self.told += told(judge.finish().transitions)

    def flush(self, fold: int) -> None:
        counter = self.counters[fold]
        by_court: dict[int, list[Delta]] = defaultdict(list)
        for source in counter.next:
            stretch = Stretch(self.sent.get(source, 0), counter.next[source], is_fine=False)
            self.sent[source] = stretch.next
            for court, delta in enumerate(counter.cut(source, stretch, 1)):
                by_court[court].append(delta)
        for court, deltas in by_court.items():
            post = Post("fold", 1.0, {"t": len(self.sources)}, deltas)
            self.forwarded += sum(len(delta.forwarded) for delta in deltas)
            self.logs[court].append(post.encode())
        for layout in self.layouts[self.known[fold] :]:
            counter.apply(layout)
        self.known[fold] = len(self.layouts)

    def judge(self, court: int) -> None:
        judge = self.judges[court]
        while self.read[court] < len(self.logs[court]):
            step = judge.take(Post.decode(self.logs[court][self.read[court]], "a post"))
            self.read[court] += 1
            self.told += told(step.transitions)
            self.learned += step.references
            self.layouts += judge.layouts()


def in_one(terms_settings: Settings, references: Sequence[Reference], messages: Sequence[Sent]) -> tuple[Court, Told]:
    whole = build.pipeline(terms_settings, references)
    whole.assign(SOURCES)
    out: Told = []
    for at in range(0, len(messages), 100):
        part = messages[at : at + 100]
        step = whole.step(Batch([value for _, value in part], [number for number, _ in part], SOURCES), math.inf)
        out += told(step.transitions)
    return whole, out + told(whole.finish().transitions)


def test_segments_of_references_that_were_found_are_counted_as_in_one_process() -> None:
    """Folds find none themselves: all that there are stand in the references."""
    entry = {"match": "*", "auto_segments": 5}
    settings = SETTINGS.model_copy(update={"models": Settings.model_validate({"models": [entry]}).models})
    rng = random.Random(2)
    history = [with_tier(rng, START_S - 120.0 + number / 100.0) for number in range(12_000)]
    made = build_references(settings, Input("test", lambda _: iter([history]))).references
    messages = [(rng.randrange(PARTITIONS), with_tier(rng, START_S + number / 300.0)) for number in range(3_000)]
    whole, alone = in_one(settings, made, messages)
    cluster = Cluster(build.pipeline_terms(settings), made, random.Random(3))

    cluster.run(messages)

    segments = {stream.segment for reference in made for stream in reference.streams}
    assert {"", "tier=gold", "tier=silver"} <= segments
    assert sorted(alone, key=str) == sorted(cluster.told, key=str)
    assert counts_of([whole]) == counts_of(cluster.judges)
    assert drift_looks_of([whole]) == drift_looks_of(cluster.judges) != {}
    assert cluster.forwarded < len(messages)


def test_users_are_those_of_one_process(references: Sequence[Reference]) -> None:
    rng = random.Random(8)
    messages = [
        (number, json.dumps({**json.loads(value), "user_id": rng.choice([None, *range(40)])}).encode())
        for number, value in sent(30.0, 100.0)
    ]
    whole, _ = in_one(SETTINGS, references, messages)
    cluster = Cluster(build.pipeline_terms(SETTINGS), references, random.Random(4))

    cluster.run(messages)

    assert len(MODELS) == len(users_of([whole]))
    assert users_of([whole]) == users_of(cluster.judges)
    assert 0 < cluster.forwarded < len(messages)


def users_of(courts: Iterable[Court]) -> Mapping[tuple[str, str], tuple[int, int]]:
    """Give the distinct users of the longest window, and the events that named them, by model and window."""
    kpis = [kpi for court in courts for kpi in court.picture().kpis if kpi.name == DISTINCT_USERS]
    return {(kpi.model, kpi.window): (round(kpi.value), kpi.samples) for kpi in kpis}


def with_tier(rng: random.Random, at_s: float) -> bytes:
    content = json.loads(event(rng, rng.choice(list(MODELS)), at_s, is_planted=False))
    return json.dumps({**content, "segment": {"tier": rng.choice(("gold", "silver"))}}).encode()


@pytest.mark.parametrize("seed", range(4))
def test_alerts_and_counts_are_those_of_one_process(references: Sequence[Reference], seed: int) -> None:
    messages = sent(40.0, 300.0)
    whole, alone = in_one(SETTINGS, references, messages)
    cluster = Cluster(build.pipeline_terms(SETTINGS), references, random.Random(seed))

    cluster.run(messages)

    assert len(alone) > 5
    assert sorted(alone, key=str) == sorted(cluster.told, key=str)
    assert counts_of([whole]) == counts_of(cluster.judges)
    assert drift_looks_of([whole]) == drift_looks_of(cluster.judges) != {}
    assert cluster.forwarded < len(messages)


def slow(seconds: float, seed: int = 6) -> list[Sent]:
    """Give messages of a busy model, and of others that get one now and then; these fail from half of the time on."""
    rng, models = random.Random(seed), list(MODELS)
    out, due_s = [], dict.fromkeys(models[1:], 0.0)
    for number in range(int(seconds * 2.0)):
        at_s = number / 2.0
        out.append((at_s, models[0]))
        for model, next_s in due_s.items():
            if at_s >= next_s:
                burst = 6 if rng.random() < 0.3 else 1
                out += [(at_s + each / 10.0, model) for each in range(burst)]
                due_s[model] = at_s + rng.expovariate(1 / 30.0)
    sent_at = [
        (at_s, rng.randrange(PARTITIONS), event(rng, model, START_S + at_s, is_planted=at_s > seconds / 2))
        for at_s, model in sorted(out)
    ]
    return [(number, value) for _, number, value in sent_at]


def test_quiet_models_are_looked_at_when_one_process_would(references: Sequence[Reference]) -> None:
    """Alone in its court, a model that gets something once in a while would else have a rhythm of its own."""
    settings = SETTINGS.model_copy(update={"alerts": SETTINGS.alerts.model_copy(update={"windows": (60.0, 600.0)})})
    messages = slow(400.0)
    whole, alone = in_one(settings, references, messages)
    cluster = Cluster(build.pipeline_terms(settings), references, random.Random(1), courts=APART)
    courts = {court_of(model, APART) for model in MODELS}

    cluster.run(messages)

    assert len(courts) == len(MODELS), "each model has a court of its own"
    assert len({key.model for _, _, key, *_ in alone if key.model != next(iter(MODELS))}) > 1  # type: ignore[attr-defined]
    assert sorted(alone, key=str) == sorted(cluster.told, key=str)
    assert counts_of([whole]) == counts_of(cluster.judges)
    assert drift_looks_of([whole]) == drift_looks_of(cluster.judges) != {}
    assert {whole._looks} == {judge._looks for at, judge in enumerate(cluster.judges)}


def test_annotations_reach_the_judges_of_their_model_or_all(references: Sequence[Reference]) -> None:
    models = list(MODELS)
    notes = [
        {"type": "annotation", "event_time": START_S, "text": text, "model": model}
        for text, model in (("a", models[0]), ("b", models[1]), ("to all", ""))
    ]
    counter = DeltaFold(build.pipeline_terms(SETTINGS), ADAPTERS["canonical"](Limits()), APART)
    counter.begin(SOURCES[0], 0, 0)
    values = [json.dumps(each).encode() for each in notes]
    counter.take(Batch(values, [0] * 3, SOURCES[:1], offsets=[0, 1, 2]), math.inf)
    waiting = counter.forwarded_bytes
    cuts = [counter.cut(SOURCES[0], Stretch(first, first + 1, is_fine=first == 0), 1) for first in range(3)]
    heard: dict[int, list[str]] = defaultdict(list)
    for deltas in cuts:
        for court, delta in enumerate(deltas):
            judge = DeltaCourt(build.pipeline_terms(SETTINGS), ADAPTERS["canonical"](Limits()), references)
            step = judge.take(Post.decode(Post("fold", 1.0, {"t": 1}, [delta]).encode(), "a post"))
            heard[court] += [note["text"] for note in step.annotations]

    expected: dict[int, list[str]] = {court: ["to all"] for court in range(APART)}
    expected[court_of(models[1], APART)].insert(0, "b")
    expected[court_of(models[0], APART)].insert(0, "a")
    assert expected == heard
    assert waiting > counter.forwarded_bytes == 0
