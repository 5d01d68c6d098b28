"""Every preset on a replay of events and outcomes with a failure of its kind planted: found, named, and nothing before.

Twenty minutes at five requests a second; the failure begins at half time. Outcomes come two seconds after.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest

from monitor import build, presets
from monitor.config import load_settings
from monitor.domain import AlertState, Band, Severity, Transition
from monitor.replaying import Outputs, replay_files

if TYPE_CHECKING:
    from pathlib import Path

NOON_S: Final = 1_780_000_000.0
PER_S: Final = 5
HALF_S: Final = 600
LATE_S: Final = 2.0
TOPICS: Final = "kafka: {topics: [a]}\nalerts: {owner: me, runbook: book}\n"

Event = dict[str, Any]
Make = Callable[[random.Random, bool], tuple[Event, Event | None]]
"""Gives what an inference and its outcome say beside the usual, in health and in failure."""


def judged(kind: str, evaluator: str, usual: float, failing: float) -> Make:
    """Someone judges every answer: yes in so many cases."""

    def make(rng: random.Random, is_failing: bool) -> tuple[Event, Event | None]:  # noqa: FBT001 - called by position
        value = rng.random() < (failing if is_failing else usual)
        return {}, {"kind": kind, "evaluator": evaluator, "value": value}

    return make


def labelled(recall: float, failing: float) -> Make:
    """A fifth of all is positive; the model finds so many of these, and takes few others for one."""

    def make(rng: random.Random, is_failing: bool) -> tuple[Event, Event | None]:  # noqa: FBT001 - called by position
        is_positive = rng.random() < 0.2
        share = (failing if is_failing else recall) if is_positive else 0.01
        return {"prediction": int(rng.random() < share)}, {"kind": "label", "label": int(is_positive)}

    return make


def inferred(usual: Event, failing: Event, share: float = 1.0) -> Make:
    """Inferences themselves go wrong, in a share of all."""

    def make(rng: random.Random, is_failing: bool) -> tuple[Event, Event | None]:  # noqa: FBT001 - called by position
        return (failing if is_failing and rng.random() < share else usual), None

    return make


UNSAFE: Final = judged("evaluation", "critical_hallucination", 0.0, 0.05)
PLANTED: Final[Mapping[str, tuple[str, str, Make]]] = {
    "an agent acts without leave": (
        "workflow-agent", "kill_unauthorised_action", judged("evaluation", "unauthorised_action", 0.0, 0.03),
    ),
    "tools are used wrongly": (
        "workflow-agent", "tool_use_correct", judged("evaluation", "tool_use_correct", 0.995, 0.8),
    ),
    "customers come back": (
        "customer-support-bot", "kill_repeat_contact", judged("feedback", "repeat_contact", 0.04, 0.4),
    ),
    "a bot makes things up": ("customer-support-bot", "kill_critical_hallucination", UNSAFE),
    "refusals are wrong": (
        "customer-support-bot", "refusal_correct", judged("evaluation", "refusal_correct", 0.995, 0.8),
    ),
    "policy is violated": (
        "compliance-copilot", "kill_policy_violation", judged("evaluation", "policy_violation", 0.0, 0.04),
    ),
    "critical fields are wrong for a regulator": (
        "compliance-copilot", "critical_field_accuracy", judged("evaluation", "critical_field_correct", 0.995, 0.8),
    ),
    "an assistant makes things up": ("knowledge-assistant", "kill_critical_hallucination", UNSAFE),
    "citations lead nowhere": (
        "knowledge-assistant", "citation_valid", judged("evaluation", "citation_valid", 0.99, 0.7),
    ),
    "suggestions open holes": (
        "developer-copilot", "kill_insecure_suggestion", judged("evaluation", "insecure_suggestion", 0.001, 0.08),
    ),
    "nobody takes suggestions": (
        "developer-copilot", "acceptance", judged("feedback", "accepted", 0.4, 0.05),
    ),
    "fraud gets through": ("fraud-classifier", "kill_missed_fraud", labelled(0.95, 0.2)),
    "critical fields are wrong": (
        "document-extractor", "kill_critical_field_accuracy", judged("evaluation", "critical_field_correct", 0.995, 0.8),
    ),
    "harm slips through": ("content-moderator", "recall", labelled(0.97, 0.4)),
    "prohibited items are shown": (
        "recommender", "kill_prohibited_content", judged("evaluation", "prohibited_content", 0.0, 0.03),
    ),
    "answers are slow": ("customer-support-bot", "latency_p95", inferred({}, {"latency_s": 9.0}, 0.3)),
    "scores are late": ("fraud-classifier", "latency_p95", inferred({"latency_s": 0.05}, {"latency_s": 2.0}, 0.3)),
    "the model falls back": (
        "knowledge-assistant", "fallback_rate", inferred({"fallback": False}, {"fallback": True}, 0.5),
    ),
    "calls fail": ("recommender", "availability", inferred({}, {"status": 503}, 0.3)),
}  # fmt: skip


def replayed(preset: str, make: Make, folder: Path) -> list[Transition]:
    """Give what a replay under a preset fires, in the order of time."""
    rng = random.Random(7)
    events, outcomes = folder / "events.jsonl", folder / "outcomes.jsonl"
    with events.open("w") as told, outcomes.open("w") as answered:
        for number in range(2 * HALF_S * PER_S):
            at_s = NOON_S + number / PER_S
            changes, outcome = make(rng, number >= HALF_S * PER_S)
            event = {"model": "m", "model_version": "1", "request_id": f"r{number}", "event_time": at_s, "status": "ok"}
            told.write(json.dumps({**event, "latency_s": rng.lognormvariate(-2.5, 0.3), **changes}) + "\n")
            if outcome is not None:
                about = {"type": "outcome", "request_id": f"r{number}", "event_time": at_s + LATE_S}
                answered.write(json.dumps({**about, **outcome}) + "\n")
    config = folder / "driftd.yaml"
    config.write_text(f"{TOPICS}models: [{{match: m, preset: {preset}}}]\n")
    settings = load_settings(config, {})
    summary = replay_files(settings, build.references(settings, str(folder)), [events, outcomes], Outputs())
    assert 0 == summary.rejected
    return [t for t in summary.transitions if t.alert.state is AlertState.FIRING]


@pytest.mark.parametrize(("preset", "rule", "make"), PLANTED.values(), ids=PLANTED.keys())
def test_planted_failure_is_found_and_nothing_fires_before(preset: str, rule: str, make: Make, tmp_path: Path) -> None:
    fired = replayed(preset, make, tmp_path)
    by_rule: dict[str, list[Transition]] = defaultdict(list)
    for transition in fired:
        by_rule[transition.alert.rule].append(transition)

    assert all(t.time_s >= NOON_S + HALF_S for t in fired), "a false alarm"
    assert rule in by_rule
    alert = by_rule[rule][-1].alert
    assert Band.RED is alert.band
    assert NOON_S + HALF_S - 30 <= by_rule[rule][0].alert.since_s <= NOON_S + HALF_S + 60
    assert alert.response == presets.entry(preset)["thresholds"][rule]["response"]
    if rule.startswith("kill_"):
        assert Severity.SEV1 is alert.severity


def test_every_preset_is_exercised_and_so_is_each_of_its_kill_switches() -> None:
    exercised = {(preset, rule) for preset, rule, _ in PLANTED.values()}
    kills = {
        (name, rule) for name in presets.names() for rule in presets.entry(name)["thresholds"] if rule[:5] == "kill_"
    }

    assert set(presets.names()) == {preset for preset, _ in exercised}
    assert kills <= exercised
