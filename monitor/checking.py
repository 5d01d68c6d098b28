"""What `driftd check` says: what would be watched, what that can detect, and what is worth a second look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.config import Settings, cautions
from monitor.config.web_file import access_file
from monitor.decode.compiled import reader
from monitor.detectors import DETECTORS
from monitor.memory import memory_max
from monitor.plans import Plans
from monitor.power.analysis import Analysis, Traffic, analysis
from monitor.references import Reference
from monitor.rules import Level, Plan, Rule
from monitor.sizing import Sizing, loads, sizing
from monitor.tables import span_text

NOT_COMPILED: Final = (
    "decoder: events are read without the compiled reader, at about twice the cost: there was no C compiler when driftd"
    " was installed; install one, and driftd anew"
)


@dataclass(frozen=True, slots=True)
class Report:
    """A checked configuration, in words."""

    settings: Settings
    plans: Sequence[tuple[str, Plan]]
    references: Sequence[Reference]
    cautions: Sequence[str]
    power: Analysis
    sizing: Sizing | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        return {
            "ok": True,
            "topics": list(self.settings.kafka.topics),
            "models": [
                {"match": name, "segments": list(plan.watch.segments), "rules": [_rule_dict(r) for r in plan.rules]}
                for name, plan in self.plans
            ],
            "references": [
                {"model": r.model, "model_version": r.model_version, "reference": r.identity, "events": r.events}
                for r in self.references
            ],
            "receivers": {name: receiver.type for name, receiver in self.settings.receivers.items()},
            "memory": memory_max(self.settings).to_dict(),
            "sizing": self.sizing and self.sizing.to_dict(),
            "is_compiled": reader() is not None,
            "cautions": list(self.cautions),
            "power": self.power.to_dict(),
        }

    def to_text(self) -> str:
        """Give it for people."""
        settings = self.settings
        lines = [
            "The configuration is good.",
            "",
            (
                f"reads      {', '.join(settings.kafka.topics)} from {', '.join(settings.kafka.bootstrap_servers)}"
                f" as group {settings.kafka.group_id} ({settings.kafka.group_protocol})"
            ),
            f"serves     http{_tls(settings)}://{settings.http.host}:{settings.http.port}/metrics, /livez, /readyz",
            f"tells      {', '.join(f'{n} ({r.type})' for n, r in settings.receivers.items()) or 'nobody'}",
            (
                f"budget     false pages per model in {span_text(settings.alerts.budget_period_s)}:"
                f" {settings.alerts.false_alarm_budget:g}"
            ),
        ]
        lines += [
            f"keeps      {settings.state.directory}" if settings.state.enabled else "keeps      nothing: state is off",
            f"memory     {memory_max(settings).to_text()}",
            *(self.sizing.to_lines() if self.sizing else ["scale      unknown: no model's traffic is known"]),
        ]
        if self.references:
            lines += [
                f"reference  {_named(r)}: {r.identity}, {r.events:,} events from {r.source}" for r in self.references
            ]
        else:
            learn = settings.reference
            lines.append(
                f"reference  none in {learn.directory}: learned from the first {learn.learn_events:,} events of each"
                f" model (or {span_text(learn.learn_s)})"
            )
        for name, plan in self.plans:
            lines += [
                "",
                f"models {name}" + (f", segments {', '.join(plan.watch.segments)}" if plan.watch.segments else ""),
            ]
            lines += [f"  {_rule_text(rule)}" for rule in plan.rules] or ["  no rules: counted and exported only"]
        lines += self.power.to_lines()
        if self.cautions:
            lines += ["", *(f"caution: {text}" for text in self.cautions)]
        return "\n".join(lines)


def report(
    settings: Settings, references: Sequence[Reference], traffic: Traffic, partitions: int | None = None
) -> Report:
    """Give the report of settings that load, and what they can detect at some traffic.

    partitions: of the topics of events, None: nobody was asked.
    """
    power = analysis(settings, references, traffic)
    found = sizing(settings, loads(references, power), partitions)
    own = [*cautions(settings), *([] if reader() else [NOT_COMPILED])]
    return Report(settings, Plans(settings).named(), references, own, power, found)


def _tls(settings: Settings) -> str:
    access = access_file(settings.http)
    return "s" if access is not None and access.read(access.path).tls is not None else ""


def _named(reference: Reference) -> str:
    return f"{reference.model} {reference.model_version}".strip()


def _rule_text(rule: Rule) -> str:
    side = ">" if rule.is_above else "<"
    bands = [
        f"{band} {side} {_level_text(rule, level)} ({severity.label})"
        for band, level, severity in (
            ("yellow", rule.yellow, rule.yellow_severity),
            ("red", rule.red, rule.severity),
        )
        if level is not None
    ]
    lasting = f", {rule.for_windows} in a row" if rule.for_windows > 1 else ""
    windows = (
        f"; windows {'/'.join(span_text(w) for w in rule.windows_s)}{lasting}" if rule.statistic in DETECTORS else ""
    )
    return f"{rule.name:<18} {rule.statistic} of {', '.join(rule.fields)}: {', '.join(bands)}{windows}"


def _level_text(rule: Rule, level: Level) -> str:
    return span_text(level.value) if rule.statistic == "silence" and not level.is_relative else str(level)


def _rule_dict(rule: Rule) -> dict[str, Any]:
    return {
        "rule": rule.name,
        "statistic": rule.statistic,
        "fields": list(rule.fields),
        "yellow": None if rule.yellow is None else str(rule.yellow),
        "red": None if rule.red is None else str(rule.red),
        "direction": "above" if rule.is_above else "below",
        "severity": rule.severity.label,
        "yellow_severity": rule.yellow_severity.label,
        "windows_s": list(rule.windows_s),
        "samples_min": rule.samples_min,
        "for_s": rule.for_s,
        "for_windows": rule.for_windows,
        "owner": rule.owner,
        "runbook": rule.runbook,
        "response": rule.response,
    }
