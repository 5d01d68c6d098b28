"""Every number on /metrics: one entry per metric, with its name, meaning, labels, and how it is read. Pure.

A number that is unknown has no sample: a lag that can't be told is not a lag of 0. Counters that a query takes the rate
of are there from the first moment with 0, as the rate of a series can't see the step that made it appear.

`python -m monitor.metrics > docs/metrics.md` writes the page for people; a test compares the two.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from monitor import metric_readers as readers
from monitor.domain import (
    ModelStatus,
    PartitionStatus,
    SinkStatus,
    Snapshot,
)
from monitor.lineage import Lineage
from monitor.metric_readers import COUNT, SUM, Labels, Reader
from monitor.objectives import ErrorBudget

Source = TypeVar("Source")
Item = TypeVar("Item")
Kind: TypeAlias = Literal["counter", "gauge", "histogram", "summary"]


@dataclass(frozen=True, slots=True)
class Family(Generic[Source]):
    """One metric. help: a sentence that tells the unit. read: gives label values, in the order of labels, and values.

    A summary has quantiles and neither sum nor count: only that type may have a label `quantile`, says promtool. What a
    histogram reads ends, after the label values, in the bound of a bucket, or in SUM or COUNT.

    read is called by the exporter's thread for each page, on values that do not change. Cost: it must stay below 0.3 us
    per series, so it does nothing per series that can be done per table.
    """

    name: str
    kind: Kind
    help: str
    labels: Labels
    read: Reader[Source]

    def series(self, values: Labels) -> tuple[str, Iterable[tuple[str, str]]]:
        """Give the name and the labels, with their values, of the series that a sample belongs to."""
        if self.kind != "histogram":
            return self.name, zip(self.labels, values, strict=True)
        *given, last = values
        named = zip(self.labels, given, strict=True)
        return (self.name + last, named) if last in (SUM, COUNT) else (f"{self.name}_bucket", [*named, ("le", last)])


DENIALS: Final = ("password", "certificate", "busy", "rate", "body", "origin")
"""Why the web server did not answer a request with its page."""


class AccessStatus(NamedTuple):
    """Who came to the web server. is_good: the file that says who may is as it was last read. denied: by reason."""

    is_good: bool = True
    denied: Mapping[str, int] = MappingProxyType({})


NOBODY: Final = AccessStatus()


@dataclass(frozen=True, slots=True)
class PageStatus:
    """What the exporter knows about the page it is making. series_dropped: those left out for lack of room."""

    version: str
    made_wall_s: float
    last_render_s: float
    renders: int
    series: int
    series_dropped: int
    access: AccessStatus = NOBODY


# ---- statistics of streams

QUANTILES: Final[Mapping[str, Labels]] = {"p50": ("0.5",), "p95": ("0.95",), "p99": ("0.99",)}
"""Statistics that share a metric, and what their label `quantile` says."""
MEAN: Final[Mapping[str, Labels]] = {"mean": ()}
YES_RATE: Final[Mapping[str, Labels]] = {"yes_rate": ()}
VOLUME: Final[Mapping[str, Labels]] = {"volume": ()}

LATENCY: Final[Mapping[str, Labels]] = {"latency_s": ()}
"""Fields that share a metric, and what the label that tells them apart says, where there is one."""
TTFT: Final[Mapping[str, Labels]] = {"ttft_s": ()}
TOKENS: Final[Mapping[str, Labels]] = {"tokens_in": ("in",), "tokens_out": ("out",)}
COST: Final[Mapping[str, Labels]] = {"cost_usd": ()}
AMOUNTS: Final = frozenset({*LATENCY, *TTFT, *TOKENS, *COST})
FLAGS: Final = frozenset({"unsafe", "refused", "fallback", "error"})

_MODEL: Final = ("model", "model_version")
_SOURCE: Final = (*_MODEL, "field", "segment")
_STREAM: Final = (*_SOURCE, "window")
_WINDOW: Final = ("segment", "window")


_BUDGET_GAUGES: Final[Mapping[str, tuple[str, Callable[[ErrorBudget], float]]]] = {
    "driftd_error_budget_left_ratio": (
        "Share of a rule's error budget left in its period: 1 is all of it, 0 none, and below that it is overdrawn.",
        lambda own: own.left,
    ),
    "driftd_uptime_ratio": (
        "Share of good events in the period of a rule's objective, 0 to 1.",
        lambda own: own.uptime,
    ),
}

STREAM_STATISTICS: Final[Mapping[str, tuple[str, str]]] = {
    "driftd_stream_psi": ("Population stability index to the reference, less what chance makes of it.", "psi"),
    "driftd_stream_psi_raw": ("Population stability index as other tools compute it, chance included.", "psi_raw"),
    "driftd_stream_psi_floor": ("What driftd_stream_psi_raw is on average when nothing has changed.", "psi_floor"),
    "driftd_stream_js": ("Jensen-Shannon distance to the reference, 0 to 1.", "js"),
    "driftd_stream_ks": ("Kolmogorov-Smirnov distance to the reference, 0 to 1.", "ks"),
    "driftd_stream_wasserstein": ("Mean move of values, in widths of the reference's middle.", "wasserstein"),
    "driftd_stream_chi_square": ("Chi-square effect size (phi), whatever the traffic.", "chi_square"),
    "driftd_stream_null_ratio": ("Share of values that are null or missing, 0 to 1.", "null_rate"),
    "driftd_stream_invalid_ratio": ("Share of values not finite or of the wrong type, 0 to 1.", "invalid_rate"),
    "driftd_stream_unseen_ratio": ("Share of categories the reference never saw, 0 to 1.", "unseen_rate"),
    "driftd_stream_out_of_range_ratio": ("Share of numbers beyond the reference's range, 0 to 1.", "out_of_range_rate"),
    "driftd_stream_mode_ratio": ("Share of the reference's most frequent category, 0 to 1.", "mode_share"),
    "driftd_stream_samples": ("Values in the window that the statistics of the stream rest on.", "samples"),
}
"""Metrics of every stream: help, and the name of the tables they are read from."""

STATISTICS: Final = frozenset(
    {*(statistic for _, statistic in STREAM_STATISTICS.values()), *QUANTILES, *MEAN, *YES_RATE, *VOLUME}
)
"""Names of tables that are exported."""


def _families(
    kind: Kind,
    labels: Labels,
    reader: Callable[[Item], Reader[Source]],
    entries: Mapping[str, tuple[str, Item]],
) -> Iterator[Family[Source]]:
    """Give families of one kind and with one set of labels. entries: name to help and what to read."""
    return (Family(name, kind, text, labels, reader(what)) for name, (text, what) in entries.items())


_SELF_GAUGES: Final[Mapping[str, tuple[str, Callable[[Snapshot], float | None]]]] = {
    "driftd_ready": ("Whether driftd is ready, as /readyz tells: 1 or 0.", lambda s: s.is_ready),
    "driftd_start_timestamp_seconds": ("When driftd started, seconds since the epoch.", lambda s: s.started_wall_s),
    "driftd_state_saved_timestamp_seconds": (
        "When state was last stored, seconds since the epoch.",
        lambda s: s.state.saved_wall_s,
    ),
    "driftd_state_save_seconds": (
        "Time it took to store state last, in seconds.",
        lambda s: s.state.cost_s if s.state.saves else None,
    ),
    "driftd_state_bytes": ("Bytes of state stored.", lambda s: s.state.state_bytes if s.state.saves else None),
    "driftd_config_last_reload_successful": (
        "Whether the last reload of the configuration was successful: 1 (also before the first) or 0.",
        lambda s: s.reload.is_good,
    ),
    "driftd_config_last_reload_success_timestamp_seconds": (
        "When the configuration in force was read, seconds since the epoch.",
        lambda s: s.reload.at_wall_s,
    ),
    "driftd_maintenance_windows": ("Maintenance windows in force.", lambda s: len(s.silences.windows)),
    "driftd_silenced_alerts": (
        "Alerts that fire and nobody is told of, because of maintenance.",
        lambda s: len(s.silences.held),
    ),
    "driftd_partitions_away": (
        "Partitions that were read here and that another member of the group has now.",
        lambda s: len(s.away),
    ),
    "driftd_tick_timestamp_seconds": ("When the main loop last ran, seconds since the epoch.", lambda s: s.tick_wall_s),
    "driftd_snapshot_timestamp_seconds": (
        "When these numbers were taken, seconds since the epoch.",
        lambda s: s.wall_s,
    ),
    "driftd_watermark_timestamp_seconds": (
        "Event time up to which everything was counted and judged, in seconds since the epoch.",
        lambda s: s.picture.watermark_s,
    ),
    "driftd_open_panes": ("Panes that hold events and wait for the watermark.", lambda s: s.picture.open_panes),
    "driftd_streams": ("Streams that are watched.", lambda s: s.picture.streams),
    "driftd_consumer_partitions": ("Partitions assigned to this process.", lambda s: len(s.partitions)),
    "driftd_fold_claims": (
        "Of a fold: source partitions whose counts are its own to tell.",
        readers.of_fold(lambda half: half.claims),
    ),
    "driftd_unclaimed": (
        "Partitions that a fold has not claimed yet, or courts whose state a judge has not loaded yet.",
        lambda s: s.picture.half.unclaimed if s.picture.half.role else None,
    ),
    "driftd_fold_waiting_seconds": (
        "Of a fold: since when not all was claimed, and acknowledged by the topic of deltas, in seconds.",
        readers.of_fold(lambda half: half.waiting_s),
    ),
    "driftd_courts": (
        "Of a judge: courts that it owns; over all judges it is scaleout.courts.",
        lambda s: len(s.picture.half.courts) if s.picture.half.role == "judge" else None,
    ),
    "driftd_join_pending_inferences": (
        "Inferences that are remembered for their outcomes.",
        lambda s: s.picture.join.pending,
    ),
    "driftd_join_waiting_outcomes": (
        "Requests of which outcomes came and no inference yet.",
        lambda s: s.picture.join.waiting,
    ),
    "driftd_join_bytes": ("Bytes that what waits to be joined takes on disk.", lambda s: s.picture.join.nbytes),
    "driftd_dead_letters_waiting": ("Dead letters that no broker has accepted yet.", lambda s: s.dead_letters.waiting),
}

_GATE: Final[Labels] = ("model", "incumbent", "candidate", "criterion")
_VERDICTS: Final = {"pass": 1.0, "insufficient": 0.0, "fail": -1.0}


_SELF_COUNTERS: Final[Mapping[str, tuple[str, Callable[[Snapshot], float | None]]]] = {
    "driftd_join_expired_total": (
        "Requests whose outcomes waited for an inference in vain, for outcomes.ttl_s.",
        lambda s: s.picture.join.expired,
    ),
    "driftd_join_forgotten_total": (
        "Inferences forgotten before their time, as there was no room (outcomes.pending_max, disk_bytes).",
        lambda s: s.picture.join.forgotten,
    ),
    "driftd_batches_total": ("Batches of messages worked through.", lambda s: s.batches),
    "driftd_busy_seconds_total": ("Time the main loop worked instead of waiting, in seconds.", lambda s: s.busy_s),
    "driftd_step_seconds_total": (
        "Time spent on messages, in seconds: counting them, and of a judge merging deltas and judging.",
        lambda s: s.step_s,
    ),
    "driftd_fold_posts_total": (
        "Of a fold: messages sent to the topic of deltas.",
        readers.of_fold(lambda half: half.posts),
    ),
    "driftd_fold_sent_bytes_total": (
        "Of a fold: bytes sent to the topic of deltas, before compression.",
        readers.of_fold(lambda half: half.sent_bytes),
    ),
    "driftd_commits_total": ("Commits of state and offsets.", lambda s: s.commits),
    "driftd_repeated_records_total": (
        "Records that a broker gave again and that were passed over.",
        lambda s: s.intake.repeated,
    ),
    "driftd_looks_total": ("Closed panes that were judged.", lambda s: s.picture.looks),
    "driftd_silenced_transitions_total": (
        "Changes of alerts that nobody was told of, because of maintenance.",
        lambda s: s.silences.silenced,
    ),
    "driftd_loop_stalls_total": (
        "Times that the main loop stood still for half of http.stall_s; its stacks are in the log.",
        lambda s: s.stalls,
    ),
    "driftd_state_saves_total": ("Times that state was stored.", lambda s: s.state.saves if s.state.is_kept else None),
    "driftd_state_save_failures_total": (
        "Times that state could not be stored; all is told meanwhile, and would be told again after a restart.",
        lambda s: s.state.failures_total if s.state.is_kept else None,
    ),
    "driftd_heartbeat_sent_total": ("Beats that the dead man's switch took.", lambda s: s.heartbeat.sent),
    "driftd_heartbeat_withheld_total": (
        "Beats that were due and not sent, since something was not as it should be; the log says what.",
        lambda s: s.heartbeat.withheld,
    ),
    "driftd_heartbeat_failed_total": (
        "Beats that were sent and that the dead man's switch did not take.",
        lambda s: sum(s.heartbeat.failed.values()),
    ),
}

_TOPIC_COUNTERS: Final[Mapping[str, tuple[str, Callable[[Snapshot], Mapping[str, int]]]]] = {
    "driftd_events_received_total": (
        "Events received; each is also counted, rejected, late or a duplicate.",
        lambda s: s.picture.received,
    ),
    "driftd_events_late_total": ("Events later than the grace allows, not counted.", lambda s: s.picture.late),
    "driftd_events_duplicate_total": ("Events whose event_id was seen before.", lambda s: s.picture.duplicate),
    "driftd_events_clamped_total": ("Events from the future, counted as of now.", lambda s: s.picture.clamped),
}

_GAP_COUNTERS: Final[Mapping[str, tuple[str, Callable[[Snapshot], Mapping[str, int]]]]] = {
    "driftd_gaps_total": ("Times that messages were gone before they were read.", lambda s: s.intake.gaps),
    "driftd_gap_records_total": (
        "Messages that were gone before they were read, as far as that is known.",
        lambda s: s.intake.missing,
    ),
}

_PARTITION_GAUGES: Final[Mapping[str, tuple[str, Callable[[PartitionStatus], float | None]]]] = {
    "driftd_consumer_lag_records": ("Records that were not read yet; absent while unknown.", lambda p: p.lag_records),
    "driftd_consumer_lag_seconds": (
        "Age of the last record read while there are more, else 0, in seconds; absent while unknown.",
        lambda p: p.lag_s,
    ),
    "driftd_consumer_held": (
        "Whether it is held back on purpose (a breaker): 1 or 0.",
        lambda p: p.is_held,
    ),
    "driftd_consumer_stalled_seconds": (
        "Time since it last moved or was caught up, in seconds.",
        lambda p: p.stalled_s,
    ),
}

_COURT_GAUGES: Final[Mapping[str, tuple[str, Callable[[readers.CourtSeen], float | None]]]] = {
    "driftd_delta_lag_seconds": (
        "Of a judge: from when the newest deltas of a court were sent, by their fold's clock, to now, in seconds.",
        lambda c: None if c.status.sent_wall_s is None else c.now_s - c.status.sent_wall_s,
    ),
    "driftd_completeness_ratio": (
        "Of a judge: share of the source partitions that a court was told of lately, 0 to 1; below 1 none is judged.",
        lambda c: 1.0 - c.status.absent / c.status.partitions if c.status.partitions else None,
    ),
}

_SINK_GAUGES: Final[Mapping[str, tuple[str, Callable[[SinkStatus], float | None]]]] = {
    "driftd_sink_healthy": ("Whether the last delivery went well: 1 or 0.", lambda k: k.is_healthy),
    "driftd_sink_queued_alerts": ("Alerts whose newest state was not delivered yet.", lambda k: k.queued),
    "driftd_sink_oldest_seconds": ("How long the oldest notice has been waiting, in seconds.", lambda k: k.oldest_s),
}

_MODEL_GAUGES: Final[Mapping[str, tuple[str, Callable[[ModelStatus], float | None]]]] = {
    "driftd_model_streams": ("Streams watched for the model.", lambda m: m.streams),
    "driftd_last_event_timestamp_seconds": (
        "Event time of its newest event, seconds since the epoch.",
        readers.last_event_s,
    ),
    "driftd_learning_progress_ratio": ("How much of the reference is learned, 0 to 1.", lambda m: m.progress),
}

_FIELD_GAUGES: Final[Mapping[str, tuple[str, tuple[Mapping[str, Labels], Mapping[str, Labels]]]]] = {
    "driftd_volume_ratio": ("Traffic beside the reference's: 1 is as usual, 0.5 half of it.", (VOLUME, {"events": ()})),
    "driftd_unsafe_ratio": ("Share of unsafe outputs among those checked, 0 to 1.", (YES_RATE, {"unsafe": ()})),
    "driftd_refused_ratio": ("Share of refusals among events that tell, 0 to 1.", (YES_RATE, {"refused": ()})),
    "driftd_fallback_ratio": ("Share of fallbacks among events that tell, 0 to 1.", (YES_RATE, {"fallback": ()})),
    "driftd_error_ratio": ("Share of errors among events that tell, 0 to 1.", (YES_RATE, {"error": ()})),
    "driftd_latency_mean_seconds": ("Mean latency, within 1 %, in seconds.", (MEAN, LATENCY)),
    "driftd_ttft_mean_seconds": ("Mean time to the first token, within 1 %, in seconds.", (MEAN, TTFT)),
    "driftd_cost_mean_usd": ("Mean cost of an event, within 1 %, in US dollars.", (MEAN, COST)),
}

_FIELD_QUANTILES: Final[Mapping[str, tuple[str, tuple[Mapping[str, Labels], Mapping[str, Labels]]]]] = {
    "driftd_latency_quantile_seconds": ("Latency, within 1 %, in seconds; not to be averaged.", (QUANTILES, LATENCY)),
    "driftd_ttft_quantile_seconds": (
        "Time to the first token, within 1 %, in seconds; not to be averaged.",
        (QUANTILES, TTFT),
    ),
    "driftd_cost_quantile_usd": ("Cost of an event, within 1 %, in US dollars; not to be averaged.", (QUANTILES, COST)),
}

FAMILIES: Final[Sequence[Family[Snapshot]]] = (
    *_families("gauge", (), readers.one, _SELF_GAUGES),
    *_families("counter", (), readers.one, _SELF_COUNTERS),
    Family("driftd_models", "gauge", "Served model versions, by state.", ("state",), readers.model_states),
    *_families("counter", ("topic",), readers.by_topic, _TOPIC_COUNTERS),
    Family(
        "driftd_events_counted_total",
        "counter",
        "Events counted, by type: inference, or the kind of an outcome"
        " (label, feedback, override, escalation, evaluation).",
        ("topic", "type"),
        readers.by_pair(lambda s: s.picture.counted),
    ),
    Family(
        "driftd_outcomes_total",
        "counter",
        "Outcomes by kind and what became of them: joined, waiting (for an inference, as of now), duplicate, late (its"
        " inference had counted as having none), useless (it says nothing that can be used), not_sampled, overflow,"
        " elsewhere (of those that wait in a fold: its inference is in another partition).",
        ("kind", "result"),
        readers.by_pair(lambda s: s.picture.join.outcomes),
    ),
    Family(
        "driftd_events_rejected_total",
        "counter",
        "Events that could not be read or used, by reason.",
        ("topic", "reason"),
        readers.rejected,
    ),
    Family(
        "driftd_overflow_total",
        "counter",
        "Times that something was left out because a limit was reached, by what it was.",
        ("what",),
        readers.by_name(lambda s: s.picture.overflow),
    ),
    Family(
        "driftd_source_errors_total",
        "counter",
        "Errors met while reading events, by reason.",
        ("reason",),
        readers.by_name(lambda s: s.source_errors),
    ),
    *_families("gauge", ("topic", "partition"), readers.of_partitions, _PARTITION_GAUGES),
    *_families("counter", ("topic",), readers.by_topic, _GAP_COUNTERS),
    Family(
        "driftd_rebalances_total",
        "counter",
        "Times that partitions changed hands, by what happened here (assigned, revoked, lost).",
        ("kind",),
        readers.by_name(lambda s: s.intake.rebalances),
    ),
    Family(
        "driftd_revoke_duration_seconds",
        "summary",
        "How long the last thousand revocations took here, in seconds; quantile 1 is the longest.",
        ("quantile",),
        lambda s: ((("0.99",), s.intake.revoke_s_p99), (("1",), s.intake.revoke_s_max)),
    ),
    *_families("gauge", ("court",), readers.of_courts, _COURT_GAUGES),
    Family(
        "driftd_deltas_total",
        "counter",
        "Of a judge: deltas by what became of them (taken, or why they were passed over: old, stale, torn).",
        ("verdict",),
        readers.by_name(lambda s: s.picture.half.verdicts),
    ),
    Family(
        "driftd_dead_letters_total",
        "counter",
        "Messages that could not be used and were told to the dead-letter topic, by reason.",
        ("reason",),
        readers.by_name(lambda s: s.dead_letters.sent),
    ),
    Family(
        "driftd_dead_letter_failures_total",
        "counter",
        "Attempts to tell dead letters that failed, by error; they are repeated.",
        ("error",),
        readers.by_name(lambda s: s.dead_letters.failed),
    ),
    Family(
        "driftd_breaker_open",
        "gauge",
        "Whether it is held, or tried again, because too many of its messages can't be used: 1 or 0.",
        ("topic", "partition"),
        readers.breakers,
    ),
    Family(
        "driftd_alerts",
        "gauge",
        "Alerts that are pending or firing.",
        ("model", "rule", "severity", "state"),
        readers.alert_counts,
    ),
    Family(
        "driftd_alert_firing",
        "gauge",
        "Always 1: one series per firing alert.",
        (*_MODEL, "rule", "field", "segment", "severity"),
        readers.firing,
    ),
    Family(
        "driftd_transitions_total",
        "counter",
        "Alerts that changed their state, by the state they went to.",
        ("rule", "state"),
        readers.by_pair(lambda s: s.picture.transitions),
    ),
    Family(
        "driftd_drift_looks_total",
        "counter",
        "Looks of drift tests (psi, js, ks, wasserstein, chi_square) at windows; found: beyond, where any test was"
        " certainly beyond its limit, else within. The model drift rate is the share of those that are beyond.",
        (*_MODEL, "window", "found"),
        lambda s: s.picture.drift_looks.items(),
    ),
    Family(
        "driftd_detection_delay_seconds",
        "histogram",
        "How long alerts took, in seconds, by stage: from estimated onset to decision in event time (decision), from"
        " there to the clock's time of it (lag), and on to acceptance by each sink (delivery). Drills are left out.",
        ("stage", "sink"),
        readers.detection_delays,
    ),
    Family(
        "driftd_resolution_delay_seconds",
        "histogram",
        "How long alerts lasted that fired and ended, in seconds of event time: from estimated onset to back on the"
        " good side. Drills, and those that nothing watched any more, are left out.",
        (),
        readers.resolution_delays,
    ),
    Family(
        "driftd_gate_verdict",
        "gauge",
        "What a gate of releases.gates says of a candidate version: 1 pass, -1 fail, 0 insufficient evidence; criterion"
        " `overall` is all together.",
        _GATE,
        readers.by_criterion(lambda gate: {name: _VERDICTS[verdict] for name, verdict in gate.verdicts.items()}),
    ),
    Family(
        "driftd_gate_change",
        "gauge",
        "Change of the incumbent's value to the candidate's, at one mix of traffic: relative, or in points, as the"
        " criterion says.",
        _GATE,
        readers.by_criterion(
            lambda gate: {name: change for name, change in gate.changes.items() if math.isfinite(change)}
        ),
    ),
    Family(
        "driftd_gate_more_events",
        "gauge",
        "Values of the candidate that are likely missing for a verdict.",
        _GATE,
        readers.by_criterion(lambda gate: gate.more_events),
    ),
    Family(
        "driftd_gate_score",
        "gauge",
        "Weighted upgrade score of a candidate, -100 to 100, above 0 for better.",
        _GATE[:-1],
        lambda s: [((g.model, g.incumbent, g.candidate), g.score) for g in s.gates if math.isfinite(g.score)],
    ),
    Family(
        "driftd_budget_spent_ratio",
        "gauge",
        "Alerts that began to fire within the last budget period, over the false alarms allowed in it; 1 is all of it."
        " True alarms count too: only people can tell them apart. Drills do not.",
        _MODEL,
        readers.budget_spent,
    ),
    *_families("gauge", ("sink",), readers.of_sinks, _SINK_GAUGES),
    Family(
        "driftd_sink_delivered_total",
        "counter",
        "Notices that a sink has accepted.",
        ("sink",),
        readers.of_sinks(lambda k: k.delivered),
    ),
    Family(
        "driftd_sink_failed_total",
        "counter",
        "Attempts to deliver that failed, by reason.",
        ("sink", "reason"),
        readers.sink_failures,
    ),
    Family(
        "driftd_schema_changes_total",
        "counter",
        "Changes of the fields of a model's events, by change (new, type, unsupported).",
        ("model", "change"),
        readers.by_pair(lambda s: s.picture.schema_changes),
    ),
    *_families("gauge", _MODEL, readers.of_models, _MODEL_GAUGES),
    Family(
        "driftd_model_events_total",
        "counter",
        "Inference events counted for the model.",
        _MODEL,
        readers.of_models(lambda m: m.events),
    ),
    Family(
        "driftd_config_info",
        "gauge",
        "Always 1: the version of the configuration in force, which each alert names: a hash of all but where events"
        " come from, and who is told.",
        ("version",),
        lambda s: [((s.reload.version,), 1.0)] if s.reload.version else [],
    ),
    Family(
        "driftd_reference_info",
        "gauge",
        "Always 1: the identity of the reference that the model is judged against, and where that comes from.",
        (*_MODEL, "reference", *Lineage._fields),
        readers.references,
    ),
    Family(
        "driftd_anomaly_score",
        "gauge",
        "How odd the last minute of a metric series is by its own past, 0 to 1; 0.5 is an alarm, told once at its"
        " beginning. Series: volume, and p50, p95, mean or rate of a field. Absent for a minute without enough values.",
        (*_MODEL, "field", "statistic"),
        lambda s: (((a.model, a.model_version, a.field, a.statistic), a.score) for a in s.picture.anomalies),
    ),
    *(
        Family(
            f"driftd_kpi{end}",
            "gauge",
            f"{what} of models that have outcomes (docs/kpis.md), in the KPI's unit. segment is name=value, or the name"
            " alone for a KPI that compares its values. Absent while it is not known.",
            (*_MODEL, "segment", "window", "kpi"),
            readers.kpis(end.lstrip("_") or "value"),
        )
        for end, what in (
            ("", "KPIs"),
            ("_low", "Lower end of the interval (95 %) of KPIs"),
            ("_high", "Upper end of the interval (95 %) of KPIs"),
        )
    ),
    Family(
        "driftd_kpi_samples",
        "gauge",
        "Values that a KPI rests on.",
        (*_MODEL, "segment", "window", "kpi"),
        readers.kpis("samples"),
    ),
    Family(
        "driftd_failure_mode_ratio",
        "gauge",
        "Share of each failure mode, and of each reason why a guardrail was bypassed, among all of its field, 0 to 1.",
        (*_MODEL, "window", "field", "mode"),
        lambda s: [(tuple(each[:5]), each.value) for each in s.picture.modes],
    ),
    Family(
        "driftd_error_budget_burn",
        "gauge",
        "How many times faster than its objective allows a rule's error budget is used up; 1 lasts exactly the period.",
        (*_STREAM, "rule"),
        readers.burns,
    ),
    *_families("gauge", (*_SOURCE, "rule"), readers.of_budgets, _BUDGET_GAUGES),
    *_families("gauge", (*_MODEL, *_WINDOW), readers.of_fields, _FIELD_GAUGES),
    *_families("summary", (*_MODEL, *_WINDOW, "quantile"), readers.of_fields, _FIELD_QUANTILES),
    Family(
        "driftd_tokens_mean",
        "gauge",
        "Mean of tokens per event, within 1 %, by direction (in, out).",
        (*_MODEL, "direction", *_WINDOW),
        readers.of_fields((MEAN, TOKENS)),
    ),
    Family(
        "driftd_tokens_quantile",
        "summary",
        "Tokens per event, within 1 %, by direction (in, out); not to be averaged.",
        (*_MODEL, "direction", *_WINDOW, "quantile"),
        readers.of_fields((QUANTILES, TOKENS)),
    ),
    *_families("gauge", _STREAM, readers.of_streams, STREAM_STATISTICS),
    Family(
        "driftd_stream_yes_ratio",
        "gauge",
        "Share of yes among yes and no, 0 to 1, of fields without a metric of their own.",
        _STREAM,
        readers.of_others(YES_RATE, FLAGS),
    ),
    Family(
        "driftd_stream_mean",
        "gauge",
        "Mean in the field's unit, of fields without a metric of their own.",
        _STREAM,
        readers.of_others(MEAN, AMOUNTS),
    ),
    Family(
        "driftd_stream_quantile",
        "summary",
        "Quantile in the field's unit, of fields without a metric of their own; not to be averaged.",
        (*_STREAM, "quantile"),
        readers.of_others(QUANTILES, AMOUNTS),
    ),
)
"""What is read from a snapshot, most important first: where series run out, the last are left out."""

_PAGE_GAUGES: Final[Mapping[str, tuple[str, Callable[[PageStatus], float]]]] = {
    "driftd_render_timestamp_seconds": ("When this page was made, seconds since the epoch.", lambda p: p.made_wall_s),
    "driftd_render_seconds": ("Time it took to make the page before this one, in seconds.", lambda p: p.last_render_s),
    "driftd_series": ("Series on this page that were read from the snapshot.", lambda p: p.series),
    "driftd_series_dropped": (
        "Series left out of this page because limits.label_series_max was reached.",
        lambda p: p.series_dropped,
    ),
    "driftd_http_config_last_reload_successful": (
        "Whether http.web_config_file is in force as it is now (1, also where there is none) or as it was (0).",
        lambda p: p.access.is_good,
    ),
}


def _of_page(value: Callable[[PageStatus], float]) -> Reader[PageStatus]:
    return lambda page: [((), value(page))]


PAGE_FAMILIES: Final[Sequence[Family[PageStatus]]] = (
    Family("driftd_build_info", "gauge", "Always 1: driftd's version.", ("version",), lambda p: [((p.version,), 1.0)]),
    Family("driftd_renders_total", "counter", "Pages made before this one.", (), lambda p: [((), p.renders)]),
    Family(
        "driftd_http_denied_total",
        "counter",
        f"Requests to the web server that were refused. Reasons: {', '.join(DENIALS)}.",
        ("reason",),
        lambda p: [((reason,), p.access.denied.get(reason, 0)) for reason in DENIALS],
    ),
    *_families("gauge", (), _of_page, _PAGE_GAUGES),
)
"""What is known about a page while it is made; these are always on it."""


def markdown_table() -> str:
    """Give the page for people: every metric in one table. Ends in a line break."""
    described = [(f.name, f.kind, f.labels, f.help) for f in FAMILIES]
    described += [(f.name, f.kind, f.labels, f.help) for f in PAGE_FAMILIES]
    lines = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |"
        for name, kind, labels, text in described
    ]
    return "\n".join([_INTRODUCTION, "| metric | type | labels | meaning |", "| --- | --- | --- | --- |", *lines, ""])


_INTRODUCTION: Final = """\
# Metrics

What `/metrics` shows. This page is written by `python -m monitor.metrics > docs/metrics.md`: change
`monitor/metrics.py` instead.

* `segment` is empty for all traffic, else `name=value`. `window` is as configured, such as `10m`.
* Summaries have quantiles of the window, and neither `_sum` nor `_count`; quantiles must not be averaged.
* Histograms have `_bucket` series with `le`, `_sum` and `_count`. `sink` is empty where the stage has none.
* Where driftd can't tell a number (too few values, no reference, lag unknown) its series is absent.
* Label values are as in the events, up to 256 characters. Longer ones, and ones with control or other invisible
  characters, are cut and cleaned, and then end in `~` and eight digits that tell them apart.
* `process_*` and `python_gc_*` are those of the Prometheus client library.
"""

if __name__ == "__main__":
    sys.stdout.write(markdown_table())
