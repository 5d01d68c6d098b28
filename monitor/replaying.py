"""Replay: recorded events through the whole pipeline on their own time, with no network and no clock. Deterministic."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from monitor import build
from monitor.alert_json import histogram_dict
from monitor.backtest import Backtest, backtest, span_text
from monitor.config import Settings
from monitor.court import Step
from monitor.domain import Picture, Snapshot, Transition
from monitor.errors import SourceError
from monitor.exporter import render
from monitor.gate.counts import counts_dict
from monitor.ledger import Ledger, is_page
from monitor.pipeline import Pipeline
from monitor.pipeline_terms import PipelineTerms
from monitor.progress import progress
from monitor.references import Reference
from monitor.rules import Budget
from monitor.sources.files import FileSource


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go, None: nowhere."""

    alerts: Path | None = None
    metrics: Path | None = None
    counts: Path | None = None


@dataclass(slots=True)
class Summary:
    """What a replay found. learned: references frozen on the way."""

    budget: Budget
    events: int = 0
    rejected: int = 0
    from_s: float = math.inf
    to_s: float = -math.inf
    transitions: list[Transition] = field(default_factory=list)
    learned: list[Reference] = field(default_factory=list)

    @property
    def fired(self) -> list[Transition]:
        """The transitions with which an alert began to fire."""
        return [t for t in self.transitions if is_page(t)]

    def backtest(self) -> Backtest:
        """Give the pages against the budget, and the incidents."""
        return backtest(self.transitions, self.budget, self.from_s, self.to_s)

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        return {
            "events": self.events,
            "rejected": self.rejected,
            "from_s": self.from_s if self.events else None,
            "to_s": self.to_s if self.events else None,
            "fired": len(self.fired),
            "fired_by_rule": dict(Counter(t.alert.rule for t in self.fired)),
            "transitions": len(self.transitions),
            "learned": [r.identity for r in self.learned],
            **self.backtest().to_dict(),
        }

    def to_text(self) -> str:
        """Give it for people."""
        lines = [f"{self.events:,} events counted, {self.rejected:,} rejected"]
        if self.events:
            lines[0] += f", from {_utc(self.from_s)} to {_utc(self.to_s)} ({span_text(self.to_s - self.from_s)})"
        lines += [f"learned the reference of {r.model} {r.model_version}: {r.identity}" for r in self.learned]
        lines += self.backtest().to_text()
        return "\n".join(lines)


def replay_files(
    settings: Settings, references: Sequence[Reference], paths: Sequence[Path], outputs: Outputs
) -> Summary:
    """Run the files through a pipeline; write transitions and metrics. Raises SourceError on an unreadable file."""
    pipeline = build.pipeline(settings, references, joining_from_the_start(settings))
    source = FileSource(paths, batch_records_max=settings.kafka.batch_records_max)
    summary = Summary(Budget(settings.alerts.false_alarm_budget, settings.alerts.budget_period_s))
    with ExitStack() as stack:
        alerts = stack.enter_context(_writer(outputs.alerts)) if outputs.alerts else None
        stack.callback(source.close)
        source.open()
        bar = stack.enter_context(progress("replay"))
        pipeline.assign(source.assigned())
        is_last, messages = False, 0
        while not is_last:
            batch = source.poll()
            _take(summary, pipeline.step(batch, math.inf), alerts)
            is_last, messages = batch.is_last, messages + len(batch)
            pipeline.assign(source.assigned())
            bar(source.bytes_read / max(1, source.bytes_total), messages)
        _take(summary, pipeline.finish(), alerts)
    picture = pipeline.picture()
    summary.events, summary.rejected = sum(picture.counted.values()), sum(picture.rejected.values())
    for model in picture.models:
        summary.to_s = max(summary.to_s, model.last_event_s)
        summary.from_s = min(summary.from_s, model.first_event_s)
    if outputs.metrics is not None:
        with _writer(outputs.metrics) as file:
            file.write(render(_snapshot(picture, summary)).decode())
    if outputs.counts is not None:
        with _writer(outputs.counts) as file:
            json.dump(counts_dict(picture.releases, picture.watermark_s), file, allow_nan=False)
    return summary


def joining_from_the_start(settings: Settings) -> PipelineTerms:
    """Give terms by which inferences are remembered from the first on: a file has outcomes, or it has none."""
    terms = build.pipeline_terms(settings)
    return replace(terms, join=replace(terms.join, mode="on" if terms.join.mode == "auto" else terms.join.mode))


def transition_dict(transition: Transition) -> dict[str, Any]:
    """Give one line of the alerts file; times are epoch seconds of event time."""
    alert = transition.alert
    return {
        "time": transition.time_s,
        "status": str(alert.state),
        "rule": alert.rule,
        "severity": alert.severity.label,
        "model": alert.key.model,
        "model_version": alert.key.model_version,
        "stream": alert.key.field + (f"|{alert.key.segment}" if alert.key.segment else ""),
        "since": alert.since_s,
        "statistic": alert.statistic,
        "threshold": alert.threshold,
        "value": alert.value,
        "interval": list(alert.interval),
        "samples": alert.samples,
        "reason": str(transition.reason),
        "incident": alert.incident,
        "dedup_key": alert.dedup_key,
        "evidence": alert.evidence,
        "evidence_needed": alert.evidence_needed,
        "window_s": alert.window_s,
        "reference": alert.reference,
        **alert.lineage._asdict(),
        "config_version": alert.config_version,
        "owner": alert.owner,
        "runbook": alert.runbook,
        "response": alert.response,
        "band": alert.band.label,
        "summary": alert.summary,
        "change": alert.change,
        "rank": alert.rank,
        "together": alert.together,
        "histogram": histogram_dict(alert.histogram),
    }


def _take(summary: Summary, step: Step, alerts: IO[str] | None) -> None:
    summary.transitions += step.transitions
    summary.learned += step.references
    if alerts is not None:
        alerts.writelines(json.dumps(transition_dict(t), allow_nan=False) + "\n" for t in step.transitions)


def _writer(path: Path) -> IO[str]:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise SourceError(f"{path}: can't be written: {error.strerror}") from error


def _snapshot(picture: Picture, summary: Summary) -> Snapshot:
    now_s = picture.watermark_s or 0.0
    ledger = Ledger(summary.budget)
    ledger.take(summary.transitions)
    return Snapshot(
        wall_s=now_s,
        started_wall_s=now_s,
        tick_wall_s=now_s,
        is_ready=False,
        not_ready_because="replay",
        picture=picture,
        partitions=(),
        sinks=(),
        batches=0,
        busy_s=0.0,
        commits=0,
        source_errors={},
        pages=ledger.pages(picture.watermark_s),
    )


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


__all__ = ["Outputs", "Pipeline", "Summary", "replay_files", "transition_dict"]
