"""Snapshots for tests of what is shown: one with something of everything, and one with very many series."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from monitor.domain import (
    Alert,
    AlertState,
    Band,
    ModelStatus,
    PartitionStatus,
    Picture,
    Severity,
    SinkStatus,
    Snapshot,
    StatisticTable,
    StreamKey,
    TopicPartition,
)
from monitor.intake import DeadLetterStatus, Intake
from monitor.metrics import STATISTICS
from monitor.objectives import ErrorBudget
from monitor.quality import AnomalyScore, JoinStatus, KpiValue, ModeShare
from monitor.upkeep import ReloadStatus, StateStatus
from monitor.versions import GateStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW_S: Final = 1_800_000_000.25
KEYS: Final = tuple(
    StreamKey("ranker", "7", field, segment)
    for segment in ("", "region=eu")
    for field in (
        "events",
        "unsafe",
        "refused",
        "fallback",
        "error",
        "latency_s",
        "ttft_s",
        "tokens_in",
        "tokens_out",
        "cost_usd",
        "score",
        "features.age",
        "overridden",
    )
)


def table_of(name: str, values: Sequence[float], window: str = "10m", first: int = 0) -> StatisticTable:
    """Give a table of the streams from `first` on."""
    return StatisticTable(name, window, first + np.arange(len(values)), np.array(values, dtype=np.float64))


def model_of(model: str = "ranker", version: str = "7") -> ModelStatus:
    """Give a model that is ready."""
    return ModelStatus(
        model=model,
        model_version=version,
        state="ready",
        progress=1.0,
        events=9_000,
        first_event_s=NOW_S - 900.0,
        last_event_s=NOW_S - 3.0,
        reference="3f1c",
        streams=len(KEYS),
    )


def alert_of(state: AlertState = AlertState.FIRING, rule: str = "psi", key: StreamKey = KEYS[11]) -> Alert:
    """Give an alert of a stream."""
    return Alert(
        rule=rule,
        key=key,
        statistic="psi",
        state=state,
        severity=Severity.SEV2,
        band=Band.RED,
        value=0.4,
        threshold=0.25,
        interval=(0.3, 0.5),
        samples=5_000,
        evidence=20.0,
        evidence_needed=12.0,
        window_s=600.0,
        since_s=NOW_S - 700.0,
        pending_s=NOW_S - 600.0,
        firing_s=NOW_S - 300.0 if state is AlertState.FIRING else None,
        resolved_s=None,
        incident="a1b2",
        dedup_key="c3d4",
        owner="ml-platform",
        runbook="https://runbooks.example/psi",
        reference="3f1c",
        summary="ranker: psi of features.age is 0.4, above 0.25",
    )


def picture() -> Picture:
    """Give a picture with something of everything, in which no statistic is left out."""
    return Picture(
        watermark_s=NOW_S - 2.0,
        received={"inferences": 10_000},
        counted={("inferences", "inference"): 9_000, ("inferences", "outcome"): 500},
        rejected={("inferences", "not_json"): 300},
        late={"inferences": 120},
        duplicate={"inferences": 80},
        clamped={"inferences": 7},
        schema_changes={("ranker", "new"): 2},
        overflow={"streams": 4},
        series_dropped=0,
        looks=900,
        open_panes=3,
        streams=len(KEYS),
        models=(model_of(),),
        keys=KEYS,
        tables=tuple(table_of(name, np.linspace(0.0, 0.9, len(KEYS)).tolist()) for name in sorted(STATISTICS)),
        alerts=(alert_of(), alert_of(AlertState.PENDING, "latency_p95", KEYS[5])),
        transitions={("psi", "firing"): 1, ("psi", "pending"): 2},
        drift_looks={("ranker", "7", "10m", "beyond"): 4, ("ranker", "7", "10m", "within"): 30},
        anomalies=(AnomalyScore("ranker", "7", "latency_s", "p95", 0.2),),
        join=JoinStatus(
            is_on=True,
            outcomes={("label", "joined"): 400, ("override", "late"): 3},
            pending=9_000,
            waiting=12,
            expired=5,
            forgotten=1,
            nbytes=900_000,
        ),
        modes=(ModeShare("ranker", "7", "10m", "failure_mode", "slow", 0.5),),
        kpis=(KpiValue("ranker", "7", "", "10m", "auc", 0.81, 0.78, 0.84, 400),),
        budgets=(ErrorBudget("ranker", "7", "error", "", "availability", {"5m": 2.0, "1h": 0.5}, 0.25, 0.9993),),
    )


def partition_of(
    lag_records: int | None = 40, lag_s: float | None = 1.5, stalled_s: float = 0.0, partition: int = 0
) -> PartitionStatus:
    """Give a partition of the topic `inferences`."""
    return PartitionStatus(TopicPartition("inferences", partition), 960, 1_000, lag_records, lag_s, stalled_s)


def snapshot() -> Snapshot:
    """Give a snapshot with something of everything."""
    return Snapshot(
        wall_s=NOW_S,
        started_wall_s=NOW_S - 1_000.0,
        tick_wall_s=NOW_S,
        is_ready=True,
        not_ready_because="",
        picture=picture(),
        partitions=(partition_of(), partition_of(0, 0.0, partition=1)),
        sinks=(SinkStatus("pager", 12, {"timeout": 3}, 1, 4.5, is_healthy=False),),
        batches=77,
        busy_s=12.25,
        commits=5,
        reload=ReloadStatus(version="0123456789ab"),
        source_errors={"_transport": 2},
        intake=Intake({"assigned": 2, "revoked": 1, "lost": 0}, 0.02, 0.01, {"events": 1}, {"events": 40}, repeated=3),
        dead_letters=DeadLetterStatus({"not_json": 7}, {"_transport": 1}, 2, broken={("events", 1): "too many"}),
        gates=(
            GateStatus(
                "ranker",
                "v1",
                "v2",
                NOW_S,
                {"overall": "insufficient", "cost": "pass", "success": "fail"},
                {"cost": 0.02, "success": float("nan")},
                {"violations": 1_200},
                12.5,
                {"verdict": "insufficient"},
            ),
        ),
        state=StateStatus(True, NOW_S - 2.0, 400, 0, 1, 0.03, 70_000, 2_000_000),  # noqa: FBT003
    )


def many(series: int) -> Snapshot:
    """Give a snapshot with about so many series, of features of 40 models in three windows."""
    names = ("psi", "psi_raw", "psi_floor", "js", "ks", "wasserstein", "chi_square", "null_rate", "samples")
    windows = ("1m", "10m", "1h")
    streams = series // (len(names) * len(windows))
    keys = tuple(StreamKey(f"model-{i % 40}", "2027-01-01", f"features.feature_{i // 40}") for i in range(streams))
    random = np.random.default_rng(1)
    tables = tuple(table_of(name, random.random(streams).tolist(), window) for window in windows for name in names)
    whole = snapshot()
    return replace(whole, picture=replace(whole.picture, keys=keys, tables=tables))
