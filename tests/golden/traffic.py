"""Seeded traffic and pipelines for tests: say what matters of an event, the rest is plain and harmless."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from monitor.court import Step
from monitor.decode import ADAPTERS, Limits
from monitor.detectors import DETECTORS
from monitor.domain import Batch, Picture, Severity, TopicPartition
from monitor.fields import Watch
from monitor.pipeline import Pipeline
from monitor.pipeline_terms import LearnTerms, PipelineTerms
from monitor.references import Reference
from monitor.rules import Level, Plan, Rule

START_S: Final = 1_763_600_000.0
SOURCE: Final = (TopicPartition("events", 0),)
WINDOWS_S: Final = (60.0, 600.0, 3600.0)
NEVER_CLAMP: Final = float("inf")


def rule(name: str, statistic: str, fields: Sequence[str], **changes: object) -> Rule:
    """Give a rule that is breached above 0.1 (yellow) and 0.25 (red)."""
    given: dict[str, Any] = {"yellow": Level(0.1), "red": Level(0.25), "windows_s": WINDOWS_S}
    return Rule(name, statistic, tuple(fields), **{**given, **changes})


RULES: Final = (
    rule(
        "drift",
        "drift",
        ["features.*", "prediction", "score", "latency_s"],
        yellow=Level(0.02),
        samples_min=20,
    ),
    rule("psi", "psi", ["features.*", "prediction", "score"]),
    rule("unsafe", "yes_rate", ["unsafe"], yellow=Level(2, True), red=Level(4, True), severity=Severity.SEV1),  # noqa: FBT003
    rule("slow", "p95", ["latency_s"], yellow=Level(1.25, True), red=Level(1.5, True)),  # noqa: FBT003
    rule("nulls", "null_rate", ["features.*"], yellow=Level(2, True), red=Level(5, True)),  # noqa: FBT003
    rule("invalid", "invalid_rate", ["*"], yellow=Level(0.01), red=Level(0.05)),
    rule("new_categories", "unseen_rate", ["*"], yellow=Level(0.01), red=Level(0.05)),
    rule("silent", "silence", ["events"], yellow=None, red=Level(300), samples_min=0),
)


def pipeline(
    *,
    rules: Sequence[Rule] = RULES,
    segments: Sequence[str] = (),
    learn_events: int = 2_000,
    references: Iterable[Reference] = (),
    sources: Iterable[TopicPartition] = SOURCE,
    **terms: object,
) -> Pipeline:
    """Give a pipeline that reads canonical events; everything else may be set by name, as in PipelineTerms."""
    plan = Plan(Watch(segments=tuple(segments)), tuple(rules))
    learn = LearnTerms(events=learn_events, events_min=min(500, learn_events))
    told: dict[str, Any] = {"plan_of": lambda _model, _version: plan, "detectors": DETECTORS, "learn": learn, **terms}
    made = Pipeline(PipelineTerms(**told), ADAPTERS["canonical"](Limits()), references)
    made.assign(sources)
    return made


def event(at_s: float, **fields: object) -> bytes:
    """Give an inference `at_s` seconds after START_S, with one feature unless told otherwise."""
    plain = {"event_time": START_S + at_s, "model": "fraud", "features": {"amount": 1.5}}
    return json.dumps({**plain, **fields}).encode()


def outcome(at_s: float, **fields: object) -> bytes:
    """Give an outcome `at_s` seconds after START_S."""
    plain = {"type": "outcome", "event_time": START_S + at_s, "request_id": "r", "kind": "label"}
    return json.dumps({**plain, **fields}).encode()


def batch(*values: bytes | None, of: int = 0, sources: Sequence[TopicPartition] = SOURCE) -> Batch:
    """Give a batch of messages of one partition."""
    return Batch(values, [of] * len(values), sources)


def feed(to: Pipeline, values: Sequence[bytes | None], size: int = 1_000) -> Step:
    """Step through messages in batches of a size; give all that came of it. Panes still open stay open."""
    return feed_cut(to, values, range(0, len(values), size))


def feed_cut(to: Pipeline, values: Sequence[bytes | None], starts: Iterable[int]) -> Step:
    """Step through messages cut into batches that begin at these places (the first: 0)."""
    whole = Step()
    bounds = sorted({0, *starts, len(values)})
    for start, stop in pairwise(bounds):
        add(whole, to.step(batch(*values[start:stop]), NEVER_CLAMP))
    return whole


def finished(to: Pipeline, values: Sequence[bytes | None], size: int = 1_000) -> Step:
    """Feed and close every pane."""
    return add(feed(to, values, size), to.finish())


def add(whole: Step, part: Step) -> Step:
    """Add what came of a later step."""
    whole.transitions += part.transitions
    whole.references += part.references
    return whole


def steady(
    seed: int, events: int, rate: float = 50.0, change: Callable[[int, dict[str, Any]], None] | None = None
) -> list[bytes]:
    """Give traffic of one model in which nothing changes, but for what `change` does to the event of a number."""
    rng = random.Random(seed)
    out = []
    for i in range(events):
        content: dict[str, Any] = {
            "event_id": f"e{seed}-{i}",
            "features": {
                "amount": rng.gauss(0.0, 1.0),
                "age": rng.randrange(18, 80),
                "channel": rng.choice(("web", "app", "app", "phone")),
                "maybe": None if rng.random() < 0.05 else rng.random(),
            },
            "score": rng.random(),
            "unsafe": rng.random() < 0.01,
            "latency_s": rng.lognormvariate(-1.0, 0.5),
            "segment": {"country": rng.choice(("DE", "US"))},
        }
        if change is not None:
            change(i, content)
        out.append(event(i / rate, **content))
    return out


def counted_of(picture: Picture) -> int:
    """Give received less all that was not counted; what a picture promises to be the sum of counted."""
    lost = sum(picture.rejected.values()) + sum(picture.late.values()) + sum(picture.duplicate.values())
    return sum(picture.received.values()) - lost


def statistic(picture: Picture, name: str, field: str, window: str = "10m", segment: str = "") -> float:
    """Give one number of a picture, NaN where there is none."""
    for table in picture.tables:
        if (table.name, table.window) == (name, window):
            for row, value in zip(table.rows.tolist(), table.values.tolist(), strict=True):
                key = picture.keys[row]
                if (key.field, key.segment) == (field, segment):
                    return float(value)
    return float(np.nan)
