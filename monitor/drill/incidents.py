"""The incidents that can be planted, in events of any model. Pure: events and chance come in as arguments."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.errors import DriftdError

Event = dict[str, Any]
Change = Callable[[Event, random.Random], None]

PRESENT_MIN: Final = 0.5
"""A field is fit for an incident if at least this share of events has it."""
UNSAFE_MIN: Final = 0.01
"""What an unsafe rate is raised to, at least: five times nothing is nothing."""
NEW_CATEGORY: Final = "driftd-drill-new"


@dataclass(frozen=True, slots=True)
class Planted:
    """An incident fitted to a model. stream: where it is to be seen. change: makes an event one of the incident's."""

    name: str
    words: str
    stream: str
    change: Change


@dataclass(frozen=True, slots=True)
class Traits:
    """What healthy events of a model are like.

    numbers: standard deviation of each numeric feature that varies. texts: features that are text, with how many
    categories. fields: the other fields that most events have. unsafe_rate: among those checked.
    """

    numbers: Mapping[str, float]
    texts: Mapping[str, int]
    features: Sequence[str]
    fields: frozenset[str]
    unsafe_rate: float

    @classmethod
    def of(cls, events: Sequence[Event]) -> Traits:
        """Give the traits of a sample of healthy events."""
        least = PRESENT_MIN * len(events)
        values: dict[str, list[Any]] = {}
        for event in events:
            features = event.get("features")
            for name, value in features.items() if isinstance(features, dict) else ():
                values.setdefault(name, []).append(value)
        common = {name: found for name, found in values.items() if len(found) >= least}
        numbers = {name: [float(v) for v in found if _is_number(v)] for name, found in common.items()}
        texts = {name: [v for v in found if isinstance(v, str)] for name, found in common.items()}
        present = Counter(name for event in events for name, value in event.items() if value is not None)
        unsafe = [bool(event["unsafe"]) for event in events if event.get("unsafe") is not None]
        return cls(
            numbers={n: sd for n, found in numbers.items() if len(found) >= least and (sd := _deviation(found)) > 0},
            texts={name: len(set(found)) for name, found in texts.items() if len(found) >= least},
            features=list(common),
            fields=frozenset(name for name, count in present.items() if count >= least),
            unsafe_rate=sum(unsafe) / len(unsafe) if unsafe else 0.0,
        )


def plant(name: str, traits: Traits, feature: str | None = None, size: float | None = None) -> Planted | None:
    """Fit an incident to a model; None where the model has nothing for it.

    feature: which one, by default the first that fits. size: in the incident's own unit, see INCIDENTS.
    """
    incident = INCIDENTS[name]
    return incident.fit(traits, feature, incident.size if size is None else size)


@dataclass(frozen=True, slots=True)
class Incident:
    """A kind of incident. words: for the help. size: by default, in the unit that the words tell."""

    words: str
    size: float
    fit: Callable[[Traits, str | None, float], Planted | None]


def _shift(traits: Traits, feature: str | None, size: float) -> Planted | None:
    name = _chosen(traits.numbers, feature)
    if name is None:
        return None
    move = size * traits.numbers[name]

    def change(event: Event, _: random.Random) -> None:
        features = _features(event)
        if _is_number(features.get(name)):
            features[name] += move

    return Planted("feature_shift", f"{name} moves by {move:.4g}, {size:g} sd", f"features.{name}", change)


def _slow(traits: Traits, _: str | None, size: float) -> Planted | None:
    if "latency_s" not in traits.fields:
        return None

    def change(event: Event, _: random.Random) -> None:
        for name in ("latency_s", "ttft_s"):
            if _is_number(event.get(name)):
                event[name] *= size

    return Planted("latency_rise", f"everything takes {size:g} times as long", "latency_s", change)


def _unsafe(traits: Traits, _: str | None, size: float) -> Planted | None:
    if "unsafe" not in traits.fields:
        return None
    rate = traits.unsafe_rate
    wanted = min(1.0, max(size * rate, UNSAFE_MIN))
    flipped = (wanted - rate) / (1.0 - rate) if rate < 1.0 else 0.0

    def change(event: Event, rng: random.Random) -> None:
        if event.get("unsafe") is False and rng.random() < flipped:
            event["unsafe"] = True

    return Planted("unsafe_rise", f"unsafe outputs go from {rate:.2%} to {wanted:.2%}", "unsafe", change)


def _nulls(traits: Traits, feature: str | None, size: float) -> Planted | None:
    name = _chosen(traits.features, feature)
    if name is None:
        return None

    def change(event: Event, rng: random.Random) -> None:
        if name in _features(event) and rng.random() < size:
            _features(event)[name] = None

    return Planted("null_spike", f"{size:.0%} of {name} become null", f"features.{name}", change)


def _category(traits: Traits, feature: str | None, size: float) -> Planted | None:
    name = _chosen(sorted(traits.texts, key=lambda each: traits.texts[each]), feature)
    if name is None:
        return None

    def change(event: Event, rng: random.Random) -> None:
        if name in _features(event) and rng.random() < size:
            _features(event)[name] = NEW_CATEGORY

    return Planted("new_category", f"{size:.0%} of {name} become a new category", f"features.{name}", change)


INCIDENTS: Final[Mapping[str, Incident]] = {
    "feature_shift": Incident("a numeric feature moves by so many standard deviations", 1.0, _shift),
    "latency_rise": Incident("latency is so many times as long", 1.6, _slow),
    "unsafe_rise": Incident("unsafe outputs are so many times as frequent", 5.0, _unsafe),
    "null_spike": Incident("such a share of a feature is null", 0.3, _nulls),
    "new_category": Incident("such a share of a feature is a category never seen", 0.2, _category),
}


def _chosen(fit: Iterable[str], wanted: str | None) -> str | None:
    """Give the feature that was asked for, or the first. Raises DriftdError where the one asked for is not fit."""
    names = list(fit)
    if wanted is None:
        return next(iter(names), None)
    name = wanted.removeprefix("features.")
    if names and name not in names:
        raise DriftdError(f"--field {wanted}: not fit for this incident; these are: {', '.join(names[:30])}")
    return name if names else None


def _features(event: Event) -> dict[str, Any]:
    found = event.get("features")
    return found if isinstance(found, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _deviation(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
