"""The wiring: from settings to plans, options, sinks and a daemon that has opened nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from pydantic import SecretStr

from monitor import assembly, build
from monitor.board import Board
from monitor.config import BUILT_IN_RULES, Settings, load_settings
from monitor.domain import Severity
from monitor.errors import ConfigError
from monitor.plans import Plans

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.rules import Plan, Rule

ENABLED: Final = [name for name, given in BUILT_IN_RULES.items() if given.get("enabled", True)]
SECRET: Final = "hunter2-c0rrect-h0rse"
PEOPLE: Final = {"owner": "team", "runbook": "book"}


def settings_of(**sections: Any) -> Settings:  # noqa: ANN401 - sections of any shape
    """Give settings out of sections, with a topic."""
    whole = {"kafka": {"topics": ["a"]}, **sections}
    return load_settings(None, {f"DRIFTD_{name.upper()}": json.dumps(value) for name, value in whole.items()})


def rule(plan: Plan, name: str) -> Rule:
    return next(each for each in plan.rules if each.name == name)


class TestPlans:
    def test_first_entry_that_matches_counts(self) -> None:
        entries = [
            {"match": "fraud-*", "versions": "*-canary", "owner": "trials"},
            {"match": "fraud-*", "owner": "fraud"},
            {"match": "*", "owner": "rest"},
        ]
        plans = Plans(settings_of(models=entries))

        owners = {(m, v): plans(m, v).rules[0].owner for m, v in [("fraud-a", "1-canary"), ("fraud-a", "1"), ("b", "")]}

        assert {("fraud-a", "1-canary"): "trials", ("fraud-a", "1"): "fraud", ("b", ""): "rest"} == owners

    def test_model_that_no_entry_matches_gets_the_built_in_rules(self) -> None:
        plan = Plans(settings_of(models=[{"match": "other"}]))("m", "1")

        assert set(ENABLED) == {each.name for each in plan.rules}

    def test_entry_changes_what_it_names_and_keeps_the_rest(self) -> None:
        entry = {"match": "m", **PEOPLE, "thresholds": {"psi": {"red": 0.5}, "silence": {"enabled": False}}}
        plan = Plans(settings_of(models=[entry]))("m", "1")

        changed = rule(plan, "psi")
        assert changed.yellow is not None
        assert changed.red is not None
        assert (0.1, 0.5) == (changed.yellow.value, changed.red.value)
        assert "silence" not in {each.name for each in plan.rules}
        assert len(ENABLED) - 1 == len(plan.rules)

    def test_own_rules_stand_alone_without_the_built_in_ones(self) -> None:
        mine = {"mine": {"statistic": "p95", "fields": ["latency_s"], "red": "200ms", **PEOPLE}}
        settings = settings_of(alerts={"default_rules": False}, models=[{"thresholds": mine}])

        (found,) = Plans(settings)("m", "").rules

        assert found.red is not None
        assert ("mine", "p95", 0.2, Severity.SEV3) == (found.name, found.statistic, found.red.value, found.severity)

    def test_what_a_rule_leaves_out_comes_from_the_alerts(self) -> None:
        alerts = {"windows": ["5s", "30s"], "for_s": 7, "keep_firing_for_s": 9, "samples_min": 33, **PEOPLE}
        found = rule(Plans(settings_of(alerts=alerts))("m", ""), "psi")

        assert ((5.0, 30.0), 7.0, 9.0, 33) == (
            found.windows_s, found.for_s, found.keep_firing_for_s, found.samples_min,
        )  # fmt: skip
        assert ("team", "book") == (found.owner, found.runbook)

    def test_zero_of_a_rule_is_not_taken_for_left_out(self) -> None:
        entry = {**PEOPLE, "thresholds": {"psi": {"for_s": 0, "hysteresis": 0}}}
        found = rule(Plans(settings_of(alerts={"for_s": 60}, models=[entry]))("m", ""), "psi")

        assert (0.0, 0.0) == (found.for_s, found.hysteresis)

    def test_nearest_owner_answers(self) -> None:
        entry = {"match": "m", "owner": "model", "runbook": "b", "thresholds": {"psi": {"owner": "rule"}}}
        plan = Plans(settings_of(alerts={"owner": "all", "runbook": "b"}, models=[entry]))("m", "")

        assert ("rule", "model") == (rule(plan, "psi").owner, rule(plan, "null_rate").owner)

    def test_windows_of_all_rules_are_kept(self) -> None:
        entry = {"match": "m", **PEOPLE, "thresholds": {"psi": {"windows": ["2m", "1d"]}}}
        plans = Plans(settings_of(alerts={"windows": ["1m"]}, models=[entry]))

        assert (60.0, 120.0, 86_400.0) == plans.windows_s()

    @pytest.mark.parametrize(
        ("statistic", "field", "able"),
        [("p95", "unsafe", "latency_s"), ("yes_rate", "latency_s", "unsafe"), ("psi", "latency_s", "score")],
    )
    def test_rule_that_could_never_say_anything_is_refused(self, statistic: str, field: str, able: str) -> None:
        entry = {
            "match": "m",
            **PEOPLE,
            "thresholds": {"mine": {"statistic": statistic, "fields": [field], "red": 0.5}},
        }

        with pytest.raises(ConfigError, match=rf"models\[m\]\.thresholds\.mine: .*{field}.*can judge: .*{able}"):
            Plans(settings_of(models=[entry]))

    @pytest.mark.parametrize(
        ("statistic", "field"),
        [
            ("yes_rate", "overridden"),
            ("yes_rate", "evaluation.refusal_correct"),
            ("psi", "label"),
            ("p95", "label_age_s"),
        ],
    )
    def test_rule_may_watch_what_comes_with_outcomes(self, statistic: str, field: str) -> None:
        own = {"statistic": statistic, "fields": [field], "red": 0.5}
        settings = settings_of(models=[{"match": "m", **PEOPLE, "thresholds": {"mine": own}}])

        assert (field,) == rule(Plans(settings)("m", ""), "mine").fields

    def test_rule_of_a_field_that_no_event_ever_has_is_refused_with_the_nearest(self) -> None:
        own = {"statistic": "yes_rate", "fields": ["overriden"], "red": 0.5}
        settings = settings_of(models=[{"match": "m", **PEOPLE, "thresholds": {"mine": own}}])

        with pytest.raises(ConfigError, match=r"thresholds\.mine: there is no field 'overriden'; .*'overridden'"):
            Plans(settings)


class TestKafkaOptions:
    def test_offsets_are_ours_to_commit_and_topics_are_never_created(self) -> None:
        options = build.kafka_options(settings_of().kafka)

        assert (False, False, False) == tuple(
            options[name] for name in ("enable.auto.commit", "enable.auto.offset.store", "allow.auto.create.topics")
        )
        assert not [name for name, value in options.items() if value is None]

    def test_secrets_are_in_the_clear_for_the_client_alone(self) -> None:
        sasl = {
            "security_protocol": "sasl_ssl",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "u",
            "sasl_password": SECRET,
        }
        key = {"ssl_certificate_location": "c", "ssl_key_location": "k", "ssl_key_password": SECRET}
        settings = settings_of(kafka={"topics": ["a"], **sasl, **key})

        options = build.kafka_options(settings.kafka)

        assert (SECRET, SECRET) == (options["sasl.password"], options["ssl.key.password"])
        assert not [value for value in options.values() if isinstance(value, SecretStr)]
        assert SECRET not in repr(settings)

    def test_session_is_short_under_the_classic_protocol_and_the_brokers_under_the_other(self) -> None:
        classic, consumer = (
            build.kafka_options(settings_of(kafka={"topics": ["a"], "group_protocol": protocol}).kafka)
            for protocol in ("classic", "consumer")
        )

        assert (6_000, 500) == (classic["session.timeout.ms"], classic["heartbeat.interval.ms"])
        assert not {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"} & consumer.keys()

    def test_brokers_that_were_away_are_asked_again_each_second_by_readers_and_writers(self) -> None:
        settings = settings_of(kafka={"topics": ["a"]})
        options = (build.kafka_options(settings.kafka), build.client_options(settings))

        assert [1_000, 1_000] == [each["reconnect.backoff.max.ms"] for each in options]

    def test_further_properties_have_the_last_word(self) -> None:
        kafka = {"topics": ["a"], "librdkafka": {"fetch.queue.backoff.ms": 50, "log_level": 6}}
        options = build.kafka_options(settings_of(kafka=kafka).kafka)

        assert (50, 6) == (options["fetch.queue.backoff.ms"], options["log_level"])

    def test_unknown_property_is_refused_without_connecting(self) -> None:
        kafka = {"topics": ["a"], "bootstrap_servers": ["no-such-host.invalid:1"], "librdkafka": {"no.such": "1"}}

        with pytest.raises(ConfigError, match=r'kafka: No such configuration property: "no\.such"'):
            build.check_kafka(settings_of(kafka=kafka))

    def test_good_options_pass_without_connecting(self) -> None:
        build.check_kafka(settings_of(kafka={"topics": ["a"], "bootstrap_servers": ["no-such-host.invalid:1"]}))


class TestSinks:
    def test_every_receiver_is_made_and_every_replica_is_a_sink(self) -> None:
        receivers = {
            "log": {"type": "log"},
            "hook": {"type": "webhook", "url": "https://example.com", "secret": SECRET},
            "am": {"type": "alertmanager", "urls": ["http://a.example.com:9093", "http://b.example.com:9093"]},
        }
        sinks = build.sinks(settings_of(receivers=receivers))

        names = [each.name for each in sinks]
        for sink in sinks:
            sink.close()
        assert ["log", "hook", "am/a.example.com:9093", "am/b.example.com:9093"] == names

    def test_all_that_is_wrong_with_a_receiver_is_told_by_line(self) -> None:
        receivers = {"am": {"type": "alertmanager", "url": f"https://{SECRET}.example.com"}}

        with pytest.raises(ConfigError) as caught:
            build.sinks(settings_of(receivers=receivers))

        assert [
            "receivers.am.urls: is missing; add it",
            "receivers.am.url: unknown option; did you mean 'urls'?",
        ] == str(caught.value).splitlines()


class TestApp:
    def test_daemon_is_wired_and_nothing_is_opened(self, tmp_path: Path) -> None:
        kafka = {"topics": ["a"], "bootstrap_servers": ["no-such-host.invalid:1"]}
        settings = settings_of(kafka=kafka, reference={"directory": str(tmp_path / "references")}, http={"port": 1})

        assembly.app(settings, board := Board())

        assert board.latest() is None
        assert [] == list(tmp_path.iterdir())

    def test_damaged_reference_is_named_with_its_setting(self, tmp_path: Path) -> None:
        (tmp_path / "m.reference.json").write_text("{")

        with pytest.raises(ConfigError, match=r"reference\.directory: .*m\.reference\.json: "):
            assembly.app(settings_of(reference={"directory": str(tmp_path)}), Board())


class TestOnlyLearning:
    def test_nothing_is_judged_and_nothing_is_too_late_or_a_duplicate(self) -> None:
        terms = build.only_learning(settings_of(alerts=PEOPLE))

        assert () == terms.plan_of("m", "1").rules
        assert 0 == terms.event_ids_max
        assert terms.time.grace_s > 1e9

    def test_what_is_watched_is_as_configured(self) -> None:
        terms = build.only_learning(settings_of(models=[{"match": "m", "segments": ["country"]}]))

        assert ("country",) == terms.plan_of("m", "1").watch.segments


def test_no_secret_is_told_in_what_librdkafka_says_of_its_options() -> None:
    kafka = {
        "topics": ["a"],
        "security_protocol": "sasl_ssl",
        "sasl_mechanism": "PLAIN",
        "sasl_username": "u",
        "sasl_password": "hush-one",
        "librdkafka": {"sasl.oauthbearer.client.secret": "hush-two"},
    }
    told = build._without_secrets("no hush-one, no hush-two", settings_of(kafka=kafka).kafka)

    assert "no ***, no ***" == told
