"""From settings to a daemon that is wired and not started.

Checks everything, opens nothing, so `driftd check` is this without `run`.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import socket
from collections.abc import Sequence
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from monitor.anomalies import ANOMALY_KINDS
from monitor.config import BUILT_IN_RULES, Settings
from monitor.config.alerts import AlertSettings, ModelSettings
from monitor.config.guess import did_you_mean
from monitor.config.kafka import KafkaSettings
from monitor.config.thresholds import Threshold, complete_rule
from monitor.config.units import Limit
from monitor.decode import ADAPTERS, Limits
from monitor.detectors import DETECTORS
from monitor.domain import Kind
from monitor.errors import BaselineError, ConfigError
from monitor.fields import FEEDBACK, FIELDS, LABEL, OUTCOME_FIELDS, PREDICTION, VOLUME, Watch, known_kinds
from monitor.pipeline import Pipeline
from monitor.pipeline_terms import LearnTerms, PipelineTerms, TimeTerms
from monitor.reference_files import read_references
from monitor.references import Reference
from monitor.river import RIVER
from monitor.rules import ANOMALY, DRIFT, DRIFT_KINDS, Budget, Level, Plan, Rule
from monitor.selfwatch.terms import SelfTerms
from monitor.sinks import SINKS
from monitor.sinks.base import Sink
from monitor.sources.kafka_terms import CLASSIC, FETCH_BACKOFF_MS, QUEUED_MESSAGES_MIN, KafkaTerms
from monitor.streams import StreamLimits

T = TypeVar("T")

ADAPTER: Final = "canonical"
_FIELDS_KNOWN: Final = (*FIELDS, PREDICTION, VOLUME, *OUTCOME_FIELDS, LABEL, FEEDBACK)
"""Fields that have one name; the rest are features.*, evaluation.* and feedback.*."""
DUPLICATES_BACK: Final = 10_000
"""Messages of a partition that a fold reads again when it takes it up, to know duplicates of what others counted."""
DELTA_BYTES_MAX: Final = 8 << 20
"""The largest message on the topic of deltas."""
LIBRDKAFKA_LOG_LEVEL: Final = 2
"""Critical only: its errors come as callbacks and are logged by us, with the cure and not twenty times a second."""


class Plans:
    """The plan of each model version: the first entry of `models` that matches, or the built-in rules."""

    def __init__(self, settings: Settings) -> None:
        self._entries = [(entry, plan_of_entry(entry, settings.alerts)) for entry in settings.models]
        self._default = plan_of_entry(ModelSettings(), settings.alerts)

    def __call__(self, model: str, version: str) -> Plan:
        """Give the plan of a model version."""
        for entry, plan in self._entries:
            if fnmatchcase(model, entry.match) and fnmatchcase(version, entry.versions or "*"):
                return plan
        return self._default

    def named(self) -> list[tuple[str, Plan]]:
        """Give all plans with what they are for, in the order in which they are tried."""
        named = [(f"{e.match} {e.versions}" if e.versions else e.match, plan) for e, plan in self._entries]
        return named if any(name == "*" for name, _ in named) else [*named, ("*", self._default)]

    def windows_s(self) -> tuple[float, ...]:
        """Give all windows that any rule looks at, ascending."""
        rules = [rule for _, plan in self.named() for rule in plan.rules]
        return tuple(sorted({window_s for rule in rules for window_s in rule.windows_s}))

    def has_river(self) -> bool:
        """Tell whether any rule asks for one of river's detectors."""
        return any(rule.statistic in RIVER for _, plan in self.named() for rule in plan.rules)


def plan_of_entry(entry: ModelSettings, alerts: AlertSettings) -> Plan:
    """Give the plan of one entry: the built-in rules, changed and added to by its own."""
    thresholds: dict[str, Threshold] = {}
    if alerts.default_rules:
        thresholds = {name: Threshold.model_validate(complete_rule(name, {})) for name in BUILT_IN_RULES}
    thresholds |= entry.thresholds
    rules = (_rule(name, given, entry, alerts) for name, given in thresholds.items() if given.enabled)
    return Plan(Watch(tuple(entry.segments), tuple(entry.features.items()), entry.outcomes.terms()), tuple(rules))


def _rule(name: str, given: Threshold, entry: ModelSettings, alerts: AlertSettings) -> Rule:
    yellow_severity, severity = given.severities
    _check_fields(name, given, entry)
    return Rule(
        name=name,
        statistic=given.statistic,
        fields=tuple(given.fields),
        yellow=_level(given.yellow),
        red=_level(given.red),
        windows_s=tuple(given.windows or alerts.windows),
        is_above=given.direction == "above",
        samples_min=_given(given.samples_min, alerts.samples_min),
        severity=severity,
        yellow_severity=yellow_severity,
        for_s=_given(given.for_s, alerts.for_s),
        keep_firing_for_s=_given(given.keep_firing_for_s, alerts.keep_firing_for_s),
        hysteresis=_given(given.hysteresis, alerts.hysteresis),
        owner=given.owner or entry.owner or alerts.owner or "",
        runbook=given.runbook or entry.runbook or alerts.runbook or "",
    )


