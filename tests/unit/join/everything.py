"""Traffic with all that driftd knows of, of two versions of a classifier and a regression; and the rows behind it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.unit.join.traffic import START_S

ROWS: Final = 900
"""Requests to the classifier; after a third of them the second version serves every other one."""
STEP_S: Final = 0.5
JUDGED: Final = {
    "evaluation.critical_field_correct": 0.97,
    "evaluation.entity_present": 0.95,
    "evaluation.prohibited_content": 0.02,
    "evaluation.citation_valid": 0.9,
    "evaluation.schema_conform": 0.98,
    "evaluation.tool_use_correct": 0.93,
    "evaluation.refusal_correct": 0.96,
    "evaluation.policy_violation": 0.01,
    "evaluation.jailbreak": 0.03,
    "evaluation.critical_hallucination": 0.04,
    "evaluation.sensitive_topic_escalated": 0.94,
    "feedback.harm": 0.02,
    "feedback.opt_out": 0.05,
    "feedback.repeat_contact": 0.1,
    "feedback.conversion": 0.3,
    "feedback.accepted": 0.6,
    "feedback.resolved": 0.8,
    "feedback.deflected": 0.7,
}
"""What somebody says of one request in three, and how often yes."""
CONFIG: Final = """
kafka: {topics: [events]}
alerts: {owner: me, runbook: book, windows: [1m, 1h], default_rules: true}
reference: {learn_events: 200, learn_events_min: 100}
outcomes: {join: always, absence_s: 60, learn_rows: 50}
releases:
  gates: [{model: "fraud*"}]
  criteria: {conversion: {kpi: conversion_rate, better: higher, margin: 0, effect: 0.05}}
models:
  - match: "*"
    segments: [region]
    outcomes: {abstain_below: 0.6}
"""


@dataclass(slots=True)
class Everything:
    """messages: events and outcomes, in order of time. rows: of the classifier's first version, with what came."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[dict[str, float]] = field(default_factory=list)


def everything(rows: int = ROWS, seed: int = 11) -> Everything:
    """Give it all. The classifier is called fraud, its versions v1 and v2; the regression eta."""
    chance, out = random.Random(seed), Everything()
    timed: list[tuple[float, dict[str, Any]]] = []
    for number in range(rows):
        time_s = START_S + STEP_S * number
        version = "v2" if number >= rows // 3 and number % 2 else "v1"
        row = _row(chance)
        timed.append((time_s, _inference(number, time_s, version, row)))
        timed += [(told["event_time"], told) for told in _outcomes(number, time_s, row, chance)]
        if version == "v1":
            out.rows.append(row)
        if number % 3 == 0:
            eta = {"prediction": chance.gauss(10.0, 3.0)}
            eta["label"] = eta["prediction"] + chance.gauss(0.5, 1.0)
            head = {"model": "eta", "model_version": "1", "request_id": f"e{number}"}
            timed.append((time_s, {**head, "event_time": time_s, "prediction": eta["prediction"]}))
            timed.append((time_s + 1.0, _told(f"e{number}", time_s + 1.0, "label", label=eta["label"])))
            out.numbers.append(eta)
    end_s = START_S + STEP_S * rows + 120.0  # by then what nobody said is known
    timed += [(end_s + i, {"model": "last", "event_time": end_s + i, "score": 0.5}) for i in range(5)]
    out.messages = [message for _, message in sorted(timed, key=lambda each: each[0])]
    return out


def _row(chance: random.Random) -> dict[str, Any]:
    score = chance.betavariate(0.8, 1.2)
    is_fraud = chance.random() < min(max(0.5 + 0.9 * (score - 0.5), 0.0), 1.0)
    said = {name: chance.random() < share for name, share in JUDGED.items() if chance.random() < 1 / 3}
    return {
        "score": score,
        "label": is_fraud,
        "region": chance.choice(("eu", "us")),
        "cost_usd": chance.lognormvariate(-6.0, 0.5),
        "tokens_in": chance.randrange(10, 200),
        "tokens_out": chance.randrange(10, 400),
        "latency_s": chance.lognormvariate(-1.0, 0.4),
        "user_id": f"u{chance.randrange(150)}",
        "cache_hit": chance.random() < 0.7,
        "retried": chance.random() < 0.05,
        "route": "fast" if chance.random() < 0.92 else "slow",
        "guardrail_action": chance.choices(("allow", "block", "bypassed:timeout", "bypassed:crash"), (90, 6, 3, 1))[0],
        "unsafe": chance.random() < 0.02 if chance.random() < 0.8 else None,
        "refused": chance.random() < 0.03,
        "overridden": chance.random() < 0.15,
        "escalated": chance.random() < 0.05,
        "review_s": chance.uniform(60.0, 600.0) if chance.random() < 0.3 else None,
        "mode": chance.choice(("slow", "wrong", "rude", "made up")),
        "severity": chance.choice(("critical", "minor")),
        **said,
    }


def _inference(number: int, time_s: float, version: str, row: dict[str, Any]) -> dict[str, Any]:
    direct = ("score", "cost_usd", "tokens_in", "tokens_out", "latency_s", "user_id", "route", "unsafe", "refused")
    return {
        "model": "fraud",
        "model_version": version,
        "request_id": f"r{number}",
        "event_time": time_s,
        "prediction": "yes" if row["score"] >= 0.5 else "no",
        "segment": {"region": row["region"]},
        "features": {
            "amount": row["score"] * 100.0,
            "cache_hit": row["cache_hit"],
            "retried": row["retried"],
            "tool": "search" if number % 3 else "none",
            "provider": "a" if number % 10 else "b",
        },
        "ttft_s": row["latency_s"] / 4,
        "finish_reason": "stop",
        "fallback": number % 20 == 0,
        "status": 503 if number % 50 == 0 else "ok",
        "guardrail_action": row["guardrail_action"],
        **{name: row[name] for name in direct},
    }


def _told(request_id: str, time_s: float, kind: str, **said: object) -> dict[str, Any]:
    return {"type": "outcome", "request_id": request_id, "event_time": time_s, "kind": kind, **said}


def _outcomes(number: int, time_s: float, row: dict[str, Any], chance: random.Random) -> Sequence[dict[str, Any]]:
    name, at_s = f"r{number}", time_s + 1.0
    row["age_s"] = 1.0 + chance.random()
    label: dict[str, Any] = {"label": "yes" if row["label"] else "no", "severity": row["severity"]}
    if (row["score"] >= 0.5) != row["label"]:
        label["failure_mode"] = row["mode"]
    out = [_told(name, time_s + row["age_s"], "label", **label)]
    for field_, value in row.items():
        kind, _, evaluator = field_.partition(".")
        if evaluator:
            out.append(_told(name, at_s, kind, evaluator=evaluator, value=value))
    if row["review_s"] is not None:
        out.append(_told(name, at_s, "evaluation", evaluator="review_turnaround_s", value=row["review_s"]))
    if row["overridden"]:
        out.append(_told(name, at_s, "override"))
    if row["escalated"]:
        out.append(_told(name, at_s, "escalation"))
    return out
