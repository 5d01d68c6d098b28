"""The picture of a pipeline: all numbers of one instant of event time, as values that do not change."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.counting_state import Counting
from monitor.domain import ModelStatus, Picture
from monitor.judge import Judge
from monitor.scopes import Subject
from monitor.segment_counts import SegmentCounts
from monitor.tables import Tables, span_text


class Shown(NamedTuple):
    """What makes the parts of a picture that are many numbers."""

    tables: Tables
    segments: SegmentCounts


def picture_of(counting: Counting, judge: Judge, shown: Shown, looks: int, learn_events: int) -> Picture:
    """Give all numbers as of the last closed pane. learn_events: that a reference is learned from."""
    totals, table = counting.totals, counting.table
    keys, found, dropped = shown.tables.tables()
    watermark_s = counting.watermark.value_s
    return Picture(
        watermark_s=float(watermark_s) if np.isfinite(watermark_s) else None,
        received=dict(totals.received),
        counted=dict(totals.counted),
        rejected=dict(totals.rejected),
        late=dict(totals.late),
        duplicate=dict(totals.duplicate),
        clamped=dict(totals.clamped),
        schema_changes=dict(table.schema_changes),
        overflow=dict(totals.overflow + table.overflow),
        series_dropped=dropped,
        looks=looks,
        open_panes=len(counting.open),
        streams=sum(map(len, table.arenas)),
        models=tuple(_status(counting, subject, learn_events) for subject in table.subjects),
        keys=keys,
        tables=found,
        alerts=tuple(judge.book.alerts),
        transitions=dict(judge.book.transitions),
        drift_looks={
            (model, version, span_text(window_s), found): count
            for (model, version, window_s, found), count in judge.drift_looks.counts.items()
        },
        anomalies=judge.anomalies.scores(),
        budgets=judge.burns.budgets(),
        segments=shown.segments.hits(),
    )


def _status(counting: Counting, subject: Subject, learn_events: int) -> ModelStatus:
    learned = counting.table.learned_events(subject)
    events, first_s, last_s = counting.subjects.of(subject.index)
    return ModelStatus(
        model=subject.model,
        model_version=subject.model_version,
        state="ready" if subject.is_ready else "learning",
        progress=1.0 if subject.is_ready else min(1.0, learned / max(1, learn_events)),
        events=events,
        first_event_s=first_s,
        last_event_s=last_s,
        reference=subject.reference.identity if subject.reference else "",
        streams=len(subject.rows),
        lineage=subject.lineage,
    )