def _given(own: T | None, default: T) -> T:
    return default if own is None else own


def _level(limit: Limit | None) -> Level | None:
    return None if limit is None else Level(limit.value, is_relative=limit.is_relative)


def _check_fields(name: str, given: Threshold, entry: ModelSettings) -> None:
    """Refuse a rule that names a field which does not exist, or its statistic can't judge: it would never speak."""
    kinds = _kinds(given.statistic)
    where = f"models[{entry.match}].thresholds.{name}"
    for field in given.fields:
        if any(wild in field for wild in "*?["):
            continue
        known = known_kinds(field)
        if not known:
            raise ConfigError(f"{where}: there is no field {field!r}; {did_you_mean(field, _FIELDS_KNOWN)}")
        if not known & kinds:
            able = ", ".join(sorted(f for f, k in FIELDS.items() if k in kinds)) or "features.*"
            raise ConfigError(
                f"{where}: the statistic {given.statistic!r} can't judge the field"
                f" {field!r} ({'/'.join(sorted(known))}); fields it can judge: {able}"
            )


def _kinds(statistic: str) -> frozenset[Kind]:
    apart = {DRIFT: DRIFT_KINDS, ANOMALY: ANOMALY_KINDS, **{name: own.kinds for name, own in RIVER.items()}}
    return apart[statistic] if statistic in apart else DETECTORS[statistic].kinds


def pipeline_terms(settings: Settings) -> PipelineTerms:
    """Give what a pipeline is told."""
    plans = Plans(settings)
    time_, learn = settings.time, settings.reference
    return PipelineTerms(
        plan_of=plans,
        detectors=DETECTORS,
        windows_s=plans.windows_s() or tuple(settings.alerts.windows),
        budget=Budget(settings.alerts.false_alarm_budget, settings.alerts.budget_period_s, plans.has_river()),
        time=TimeTerms(time_.pane_s, time_.disorder_s, time_.grace_s, time_.future_s),
        learn=LearnTerms(learn.learn_events, learn.learn_s, learn.learn_events_min, learn.new_version == "incumbent"),
        limits=StreamLimits(
            streams_max=settings.limits.streams_max,
            models_max=settings.limits.models_max,
            segment_values_max=settings.limits.segment_values_max,
            of_model_max=settings.limits.model_streams_max,
        ),
        event_ids_max=settings.limits.event_ids_max,
        series_max=settings.limits.label_series_max,
        releases=settings.releases.terms(),
        join=settings.outcomes.terms(),
        seed=secrets.randbits(64),  # so that nobody can make ids that are taken for each other
    )


def pipeline(settings: Settings, references: Sequence[Reference] = (), terms: PipelineTerms | None = None) -> Pipeline:
    """Give a pipeline with its references."""
    limits = Limits(settings.kafka.message_bytes_max, settings.limits.features_max)
    return Pipeline(terms or pipeline_terms(settings), ADAPTERS[ADAPTER](limits), references)


def references(settings: Settings, folder: str | None = None) -> list[Reference]:
    """Read the references of the configured folder. Raises ConfigError with what is wrong."""
    try:
        return read_references(Path(folder or settings.reference.directory))
    except BaselineError as error:
        raise ConfigError(f"reference.directory: {error}") from None


def kafka_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Give librdkafka's options, secrets in the clear: never to be printed."""
    own: dict[str, Any] = {
        "bootstrap.servers": ",".join(kafka.bootstrap_servers),
        "group.id": kafka.group_id,
        "group.protocol": kafka.group_protocol,
        "client.id": "driftd",
        "log_level": LIBRDKAFKA_LOG_LEVEL,
        "auto.offset.reset": kafka.start,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "queued.max.messages.kbytes": max(1, kafka.prefetch_bytes // 1024),
        "queued.min.messages": QUEUED_MESSAGES_MIN,
        "fetch.queue.backoff.ms": FETCH_BACKOFF_MS,
        "fetch.message.max.bytes": max(kafka.message_bytes_max + 1024, 1 << 20),
        "check.crcs": True,
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": kafka.sasl_password,
        "ssl.ca.location": kafka.ssl_ca_location,
        "ssl.certificate.location": kafka.ssl_certificate_location,
        "ssl.key.location": kafka.ssl_key_location,
        "ssl.key.password": kafka.ssl_key_password,
        "allow.auto.create.topics": False,
    }
    if kafka.group_protocol == "classic":
        own |= CLASSIC
    given = {**own, **kafka.librdkafka}
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in given.items()
        if value is not None
    }


def sinks(settings: Settings) -> list[Sink]:
    """Give the sinks of all receivers. Raises ConfigError that names the receiver and the option, never a value."""
    return [sink for name in settings.receivers for sink in sinks_of(settings, name)]


