"""The words of driftd: what flows between its rooms. No behaviour beyond naming and ordering.

Times are seconds since the epoch, in event time unless a name says `wall`. Ratios are 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.intake import DeadLetterStatus, Intake, Origin
from monitor.lineage import UNKNOWN, Lineage
from monitor.objectives import ErrorBudget
from monitor.quality import AnomalyScore, JoinStatus, KpiValue, ModeShare
from monitor.segment_hits import SegmentHits
from monitor.upkeep import Delays, HalfStatus, HeartbeatStatus, ReloadStatus, SilenceStatus, StateStatus
from monitor.versions import GateStatus, ModelTotals

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
CountArray = npt.NDArray[np.uint32]
BoolArray = npt.NDArray[np.bool_]

DRILL_MODEL: Final = "driftd-drill"
"""The served model that does not exist: its events are those of `driftd drill`, and its alerts are drills."""


class Kind(StrEnum):
    """What the values of a stream are, which decides its bins."""

    NUMERIC = "numeric"
    LOG = "log"
    CATEGORICAL = "categorical"
    YES_NO = "yes_no"
    VOLUME = "volume"


class Severity(IntEnum):
    """How bad an alert is; ordered by badness, so the worst is the maximum."""

    SEV4 = 1
    SEV3 = 2
    SEV2 = 3
    SEV1 = 4

    @property
    def label(self) -> str:
        """The name in configuration, labels and files: sev1 (worst) to sev4."""
        return self.name.lower()


class Band(IntEnum):
    """Where a value stands against a rule; ordered by badness."""

    GREEN = 0
    YELLOW = 1
    RED = 2

    @property
    def label(self) -> str:
        """The name in files and labels: green, yellow or red."""
        return self.name.lower()


class Seen(IntEnum):
    """What one look at one stream under one rule found.

    UNKNOWN: fewer samples than the rule asks for. HOLD: neither breach nor the opposite is proven.
    CLEAR: proven to be on the good side. YELLOW, RED: proven to be beyond that threshold.
    """

    UNKNOWN = 0
    HOLD = 1
    CLEAR = 2
    YELLOW = 3
    RED = 4


class AlertState(StrEnum):
    """Where an alert is in its life; the state before it exists is None."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Reason(StrEnum):
    """Why an alert changed state: a bounded set, so that tests, logs and metrics can say it."""

    BREACHED = "threshold breached"
    LASTED = "breach lasted"
    ESCALATED = "breach became worse"
    EASED = "breach became milder"
    PASSED = "breach ended before it lasted"
    CLEARED = "back on the good side"
    STALE = "no verdict for too long"
    REMOVED = "rule or stream no longer watched"


