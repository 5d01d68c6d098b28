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
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from monitor import braids, claims
from monitor.config import Settings
from monitor.config.guess import did_you_mean
from monitor.config.kafka import KafkaSettings
from monitor.dead_letters import CLIENT_OPTIONS
from monitor.decode import ADAPTERS, Limits
from monitor.detectors import DETECTORS
from monitor.errors import BaselineError, ConfigError
from monitor.pipeline import Pipeline
from monitor.pipeline_terms import LearnTerms, PipelineTerms, TimeTerms
from monitor.plans import Plans
from monitor.reference_files import read_references
from monitor.references import Reference
from monitor.rules import Budget, Plan
from monitor.scopes import StreamLimits
from monitor.selfwatch.terms import SelfTerms
from monitor.silences import Maintenance
from monitor.sinks import SINKS
from monitor.sinks.base import Sink
from monitor.sources.kafka_terms import CLASSIC, FETCH_BACKOFF_MS, QUEUED_MESSAGES_MIN, RECONNECT_MS_MAX, KafkaTerms

ADAPTER: Final = "canonical"
DUPLICATES_BACK: Final = 10_000
"""Messages of a partition that a fold reads again when it takes it up, to know duplicates of what others counted."""
DELTA_BYTES_MAX: Final = 8 << 20
"""The largest message on the topic of deltas."""
LIBRDKAFKA_LOG_LEVEL: Final = 2
"""Critical only: its errors come as callbacks and are logged by us, with the cure and not twenty times a second."""


def pipeline_terms(settings: Settings) -> PipelineTerms:
    """Give what a pipeline is told."""
    plans = Plans(settings)
    time_, learn = settings.time, settings.reference
    return PipelineTerms(
        plan_of=plans,
        detectors=DETECTORS,
        windows_s=plans.windows_s() or tuple(settings.alerts.windows),
        burn_windows_s=plans.burn_windows_s(),
        budget=Budget(
            settings.alerts.false_alarm_budget,
            settings.alerts.budget_period_s,
            has_river=plans.has_river(),
            has_burn=bool(plans.burn_windows_s()),
        ),
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
        join=settings.outcomes.terms(),
        releases=settings.releases.terms(),
        config_version=settings.judging_version,
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
        "reconnect.backoff.max.ms": RECONNECT_MS_MAX,
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


def client_options(settings: Settings) -> dict[str, Any]:
    """Give librdkafka's options to connect, without those of a group's member: never to be printed."""
    return {name: value for name, value in kafka_options(settings.kafka).items() if name.startswith(CLIENT_OPTIONS)}


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
    options = {**whole.options, "group.id": judge_group(settings), "auto.offset.reset": "earliest"}
    options |= {"fetch.message.max.bytes": max(DELTA_BYTES_MAX, whole.options["fetch.message.max.bytes"])}
    return replace(whole, topics=(own.deltas_topic,), options=options, batch_records_max=100, positions="ours")


def judge_group(settings: Settings) -> str:
    """Give the consumer group of the judges."""
    return settings.scaleout.judge_group_id or f"{settings.kafka.group_id}-judge"


def fold_terms(settings: Settings) -> KafkaTerms:
    """Give how a fold reads events: from where its group is; it keeps nothing, so it needs no name."""
    before, topics = min(DUPLICATES_BACK, settings.limits.event_ids_max), settings.kafka.topics
    terms = replace(kafka_terms(settings), options=kafka_options(settings.kafka), positions="group")
    if not is_braided(settings):
        return replace(terms, starts_at=partial(claims.starts_at, before=before))
    starts_at = partial(braids.starts_at, before=before, topics=len(topics))
    return replace(terms, starts_at=starts_at, followers=tuple(topics[1:]))


def is_braided(settings: Settings) -> bool:
    """Tell whether a fold reads its topics as one, to join what one says with what another does."""
    return settings.outcomes.join == "always" and len(settings.kafka.topics) > 1


def self_terms(settings: Settings, terms: PipelineTerms) -> SelfTerms:
    """Give what driftd tells of itself."""
    own = settings.selfwatch.terms(settings.alerts.owner or "", max(terms.windows_s))
    return replace(own, config_version=terms.config_version)


def maintenance(settings: Settings) -> list[Maintenance]:
    """Give when nobody is told of alerts."""
    return [
        Maintenance(each.start or 0.0, each.end or 0.0, tuple(each.models), each.reason)
        for each in settings.alerts.maintenance
    ]


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
