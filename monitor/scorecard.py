"""Scorecards: one model version on a page, what was promised beside what came, and what has changed since."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from monitor.domain import AlertState, ModelStatus, Snapshot
from monitor.gate.counts import totals_cells
from monitor.kpis import KPIS
from monitor.kpis.base import UNKNOWN, Estimate
from monitor.kpis.compare import change_of, lift_of
from monitor.quality import REFERENCE

FORMAT: Final = "driftd-scorecards"
VERSION: Final = 1
ALPHA: Final = 0.05
SINCE_RELEASE: Final = "since release"
LINES: Final[Mapping[str, tuple[str, ...]]] = {
    "quality": ("task_success", "accuracy", "mae"),
    "latency p95, s": ("latency_p95",),
    "cost per 1,000 requests, USD": ("cost_per_1000",),
    "violation rate": ("policy_violation_rate", "delivered_unsafe_rate", "unsafe_rate"),
    "failure diversity": ("distinct_critical_modes", "distinct_modes"),
}
"""What a scorecard names, and the KPIs that say it, the first known first."""
DRIFTS: Final = frozenset({"drift", "psi", "js", "ks", "wasserstein", "chi_square", "unseen_rate"})
Card = Mapping[str, Any]


def scorecards(snapshot: Snapshot, model: str | None = None) -> dict[str, Any]:
    """Give the scorecards of a model's versions, or of all, as JSON values; what is unknown is null.

    KPIs are of the longest window, or, where a model has none, of all that was counted since the release began.
    """
    cards = [_card(snapshot, each) for each in snapshot.picture.models if model in {None, each.model}]
    return {"format": FORMAT, "version": VERSION, "time": snapshot.wall_s, "scorecards": cards}


def _card(snapshot: Snapshot, status: ModelStatus) -> dict[str, Any]:
    picture, name = snapshot.picture, (status.model, status.model_version)
    firing = [a for a in picture.alerts if a.key[:2] == name and a.state is AlertState.FIRING]
    gates = [gate for gate in snapshot.gates if (gate.model, gate.candidate) == name]
    kpis = _kpis(snapshot, status)
    usual = [each for each in picture.kpis if each[:2] == name and not each.segment and each.window == REFERENCE]
    return {
        "model": status.model,
        "model_version": status.model_version,
        "use_case": None,
        "owner": None,
        "reference": status.reference or None,
        "state": status.state,
        "events": status.events,
        "first_event": status.first_event_s,
        "last_event": status.last_event_s,
        "kpis": kpis,
        "reference_kpis": {each.name: each.value for each in usual},
        "lines": {line: next((name for name in names if name in kpis), None) for line, names in LINES.items()},
        "drift_indicators": sorted({f"{a.rule}: {a.key.field}" for a in firing if a.statistic in DRIFTS}),
        "alerts_firing": len(firing),
        "release_status": gates[0].verdicts.get("overall") if gates else None,
        "compared_with": gates[0].incumbent if gates else None,
    }


def _kpis(snapshot: Snapshot, status: ModelStatus) -> dict[str, Any]:
    """Give the KPIs of all traffic, those of windows before those that are known since the release alone.

    Windows are told from the shortest to the longest, so the last one stays.
    """
    name = status.model, status.model_version
    known = [each for each in snapshot.picture.kpis if each[:2] == name and not each.segment]
    found: dict[str, Any] = {}
    totals = next((each for each in snapshot.picture.releases if each.model == status.model), None)
    version = next((v for v in totals.versions if v.model_version == status.model_version), None) if totals else None
    cell = totals_cells(version.streams).get("", {}) if version else {}
    for kpi in KPIS.values():
        if cell and all(field in cell for field in kpi.fields):
            value, low, high, samples = kpi.estimate(cell, ALPHA)
            if not math.isnan(value):
                found[kpi.name] = _kpi(SINCE_RELEASE, value, low, high, samples)
    own = {each.name: _kpi(each.window, *each[5:]) for each in known if each.window != REFERENCE}
    return found | own


def _kpi(window: str, value: float, low: float, high: float, samples: int) -> dict[str, Any]:
    ends = [end if math.isfinite(end) else None for end in (low, high)]
    return {"window": window, "value": value, "interval": ends, "samples": samples}


# ---- for people


def markdown(cards: Sequence[Card], before: Sequence[Card] = ()) -> str:
    """Give scorecards as Markdown: one table for each, and what has changed since `before` where that is given."""
    out = []
    for card in cards:
        out += [f"# {_cell(_name(card))}", "", *_table(("", "value"), _rows(card)), ""]
        earlier = _same(card, before)
        if earlier is not None:
            out += ["## Changes", "", *_table(("KPI", "before", "now", "change"), _changes(earlier, card)), ""]
    return "\n".join(out)


def reconciliation(cards: Sequence[Card]) -> str:
    """Give what was promised offline, the candidate (canary) and the incumbent (live) side by side, as Markdown.

    The first card is the incumbent's, the last the candidate's. What was not measured offline is told of the
    candidate's reference. lift: of the canary over live, of KPIs that are at least 0.
    """
    live, canary = cards[0], cards[-1]
    offline = {**canary.get("reference_kpis", {}), **(canary.get("offline") or {})}
    names = sorted({*offline, *canary["kpis"], *live["kpis"]})
    rows = [
        (name, _told(offline.get(name)), _value(canary, name), _value(live, name), _lift(live, canary, name))
        for name in names
    ]
    heads = ("KPI", "offline", f"canary {canary['model_version']}", f"live {live['model_version']}", "lift")
    return "\n".join([f"# {_cell(canary['model'])}: reconciliation", "", *_table(heads, rows), ""])


def _name(card: Card) -> str:
    return f"{card['model']} {card['model_version']}".strip()


def _rows(card: Card) -> Iterator[tuple[str, ...]]:
    yield "use case", _told(card.get("use_case"))
    yield "owner", _told(card.get("owner"))
    yield "reference set", _told(card["reference"])
    offline = card.get("offline") or {}
    yield "offline quality", ", ".join(f"{name} {_told(value)}" for name, value in offline.items()) or "unknown"
    for line, name in card["lines"].items():
        yield line, "unknown" if name is None else f"{_value(card, name)} ({name}, {card['kpis'][name]['window']})"
    yield "drift indicators", ", ".join(card["drift_indicators"]) or "none fires"
    status = card["release_status"]
    yield "release status", card["state"] if status is None else f"{status}, against {card['compared_with']}"
    yield "events", f"{card['events']:,}"


def _value(card: Card, name: str) -> str:
    found = card["kpis"].get(name)
    if found is None:
        return "unknown"
    low, high = found["interval"]
    return f"{found['value']:.4g} ({_told(low)} to {_told(high)})"


def _changes(before: Card, now: Card) -> Iterator[tuple[str, ...]]:
    for name in sorted(now["kpis"].keys() & before["kpis"].keys()):
        change = change_of(_estimate(before, name), _estimate(now, name))
        yield name, _value(before, name), _value(now, name), _signed(change, "+.4g")


def _lift(incumbent: Card, candidate: Card, name: str) -> str:
    """Give by how much a KPI of the candidate is higher, as a share; of two that are known and at least 0."""
    first, second = _estimate(incumbent, name), _estimate(candidate, name)
    return _signed(lift_of(first, second), "+.2%") if min(first.low, second.low) >= 0.0 else "unknown"


def _signed(change: Estimate, form: str) -> str:
    value, low, high, _ = change
    ends = (f"{end:{form}}" if math.isfinite(end) else "unknown" for end in (low, high))
    return f"{value:{form}} ({' to '.join(ends)})" if math.isfinite(value) else "unknown"


def _estimate(card: Card, name: str) -> Estimate:
    """Give a KPI of a card; where an end of its interval is not known, nothing bounds it."""
    found = card["kpis"].get(name)
    if found is None:
        return UNKNOWN
    low, high = found["interval"]
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    return Estimate(found["value"], *ends, found["samples"])


def _same(card: Card, before: Sequence[Card]) -> Card | None:
    return next((each for each in before if _name(each) == _name(card)), None)


def _told(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(heads: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_cell, heads))} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(text: str) -> str:
    """Give text that stays in its cell and means nothing in Markdown: names come from outside."""
    return re.sub(r"([\\`*\[\]<>|&])", r"\\\1", " ".join(text.split()))
