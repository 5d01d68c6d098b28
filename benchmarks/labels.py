"""A classifier whose labels come six hours late: what is known of it before and after, and which drift is told when.

A gradient-boosted classifier of scikit-learn is fitted on the first eight weeks of the New South Wales electricity
market. The next eight weeks, which it has not seen, are the reference; the rest is replayed. Each half-hour is an
inference with a request id, and its label is an outcome six hours later, all in one file in the order of time.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from monitor import build
from monitor.baseline import Input, build_references
from monitor.config import load_settings
from monitor.domain import AlertState, Batch, FloatArray, TopicPartition, Transition
from monitor.drift_sorts import sort_of
from monitor.ledger import is_page
from monitor.pipeline import Pipeline
from monitor.quality import KpiValue
from monitor.replaying import joining_from_the_start

HALF_HOUR_S: Final = 1800.0
WEEK: Final = 7 * 48
FITTED, KNOWN = 8 * WEEK, 16 * WEEK
"""Rows before which the classifier is fitted, and before which the reference ends."""
FIRST_S: Final = datetime(1996, 5, 7, tzinfo=UTC).timestamp()
DELAY_S: Final = 6 * 3600.0
WINDOW: Final = "28d"
SHOWN: Final = ("accuracy", "estimated_accuracy", "estimation_gap", "ece")
SETTINGS: Final[dict[str, Any]] = {
    "kafka": {"bootstrap_servers": ["none:9092"], "topics": ["none"]},
    "time": {"pane_s": "1h"},
    "outcomes": {"join": "always", "maturity_s": "6h"},
    "alerts": {"windows": ["7d", WINDOW], "owner": "nobody", "runbook": "none"},
    "models": [
        {
            "match": "electricity",
            "outcomes": {"positive": ["up"]},
            "thresholds": {
                "estimation_gap": {"for_s": "7d"},
                "concept_adwin": {"statistic": "adwin", "fields": ["correct"]},
            },
        }
    ],
}
"""Hours as panes, windows that hold hundreds of them, and one of river's detectors; else as it comes."""


@dataclass(frozen=True, slots=True)
class Span:
    """An alert from when it fired until it was resolved (inf: not yet). summary: as it was first told."""

    sort: str
    stream: str
    rule: str
    from_s: float
    to_s: float
    since_s: float
    summary: str


@dataclass(frozen=True, slots=True)
class Story:
    """What came out. looks: once a week, the KPIs of the last four weeks by name. spans: alerts, in order."""

    looks: Sequence[tuple[float, dict[str, KpiValue]]]
    spans: Sequence[Span]
    from_s: float
    to_s: float
    counted: dict[str, int]

    def to_text(self) -> str:
        """Give it for people."""
        lines = [", ".join(f"{count:,} {name}" for name, count in self.counted.items())]
        lines.append(f"{'four weeks to':<14}{'realised':>22}{'estimated':>22}{'gap':>24}{'ECE':>22}")
        for time_s, found in self.looks[3::4]:
            lines.append(f"{_day(time_s):<14}" + "".join(_told(found.get(name), width) for name, width in _COLUMNS))
        lines.append("first alert of each rule and stream")
        seen: set[tuple[str, str]] = set()
        for span in self.spans:
            if (span.rule, span.stream) not in seen:
                seen.add((span.rule, span.stream))
                lines.append(f"{_day(span.from_s)}  {span.sort or '-':<17} {span.summary}")
        return "\n".join(lines)


_COLUMNS: Final = tuple(zip(SHOWN, (22, 22, 24, 22), strict=True))


def _told(value: KpiValue | None, width: int) -> str:
    text = "-" if value is None else f"{value.value:.3f} ({value.low:.3f}, {value.high:.3f})"
    return f"{text:>{width}}"


