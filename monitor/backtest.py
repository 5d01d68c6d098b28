"""What a configuration would have told over some history: pages against the budget, and incidents in order of time.

A page is an alert that began to fire. Receivers that group tell an incident as one; the budget counts its pages.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from monitor.domain import Alert, AlertState, Severity, Transition
from monitor.ledger import is_page
from monitor.rules import Budget

SHOWN_MAX: Final = 100
"""Incidents, days and models in the text; all of them are in the JSON."""
ALERTS_SHOWN_MAX: Final = 10
"""Of one incident in the text."""


@dataclass(slots=True)
class Page:
    """One alert from when it began to fire (as it was then) until it was resolved, None: not within the history."""

    alert: Alert
    fired_s: float
    severity: Severity
    resolved_s: float | None = None

    @property
    def delay_s(self) -> float:
        """From the estimated onset to the decision."""
        return max(0.0, self.fired_s - self.alert.since_s)

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        alert = self.alert
        return {
            "rule": alert.rule,
            "model_version": alert.key.model_version,
            "stream": stream_text(alert),
            "severity": self.severity.label,
            "summary": alert.summary,
            "change": alert.change,
            "rank": alert.rank,
            "evidence": alert.evidence,
            "since": alert.since_s,
            "fired": self.fired_s,
            "resolved": self.resolved_s,
            "decision_delay_s": self.delay_s,
            "dedup_key": alert.dedup_key,
        }


@dataclass(frozen=True, slots=True)
class Incident:
    """Pages of one model that overlap in time, the strongest evidence first."""

    name: str
    model: str
    pages: Sequence[Page]

    @property
    def since_s(self) -> float:
        """The earliest estimated onset."""
        return min(page.alert.since_s for page in self.pages)

    @property
    def start_s(self) -> float:
        """When somebody would have been told first."""
        return min(page.fired_s for page in self.pages)

    @property
    def end_s(self) -> float | None:
        """When the last of it was over; None if that was not within the history."""
        ends = [page.resolved_s for page in self.pages]
        return None if None in ends else max(end for end in ends if end is not None)

    @property
    def severity(self) -> Severity:
        """The worst that it came to."""
        return max(page.severity for page in self.pages)

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        return {
            "incident": self.name,
            "model": self.model,
            "severity": self.severity.label,
            "since": self.since_s,
            "start": self.start_s,
            "end": self.end_s,
            "mttd_s": self.start_s - self.since_s,
            "alerts": [page.to_dict() for page in self.pages],
        }


@dataclass(frozen=True, slots=True)
class Backtest:
    """What would have been told from one event time to another. incidents: in order of time."""

    incidents: Sequence[Incident]
    budget: Budget
    from_s: float
    to_s: float

    @property
    def pages(self) -> list[Page]:
        """All pages, in order of time."""
        return sorted((page for each in self.incidents for page in each.pages), key=lambda page: page.fired_s)

    def by_day(self) -> dict[tuple[str, str], Counter[str]]:
        """Give the pages of each model version by day (UTC)."""
        days: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for page in self.pages:
            days[page.alert.key[:2]][_utc(page.fired_s)[:10]] += 1
        return days

    def by_period(self) -> dict[tuple[str, str], Counter[int]]:
        """Give the pages of each model version by number of the budget period, counted from the first event."""
        periods: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        for page in self.pages:
            periods[page.alert.key[:2]][int((page.fired_s - self.from_s) // self.budget.period_s)] += 1
        return periods

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        periods = self.by_period()
        return {
            "pages": len(self.pages),
            "budget": {"pages": self.budget.pages, "period_s": self.budget.period_s},
            "models": [
                {
                    "model": model,
                    "model_version": version,
                    "pages": days.total(),
                    "by_day": dict(sorted(days.items())),
                    "by_budget_period": [
                        self._period_dict(number, pages) for number, pages in sorted(periods[model, version].items())
                    ],
                }
                for (model, version), days in self.by_day().items()
            ],
            "incidents": [incident.to_dict() for incident in self.incidents],
        }

    def _period_dict(self, number: int, pages: int) -> dict[str, Any]:
        begins_s = self.from_s + number * self.budget.period_s
        return {"from_s": begins_s, "pages": pages, "spent_ratio": pages / self.budget.pages}

    def to_text(self) -> list[str]:
        """Give it for people, as lines."""
        if not self.incidents:
            return ["no page would have been sent"]
        budget = f"the budget is {self.budget.pages:g} in {span_text(self.budget.period_s)} for each model version"
        sent = f"{len(self.pages)} page(s) would have been sent, in {len(self.incidents)} incident(s)"
        lines = [f"{sent}; {budget}"]
        periods = self.by_period()
        for model, days in list(self.by_day().items())[:SHOWN_MAX]:
            lines += self._model_lines(model, days, periods[model])
        lines.append("incidents:")
        for incident in self.incidents[:SHOWN_MAX]:
            lines += _incident_lines(incident)
        if len(self.incidents) > SHOWN_MAX:
            lines.append(f"  … and {len(self.incidents) - SHOWN_MAX} more: see --json")
        return lines

    def _model_lines(self, model: tuple[str, str], days: Counter[str], periods: Counter[int]) -> list[str]:
        told = ", ".join(f"{day}: {pages}" for day, pages in sorted(days.items())[:SHOWN_MAX])
        lines = [f"  {' '.join(model).strip()}: {days.total()} page(s); by day {told}"]
        for number, pages in sorted(periods.items())[:SHOWN_MAX]:
            begins_s = self.from_s + number * self.budget.period_s
            covered_s = min(self.budget.period_s, self.to_s - begins_s)
            lines.append(
                f"    budget period from {_utc(begins_s)}: {pages} of {self.budget.pages:g} spent"
                f" ({span_text(covered_s)} of it in the input)"
            )
        return lines


def backtest(transitions: Iterable[Transition], budget: Budget, from_s: float, to_s: float) -> Backtest:
    """Give what the transitions of a history, in order of time, would have told."""
    incidents: dict[str, list[Page]] = defaultdict(list)
    open_pages: dict[str, Page] = {}
    for transition in transitions:
        alert = transition.alert
        if is_page(transition):
            page = open_pages[alert.dedup_key] = Page(alert, transition.time_s, alert.severity)
            incidents[alert.incident].append(page)
        elif (known := open_pages.get(alert.dedup_key)) is not None:
            known.severity = max(known.severity, alert.severity)
            if alert.state is AlertState.RESOLVED:
                known.resolved_s = transition.time_s
                del open_pages[alert.dedup_key]
    found = [
        Incident(name, pages[0].alert.key.model, sorted(pages, key=lambda page: strength(page.alert)))
        for name, pages in incidents.items()
    ]
    return Backtest(sorted(found, key=lambda incident: incident.start_s), budget, from_s, to_s)


def strength(alert: Alert) -> tuple[int, float]:
    """Give what alerts of one incident are ordered by: their rank, then the evidence."""
    return alert.rank, -alert.evidence if math.isfinite(alert.evidence) else math.inf


def stream_text(alert: Alert) -> str:
    """Give field and segment as the alerts file has them."""
    return alert.key.field + (f"|{alert.key.segment}" if alert.key.segment else "")


def _incident_lines(incident: Incident) -> list[str]:
    until = "the end of the input" if incident.end_s is None else _utc(incident.end_s)
    span = f"{_utc(incident.start_s)} to {until}"
    onset = f"onset {_utc(incident.since_s)}, decided {incident.start_s - incident.since_s:.0f} s later"
    lines = [f"  {span}  {incident.severity.label}  {incident.model}  incident {incident.name}: {onset}"]
    for place, page in enumerate(incident.pages[:ALERTS_SHOWN_MAX], 1):
        change = page.alert.change
        change = f" [{change}]" if change and change not in page.alert.summary else ""
        lines.append(
            f"    {place}. {page.severity.label}  {page.alert.summary}{change};"
            f" decided {page.delay_s:.0f} s after its onset"
        )
    if len(incident.pages) > ALERTS_SHOWN_MAX:
        lines.append(f"    … and {len(incident.pages) - ALERTS_SHOWN_MAX} more")
    return lines


def span_text(seconds: float) -> str:
    """Give a span in its largest unit."""
    for unit, length_s in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= length_s:
            return f"{seconds / length_s:.1f} {unit}"
    whole = round(seconds)
    return f"{whole} second{'s' * (whole != 1)}"


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
