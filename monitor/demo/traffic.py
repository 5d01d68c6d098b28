"""Traffic of two made-up models, healthy or with an incident planted. Seeded; the events are canonical."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

FRAUD: Final = "fraud-classifier"
ASSISTANT: Final = "assistant"
VERSION: Final = "v1"
RATES_PER_S: Final[Mapping[str, float]] = {FRAUD: 150.0, ASSISTANT: 120.0}
COUNTRIES: Final = ("DE", "FR", "ES", "PL", "NL", "IT")
CHANNELS: Final = ("app", "web", "pos")


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that goes wrong.

    words: what a person would say. fields: where it can be seen, the first the one it is planted in.
    """

    name: str
    model: str
    words: str
    fields: tuple[str, ...]


SHIFT: Final = Incident(
    "feature_shift",
    FRAUD,
    "a feature shift: an upstream change doubles `amount`",
    ("features.amount", "features.amount_to_average", "score", "prediction"),
)
UNSAFE: Final = Incident("unsafe_rise", ASSISTANT, "an unsafe-output rise: 0.5 % -> 8 %", ("unsafe",))
SLOW: Final = Incident(
    "latency_rise", ASSISTANT, "a latency rise: everything takes 1.8 times as long", ("latency_s", "ttft_s")
)
INCIDENTS: Final = (SHIFT, UNSAFE, SLOW)


def fraud_event(rng: random.Random, incident: str | None) -> dict[str, Any]:
    """Give a scored payment: 12 features, a score that depends on them, a decision."""
    amount = rng.lognormvariate(3.2, 0.9) * (2.0 if incident == SHIFT.name else 1.0)
    average = rng.lognormvariate(3.2, 0.4)
    night = rng.random() < 0.15
    velocity = min(rng.expovariate(0.7), 40.0)
    risk = rng.betavariate(2.0, 8.0)
    logit = -5.0 + 0.02 * min(amount, 300.0) + 1.2 * night + 0.25 * velocity + 4.0 * risk + rng.gauss(0.0, 0.6)
    score = 1.0 / (1.0 + 2.718281828**-logit)
    return {
        "features": {
            "amount": round(amount, 2),
            "amount_to_average": round(amount / average, 4),
            "average_30d": round(average, 2),
            "velocity_1h": round(velocity, 3),
            "merchant_risk": round(risk, 4),
            "account_age_days": round(rng.expovariate(1 / 700.0), 1),
            "distance_km": round(rng.lognormvariate(1.5, 1.2), 2),
            "device_score": None if rng.random() < 0.02 else round(rng.gauss(0.0, 1.0), 4),
            "is_night": night,
            "country": COUNTRIES[min(int(rng.expovariate(0.8)), len(COUNTRIES) - 1)],
            "channel": rng.choices(CHANNELS, (6, 3, 1))[0],
            "mcc_group": rng.choice(("food", "travel", "retail", "digital")),
        },
        "score": round(score, 5),
        "prediction": "block" if score > 0.5 else "allow",
        "latency_s": round(rng.lognormvariate(-3.6, 0.35), 6),
        "status": "ok" if rng.random() > 0.002 else "error",
    }


def assistant_event(rng: random.Random, incident: str | None) -> dict[str, Any]:
    """Give an answered question: tokens, cost, latency, safety."""
    slow = 1.8 if incident == SLOW.name else 1.0
    tokens_in, tokens_out = int(rng.lognormvariate(6.0, 0.7)) + 1, int(rng.lognormvariate(5.2, 0.6)) + 1
    unsafe = rng.random() < (0.08 if incident == UNSAFE.name else 0.005)
    return {
        "endpoint": rng.choices(("chat", "summarise"), (4, 1))[0],
        "latency_s": round(rng.lognormvariate(0.1, 0.45) * slow, 4),
        "ttft_s": round(rng.lognormvariate(-1.2, 0.4) * slow, 4),
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "cost_usd": round(tokens_in * 1.5e-6 + tokens_out * 6e-6, 8),
        "unsafe": None if rng.random() < 0.1 else unsafe,
        "refused": rng.random() < 0.02,
        "fallback": rng.random() < 0.03,
        "finish_reason": rng.choices(("stop", "length", "tool_calls"), (85, 5, 10))[0],
        "status": "ok",
    }


MAKERS: Final[Mapping[str, Callable[[random.Random, str | None], dict[str, Any]]]] = {
    FRAUD: fraud_event,
    ASSISTANT: assistant_event,
}


def event(rng: random.Random, model: str, time_s: float, incident: str | None = None) -> dict[str, Any]:
    """Give one event of a model. incident: name of what is going wrong with it, None if it is healthy."""
    head = {"event_id": f"{rng.getrandbits(96):024x}", "event_time": time_s, "model": model, "model_version": VERSION}
    return {**head, **MAKERS[model](rng, incident)}


def history(seconds: float, until_s: float, seed: int = 11) -> Iterator[dict[str, Any]]:
    """Give healthy traffic of both models, in order of time, for references."""
    rng = random.Random(seed)  # noqa: S311 - to be repeatable, not to be secret
    due = dict.fromkeys(RATES_PER_S, until_s - seconds)
    while True:
        model = min(due, key=lambda name: due[name])
        if due[model] >= until_s:
            return
        yield event(rng, model, round(due[model], 4))
        due[model] += 1.0 / RATES_PER_S[model]