def sinks_of(settings: Settings, name: str) -> list[Sink]:
    """Give the sinks of one receiver; raises as `sinks` does."""
    receiver = settings.receivers[name]
    kind = SINKS[receiver.type]
    try:
        params = TypeAdapter(kind.params).validate_python(receiver.options)
        return list(kind.make(name, params))
    except ValidationError as error:
        known = [each.name for each in fields(kind.params)]
        found = error.errors(include_input=False, include_url=False)
        raise ConfigError("\n".join(f"receivers.{name}{_receiver_problem(e, known)}" for e in found)) from None
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"receivers.{name}: {error}") from None


def _receiver_problem(error: ErrorDetails, known: Sequence[str]) -> str:
    """Give the option and what is wrong with it, in our words."""
    path, option = "".join(f".{each}" for each in error["loc"]), str((*error["loc"], "")[0])
    if error["type"] == "missing":
        return f"{path}: is missing; add it"
    if error["type"] == "unexpected_keyword_argument":
        return f"{path}: unknown option; {did_you_mean(option, known) if len(error['loc']) == 1 else 'remove it'}"
    return f"{path}: {error['msg'].removeprefix('Value error, ')}"


def check_kafka(settings: Settings) -> None:
    """Refuse options that librdkafka does not know or take, without connecting."""
    from confluent_kafka import Consumer, KafkaException  # noqa: PLC0415 - only to ask it about options

    quiet = logging.getLogger("driftd.check")
    quiet.disabled = True
    options = {**kafka_options(settings.kafka), "bootstrap.servers": ""}
    try:
        Consumer(options, logger=quiet).close()
    except KafkaException as error:
        found = error.args[0]
        text = found.str() if hasattr(found, "str") else str(found)
        raise ConfigError(f"kafka: {_without_secrets(text, settings.kafka)}") from None


def _without_secrets(text: str, kafka: KafkaSettings) -> str:
    given = (kafka.sasl_password, kafka.ssl_key_password, *kafka.librdkafka.values())
    for secret in (each.get_secret_value() for each in given if isinstance(each, SecretStr)):
        text = text.replace(str(secret), "***") if secret else text
    return text


def kafka_terms(settings: Settings) -> KafkaTerms:
    """Give how Kafka is read.

    By the classic protocol a process that keeps state is the same member after a restart, so that it need not wait for
    its own session to run out. (By the consumer protocol brokers would keep the newcomer out until then.)
    """
    options = kafka_options(settings.kafka)
    if settings.state.enabled and settings.kafka.group_protocol == "classic":
        place = f"{socket.gethostname()}:{Path(settings.state.directory).absolute()}"
        options = {"group.instance.id": f"driftd-{hashlib.sha256(place.encode()).hexdigest()[:16]}", **options}
    return KafkaTerms(
        topics=tuple(settings.kafka.topics),
        options=options,
        batch_records_max=settings.kafka.batch_records_max,
        idle_s=settings.time.idle_s,
        on_gap=settings.state.on_gap,
        outage_s_max=settings.kafka.outage_s_max,
    )


def delta_terms(settings: Settings) -> KafkaTerms:
    """Give how a judge reads the topic of deltas: from where its own state says, else from the beginning."""
    own = settings.scaleout
    whole = kafka_terms(settings)
    group_id = own.judge_group_id or f"{settings.kafka.group_id}-judge"
    options = {**whole.options, "group.id": group_id, "auto.offset.reset": "earliest"}
    options |= {"fetch.message.max.bytes": max(DELTA_BYTES_MAX, whole.options["fetch.message.max.bytes"])}
    return replace(whole, topics=(own.deltas_topic,), options=options, batch_records_max=100, positions="ours")


def fold_terms(settings: Settings) -> KafkaTerms:
    """Give how a fold reads events: from where its group is; it keeps nothing, so it needs no name."""
    back = min(DUPLICATES_BACK, settings.limits.event_ids_max)
    return replace(kafka_terms(settings), options=kafka_options(settings.kafka), positions="group", back=back)


def self_terms(settings: Settings, terms: PipelineTerms) -> SelfTerms:
    """Give what driftd tells of itself."""
    return settings.selfwatch.terms(settings.alerts.owner or "", max(terms.windows_s))


def only_learning(settings: Settings) -> PipelineTerms:
    """Give terms for building references: a pipeline counts all it is given, in any order, and judges nothing.

    What streams fluctuate by themselves, and their hours, are learned of events that come in order.
    """
    plans = Plans(settings)

    def plan_of(model: str, version: str) -> Plan:
        return replace(plans(model, version), rules=())

    endless = 1e15
    return replace(
        pipeline_terms(settings),
        plan_of=plan_of,
        windows_s=(settings.time.pane_s,),
        time=TimeTerms(settings.time.pane_s, settings.time.disorder_s, grace_s=endless, future_s=endless),
        learn=LearnTerms(events=2**62, seconds=endless, events_min=2**62),
        event_ids_max=0,
    )
