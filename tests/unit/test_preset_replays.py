"""Every preset on a replay of events and outcomes with failures of its kind planted: found, named, nothing before.

Eight minutes at eight requests a second; at half time all that is planted for a preset goes wrong at once. Outcomes
come two seconds after.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from monitor import presets
from monitor.config import load_settings
from monitor.domain import AlertState, Band, Severity, Transition
from monitor.replaying import Outputs, replay_files

NOON_S: Final = 1_780_000_000.0
PER_S: Final = 8
HALF_S: Final = 240
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


INVENTED: Final = judged("evaluation", "critical_hallucination", 0.0, 0.05)
ALLOWED: Final[Event] = {"guardrail_action": "allow", "unsafe": False}
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
    "a bot makes things up": ("customer-support-bot", "kill_critical_hallucination", INVENTED),
    "refusals are wrong": (
        "customer-support-bot", "refusal_correct", judged("evaluation", "refusal_correct", 0.995, 0.8),
    ),
    "policy is violated": (
        "compliance-copilot", "kill_policy_violation", judged("evaluation", "policy_violation", 0.0, 0.04),
    ),
    "a regulator is told what is not so": ("compliance-copilot", "kill_critical_hallucination", INVENTED),
    "critical fields are wrong for a regulator": (
        "compliance-copilot", "critical_field_accuracy", judged("evaluation", "critical_field_correct", 0.995, 0.8),
    ),
    "an assistant makes things up": ("knowledge-assistant", "kill_critical_hallucination", INVENTED),
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
        "document-extractor",
        "kill_critical_field_accuracy",
        judged("evaluation", "critical_field_correct", 0.995, 0.8),
    ),
    "harm is shown": (
        "content-moderator", "kill_delivered_unsafe", inferred(ALLOWED, {**ALLOWED, "unsafe": True}, 0.1),
    ),
    "the guardrail fails open": (
        "workflow-agent",
        "guardrail_bypassed",
        inferred(ALLOWED, {**ALLOWED, "guardrail_action": "bypassed:timeout"}, 0.1),
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


def recording(makes: list[Make]) -> Iterator[Event]:
    """Give events and outcomes of one model, in the order of time."""
    rng = random.Random(7)
    coming: deque[Event] = deque()
    for number in range(2 * HALF_S * PER_S):
        at_s, name = NOON_S + number / PER_S, f"r{number}"
        while coming and coming[0]["event_time"] <= at_s:
            yield coming.popleft()
        event = {"model": "m", "model_version": "1", "request_id": name, "event_time": at_s, "status": "ok"}
        event["latency_s"] = rng.lognormvariate(-2.5, 0.3)
        for make in makes:
            changes, outcome = make(rng, number >= HALF_S * PER_S)
            event |= changes
            if outcome is not None:
                coming.append({"type": "outcome", "request_id": name, "event_time": at_s + LATE_S, **outcome})
        yield event


@cache
def fired(preset: str) -> list[Transition]:
    """Give what a replay under a preset fires, in the order of time, with all that is planted for it."""
    makes = [make for name, _, make in PLANTED.values() if name == preset]
    with TemporaryDirectory() as folder:
        events, config = Path(folder) / "events.jsonl", Path(folder) / "driftd.yaml"
        events.write_text("".join(json.dumps(event) + "\n" for event in recording(makes)), encoding="utf-8")
        config.write_text(f"{TOPICS}models: [{{match: m, preset: {preset}}}]\n", encoding="utf-8")
        settings = load_settings(config, {})
        summary = replay_files(settings, [], [events], Outputs())
    assert 0 == summary.rejected
    return [transition for transition in summary.transitions if transition.alert.state is AlertState.FIRING]


@pytest.mark.parametrize(
    ("preset", "rule"), [(preset, rule) for preset, rule, _ in PLANTED.values()], ids=PLANTED.keys()
)
def test_planted_failure_is_found(preset: str, rule: str) -> None:
    first, *_, last = [t for t in fired(preset) if t.alert.rule == rule] * 2

    assert pytest.approx(NOON_S + HALF_S, abs=60) == first.alert.since_s
    assert Band.RED is last.alert.band
    assert presets.entry(preset)["thresholds"][rule]["response"] == last.alert.response
    if rule.startswith("kill_"):
        assert Severity.SEV1 is last.alert.severity


@pytest.mark.parametrize("preset", presets.names())
def test_nothing_fires_while_all_is_well(preset: str) -> None:
    assert all(transition.time_s >= NOON_S + HALF_S for transition in fired(preset))


def test_every_preset_is_exercised_and_so_is_each_of_its_kill_switches() -> None:
    exercised = {(preset, rule) for preset, rule, _ in PLANTED.values()}
    kills = {
        (name, rule) for name in presets.names() for rule in presets.entry(name)["thresholds"] if rule[:5] == "kill_"
    }

    assert set(presets.names()) == {preset for preset, _ in exercised}
    assert kills <= exercised