def _day(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")


def story(data: Path, folder: Path) -> Story:
    """Fit, build the reference and replay. folder: where the reference's events are written."""
    with (data / "electricity.csv").open(encoding="utf-8") as file:
        rows = np.array([[float(value) for value in row] for row in list(csv.reader(file))[1:]])
    model = HistGradientBoostingClassifier(max_depth=3, max_iter=60, random_state=0)
    model.fit(rows[:FITTED, :-1], rows[:FITTED, -1])
    scores = model.predict_proba(rows[:, :-1])[:, 1]
    settings = load_settings(_written(folder / "driftd.yaml", json.dumps(SETTINGS)), {})
    past = list(_messages(rows, scores, slice(FITTED, KNOWN)))
    path = _written(folder / "past.jsonl", "".join(f"{line}\n" for _, line in past))
    given = Input.of_files([path], model=None, version="", time_column="", every=None)
    references = build_references(settings, given).references
    pipeline = build.pipeline(settings, references, joining_from_the_start(settings))
    return _replayed(pipeline, list(_messages(rows, scores, slice(KNOWN, len(rows)))))


def _messages(rows: FloatArray, scores: FloatArray, part: slice) -> list[tuple[float, str]]:
    """Give inferences and, six hours after each, its label, in the order of time."""
    timed: list[tuple[float, str]] = []
    for at in range(*part.indices(len(rows))):
        time_s = FIRST_S + at * HALF_HOUR_S
        event = {
            "model": "electricity",
            "request_id": f"half-hour-{at}",
            "event_time": time_s,
            "features": {f"feat_{i + 1}": value for i, value in enumerate(rows[at, :-1].tolist())},
            "prediction": "up" if scores[at] > 0.5 else "down",
            "score": round(float(scores[at]), 6),
        }
        label = {
            "type": "outcome",
            "kind": "label",
            "request_id": f"half-hour-{at}",
            "event_time": time_s + DELAY_S,
            "label": "up" if rows[at, -1] else "down",
        }
        timed += [(time_s, json.dumps(event)), (time_s + DELAY_S, json.dumps(label))]
    return sorted(timed, key=lambda each: each[0])


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _replayed(pipeline: Pipeline, timed: Sequence[tuple[float, str]]) -> Story:
    """Feed the messages week by week, and look at the KPIs after each."""
    source = (TopicPartition("electricity", 0),)
    pipeline.assign(source)
    transitions: list[Transition] = []
    looks: list[tuple[float, dict[str, KpiValue]]] = []
    for week in _weeks(timed):
        values = [line.encode() for _, line in week]
        transitions += pipeline.step(Batch(values, [0] * len(values), source), math.inf).transitions
        kpis = [kpi for kpi in pipeline.picture().kpis if kpi.window == WINDOW and kpi.name in SHOWN]
        looks.append((week[-1][0], {kpi.name: kpi for kpi in kpis}))
    transitions += pipeline.finish().transitions
    join = pipeline.picture().join
    counted = {f"outcomes {result}": count for (_, result), count in join.outcomes.items()}
    return Story(looks, _spans(transitions), timed[0][0], timed[-1][0], counted)


def _weeks(timed: Sequence[tuple[float, str]]) -> Iterator[Sequence[tuple[float, str]]]:
    starts = np.searchsorted([time_s for time_s, _ in timed], np.arange(timed[0][0], timed[-1][0], 7 * 86_400.0))
    for start, stop in pairwise([*starts.tolist(), len(timed)]):
        yield timed[start:stop]


def _spans(transitions: Sequence[Transition]) -> list[Span]:
    """Give the alerts that fired, in the order in which they began to."""
    ended = {
        (t.alert.dedup_key, t.alert.firing_s): t.time_s for t in transitions if t.alert.state is AlertState.RESOLVED
    }
    return [
        Span(
            sort=sort_of(alert.statistic, alert.key.field),
            stream=alert.key.field,
            rule=alert.rule,
            from_s=t.time_s,
            to_s=ended.get((alert.dedup_key, alert.firing_s), math.inf),
            since_s=alert.since_s,
            summary=alert.summary,
        )
        for t in transitions
        if is_page(t)
        for alert in (t.alert,)
    ]