class Rejection(StrEnum):
    """Why a message, or a row of it, was not counted."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    NOT_OBJECT = "not_object"
    NO_MODEL = "no_model"
    NO_TIME = "no_time"
    BAD_TIME = "bad_time"
    BAD_TYPE = "bad_type"
    NO_OBSERVATION = "no_observation"
    NO_REQUEST_ID = "no_request_id"
    BAD_KIND = "bad_kind"
    BAD_ANNOTATION = "bad_annotation"
    TOO_MANY_MODELS = "too_many_models"


class StreamKey(NamedTuple):
    """The name of one stream. segment is "" for all traffic, else "name=value"."""

    model: str
    model_version: str
    field: str
    segment: str = ""


class TopicPartition(NamedTuple):
    """One partition of one topic; a file counts as a topic with one partition."""

    topic: str
    partition: int


class Gap(NamedTuple):
    """Messages of a partition that were not read and are gone. first: the one to be read next; next: what is read now.

    next is below first where the log was made anew: how many are missing is then unknown.
    """

    source: TopicPartition
    first: int
    next: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages as read, in the order of arrival; values, partitions and offsets are of one length, n.

    values: payloads (None: a tombstone). partitions: index into `sources` of each message, shape (n,). is_last: the
    source is exhausted. offsets, origins: of each message in its partition; empty where a source has none.
    """

    values: Sequence[bytes | None] = ()
    partitions: Sequence[int] | IntArray = ()
    sources: Sequence[TopicPartition] = ()
    is_last: bool = False
    offsets: Sequence[int] | IntArray = ()
    origins: Sequence[Origin] = ()

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Shares of a stream's values, reference beside what was judged; all of one length, in order of value.

    labels: the group's range or category, for people. reference, current: shares, each summing to 1. samples,
    reference_samples: the values they rest on.
    """

    labels: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]
    samples: int
    reference_samples: int


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule on one stream, in a state, with the evidence that put it there.

    value, threshold, interval: in the statistic's unit. evidence, evidence_needed: nats, of odds in seconds for drift,
    rates and quantiles, else of one look's chance. since_s: estimated onset. pending_s, firing_s, resolved_s: event
    times, None if not reached. reference: identity of what was judged against, "" for an absolute threshold; lineage:
    where that is from. change: the kind of drift (location, ...), "" where the statistic says it. rank: 1 for the
    strongest evidence of those that began together in one model, of `together`. response: what a person should do.
    config_version: of the configuration that it was judged by last.
    """

    rule: str
    key: StreamKey
    statistic: str
    state: AlertState
    severity: Severity
    band: Band
    value: float
    threshold: float
    interval: tuple[float, float]
    samples: int
    evidence: float
    evidence_needed: float
    window_s: float
    since_s: float
    pending_s: float
    firing_s: float | None
    resolved_s: float | None
    incident: str
    dedup_key: str
    owner: str
    runbook: str
    reference: str
    summary: str
    change: str = ""
    rank: int = 1
    together: int = 1
    histogram: Histogram | None = None
    is_drill: bool = False
    response: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    lineage: Lineage = UNKNOWN
    config_version: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert changing state at an event time, and why."""

    time_s: float
    before: AlertState | None
    alert: Alert
    reason: Reason


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One assigned partition. Offsets are of the next message; lag is None while unknown.

    lag_s: age of the last message read when there are more to read, else 0. stalled_s: since it last moved or was
    caught up; 0 while it is held back, or nothing can be read at all. is_held: it is not read on purpose.
    """

    source: TopicPartition
    position: int
    end: int | None
    lag_records: int | None
    lag_s: float | None
    stalled_s: float
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One served model version. state: learning, ready. progress: share of the learning done, 0 to 1."""

    model: str
    model_version: str
    state: str
    progress: float
    events: int
    first_event_s: float
    last_event_s: float
    reference: str
    streams: int
    lineage: Lineage = UNKNOWN


@dataclass(frozen=True, slots=True)
class StatisticTable:
    """Values of one statistic for many streams in one window.

    name: as in metrics.STATISTICS. window: as configured ("10m"). rows: index into Picture.keys, shape (n,).
    values: shape (n,), float64; NaN means no value (too few samples) and is not exported.
    """

    name: str
    window: str
    rows: IntArray
    values: FloatArray


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known at an event time. Counts are since start; received = counted + rejected + late + duplicate."""

    watermark_s: float | None
    received: Mapping[str, int]
    counted: Mapping[tuple[str, str], int]
    rejected: Mapping[tuple[str, str], int]
    late: Mapping[str, int]
    duplicate: Mapping[str, int]
    clamped: Mapping[str, int]
    schema_changes: Mapping[tuple[str, str], int]
    overflow: Mapping[str, int]
    series_dropped: int
    looks: int
    open_panes: int
    streams: int
    models: Sequence[ModelStatus]
    keys: Sequence[StreamKey]
    tables: Sequence[StatisticTable]
    alerts: Sequence[Alert]
    transitions: Mapping[tuple[str, str], int]
    drift_looks: Mapping[tuple[str, str, str, str], int] = field(default_factory=dict)
    anomalies: Sequence[AnomalyScore] = ()
    half: HalfStatus = field(default_factory=HalfStatus)
    budgets: Sequence[ErrorBudget] = ()
    join: JoinStatus = field(default_factory=JoinStatus)
    kpis: Sequence[KpiValue] = ()
    modes: Sequence[ModeShare] = ()
    releases: Sequence[ModelTotals] = ()
    segments: SegmentHits | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receiver has accepted word that an alert fires, which it did from firing_s on (event time)."""

    dedup_key: str
    firing_s: float
    decided_wall_s: float
    accepted_wall_s: float


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """One receiver. failed counts attempts by bounded reason; queued are alerts whose newest state is undelivered.

    delays: from each decision to fire until it was accepted here, drills left out. receipts: the latest ones, drills
    too. breaker: "closed", or "open" while the receiver fails and is only asked with one notice at a time.
    """

    name: str
    delivered: int
    failed: Mapping[str, int]
    queued: int
    oldest_s: float
    is_healthy: bool
    delays: Delays = field(default_factory=Delays)
    receipts: Sequence[Receipt] = ()
    breaker: str = "closed"


@dataclass(frozen=True, slots=True)
class Pages:
    """What was made of the alerts that fired, drills left out except among `ended`.

    spent: by model and version, alerts that began to fire within the last budget period over those the budget allows;
    absent: none. decided: from each estimated onset to the decision, in event time. behind: from there until it was
    decided by the wall clock. resolved: from onset to the end, in event time. ended: alerts that fired and were
    resolved, the newest last.
    """

    spent: Mapping[tuple[str, str], float] = field(default_factory=dict)
    decided: Delays = field(default_factory=Delays)
    behind: Delays = field(default_factory=Delays)
    resolved: Delays = field(default_factory=Delays)
    ended: Sequence[Alert] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An immutable picture of all numbers; what scrapes, probes and pages read. Times are wall clock."""

    wall_s: float
    started_wall_s: float
    tick_wall_s: float
    is_ready: bool
    not_ready_because: str
    picture: Picture
    partitions: Sequence[PartitionStatus]
    sinks: Sequence[SinkStatus]
    batches: int
    busy_s: float
    commits: int
    source_errors: Mapping[str, int]
    pages: Pages = field(default_factory=Pages)
    state: StateStatus = field(default_factory=StateStatus)
    reload: ReloadStatus = field(default_factory=ReloadStatus)
    away: Sequence[TopicPartition] = ()
    intake: Intake = field(default_factory=Intake)
    dead_letters: DeadLetterStatus = field(default_factory=DeadLetterStatus)
    heartbeat: HeartbeatStatus = field(default_factory=HeartbeatStatus)
    stalls: int = 0
    step_s: float = 0.0
    silences: SilenceStatus = field(default_factory=SilenceStatus)
    gates: Sequence[GateStatus] = ()
