"""Inferences and their outcomes, as messages, and pipelines that join them."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor.court import Step
from monitor.decode import ADAPTERS, Limits
from monitor.detectors import DETECTORS
from monitor.domain import Batch, TopicPartition
from monitor.fields import Watch
from monitor.join.pending import InMemory
from monitor.join.terms import JoinTerms, Task
from monitor.pipeline import Pipeline
from monitor.pipeline_terms import PipelineTerms, TimeTerms
from monitor.rules import Plan
from monitor.store.pending_file import PendingFile

START_S: Final = 1_700_000_000.0
SOURCE: Final = (TopicPartition("events", 0),)
DAY_S: Final = 86_400.0


def inference(number: int, time_s: float, **fields: object) -> dict[str, Any]:
    """Give an inference of the model `m`."""
    head = {"model": "m", "model_version": "1", "event_time": time_s, "request_id": f"r{number}"}
    return {**head, "features": {"x": 0.5}, **fields}


def outcome(number: int, time_s: float, kind: str = "label", **fields: object) -> dict[str, Any]:
    """Give an outcome of an inference."""
    return {"type": "outcome", "request_id": f"r{number}", "event_time": time_s, "kind": kind, **fields}


def encoded(events: Sequence[dict[str, Any]]) -> list[bytes]:
    """Give events as messages."""
    return [json.dumps(event).encode() for event in events]


def labelled(count: int, seed: int = 1, delay_s: float = 60.0) -> list[dict[str, Any]]:
    """Give half a second's inference after the other, and what came of them: late, twice, early, or not at all."""
    chance = random.Random(seed)
    timed: list[tuple[float, dict[str, Any]]] = []
    for number in range(count):
        time_s = START_S + 0.5 * number
        is_fraud = chance.random() < 0.3
        score = min(max(chance.gauss(0.7 if is_fraud else 0.3, 0.2), 0.0), 1.0)
        more = {"prediction": "yes" if score > 0.5 else "no", "score": score, "cost_usd": 0.01}
        timed.append((time_s, inference(number, time_s, segment={"country": chance.choice("ab")}, **more)))
        told_s = time_s + chance.expovariate(1.0 / delay_s) - 2.0
        if chance.random() < 0.8:
            timed.append((told_s, outcome(number, told_s, label="yes" if is_fraud else "no")))
            if chance.random() < 0.1:
                timed.append((told_s + 1, outcome(number, told_s + 1, label="yes")))
        if chance.random() < 0.1:
            timed.append((told_s, outcome(number, told_s, "override")))
        if chance.random() < 0.2:
            said = {"evaluator": "citation", "value": chance.random() < 0.9, "failure_mode": chance.choice("pqr")}
            timed.append((told_s, outcome(number, told_s, "evaluation", **said)))
    return [event for _, event in sorted(timed, key=lambda each: each[0])]


def joining(
    terms: JoinTerms | None = None, task: Task | None = None, file: PendingFile | None = None, pane_s: float = 1.0
) -> Pipeline:
    """Give a pipeline that joins. file: where what waits is kept, None: in memory."""
    watch = Watch(segments=("country",), task=task or Task())
    join = terms or JoinTerms(mode="on", absence_s=300.0)
    return Pipeline(
        PipelineTerms(
            plan_of=lambda _, __: Plan(watch, ()),
            detectors=DETECTORS,
            windows_s=(max(60.0, pane_s), 365 * DAY_S),
            time=TimeTerms(pane_s=pane_s),
            join=join,
            backing_of=(lambda _: InMemory()) if file is None else file.part,
        ),
        ADAPTERS["canonical"](Limits()),
    )


def fed(pipeline: Pipeline, messages: Sequence[bytes], size: Callable[[], int] = lambda: 500) -> Pipeline:
    """Feed messages in batches, and end."""
    start = 0
    while start < len(messages):
        part = messages[start : start + size()]
        start += len(part)
        step(pipeline, part)
    pipeline.finish()
    return pipeline


def step(pipeline: Pipeline, part: Sequence[bytes]) -> Step:
    """Feed one batch."""
    return pipeline.step(Batch(values=part, partitions=[0] * len(part), sources=SOURCE), math.inf)


def counts(pipeline: Pipeline) -> dict[tuple[str, str], list[int]]:
    """Give all that was counted, by field and segment."""
    out: dict[tuple[str, str], list[int]] = {}
    for rows in pipeline._table.arenas:
        total = pipeline._ladders[rows.arena].windows[-1].total(rows.size).astype(np.int64)
        for key, own in zip(rows.keys, total.reshape(-1, rows.width), strict=True):
            out[key.field, key.segment] = own.tolist()
    return out


def pending_file(folder: Path) -> PendingFile:
    """Give a file for what waits."""
    return PendingFile(folder, 64 << 20)
