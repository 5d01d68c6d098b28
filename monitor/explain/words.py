"""The explanation itself: facts one below the other, and the two histograms side by side."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monitor.alert_json import whole_dict
from monitor.backtest import span_text, stream_text
from monitor.detectors import DETECTORS
from monitor.detectors.evidence import FACT_NATS
from monitor.domain import Alert, AlertState, Histogram
from monitor.drift_sorts import sort_of
from monitor.explain.finding import Known
from monitor.river import RIVER
from monitor.rules import ANOMALY, BURN, DRIFT
from monitor.sequential.budget import OVERSHOOT
from monitor.sinks.message import DRILL, clean
from monitor.tracks import Countable

WIDTH: Final = 120
"""Where no terminal says how wide it is."""
INDENT: Final = (0, 0, 0, 2)
BAR: Final = 24
LABEL_CHARACTERS_MAX: Final = 32
TEXT_CHARACTERS_MAX: Final = 300
CHANGES: Final[Mapping[str, str]] = {
    "location": "the values as a whole have moved up or down",
    "scale": "the values spread wider or narrower than they did",
    "shape": "middle and spread are much as they were, the form between is not",
    "new category": "categories came that the reference never saw",
    "out of range": "values came where the reference has hardly any",
    "missing values": "values are missing where there were some",
    "collapse": "many values have gathered in one place, or beyond nearly all there were",
    "error budget": "bad events use up what the objective allows, this many times faster than lasts for its period",
    "error rate": "the share of yes is not what it was",
}
"""What each kind of change means; a kind that is not here speaks for itself."""
SORTS: Final[Mapping[str, str]] = {
    "feature drift": "what goes in is not what it was; whether that harms, labels tell",
    "prediction drift": "what comes out is not what it was; whether that is right, labels tell",
    "label drift": "what is right is not what it was, whatever the model says",
    "concept drift": "the model is right less often, or further off, than it was",
}
"""What each sort of drift means."""
NATS_MAX: Final = 700.0
"""Beyond it exp is more than a double holds."""
YEAR_S: Final = 365.25 * 86_400.0
YEARS_MAX: Final = 1_000.0
"""Beyond it one time between false alarms is as good as another, and no model of chance is to be trusted so far."""
_LARGE: Final = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))
_UNITS: Final = ((YEAR_S, "years"), (86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
_SEVERITY_STYLES: Final = {"sev1": "bold red", "sev2": "red", "sev3": "yellow", "sev4": "cyan"}


def to_text(found: Sequence[Known]) -> str:
    """Give the explanations of alerts for people; of several, first a list of all."""
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else WIDTH, highlight=False, force_terminal=is_terminal)
    with console.capture() as captured:
        if len(found) > 1:
            console.print(_ranking(found), "")
        for number, each in enumerate(found):
            console.print(*([""] if number else []), _title(each.alert), sep="\n")
            console.print(Padding(_facts(each), INDENT))
            if each.alert.histogram is not None:
                console.print("", Padding(_sides(each.alert.histogram, stream_text(each.alert)), INDENT), sep="\n")
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def to_json(found: Sequence[Known]) -> str:
    """Give the explanations for programs: the facts, and what the evidence means; null for what is unknown.

    false_alarms_every_s: where evidence is sequential. chance_max: where it is of one look. Each with what was needed.
    """
    told = [{**whole_dict(each.alert), **_meaning(each.alert), "deliveries": dict(each.deliveries)} for each in found]
    return msgspec.json.encode({"alerts": told}).decode()


def _meaning(alert: Alert) -> dict[str, float | None]:
    odds, look = is_of_odds(alert), is_of_look(alert)
    return {
        "false_alarms_every_s": _every_s(alert.evidence) if odds else None,
        "false_alarms_every_s_needed": _every_s(alert.evidence_needed) if odds else None,
        "chance_max": _chance(alert.evidence) if look else None,
        "chance_max_needed": _chance(alert.evidence_needed) if look else None,
    }


def _ranking(found: Sequence[Known]) -> Table:
    table = Table.grid(padding=(0, 2))
    for place, each in enumerate(found, 1):
        alert = each.alert
        state = Text(str(alert.state), "green" if alert.state is AlertState.RESOLVED else "bold")
        what = f"{alert.key.model}: {alert.rule} of {stream_text(alert)} {_number(alert.value)}"
        severity = Text(alert.severity.label, _SEVERITY_STYLES[alert.severity.label])
        table.add_row(f"{place}.", severity, state, _plain(what), f"{_number(alert.evidence)} nats")
    return table


def _title(alert: Alert) -> Text:
    """Say what fired, and whether it still does."""
    version = f" {alert.key.model_version}" if alert.key.model_version else ""
    headline = f"{alert.key.model}{version}: {alert.rule} of {stream_text(alert)}"
    title = Text(alert.severity.label, _SEVERITY_STYLES[alert.severity.label]).append("  ")
    title.append((DRILL if alert.is_drill else "") + clean(headline, TEXT_CHARACTERS_MAX), "bold")
    return title.append(f"  ({alert.state})")


def _facts(known: Known) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _told(known):
        table.add_row(_plain(name), _plain(text))
    return table


def _told(known: Known) -> Iterator[tuple[str, str]]:
    """Give the facts in the order in which a person who has just woken up asks for them."""
    alert = known.alert
    if alert.summary:
        yield "what", alert.summary
    yield "value", _value(alert)
    if sort := sort_of(alert.statistic, alert.key.field):
        yield "drift", f"{sort}: {SORTS[sort]}"
    if alert.change:
        yield "change", f"{alert.change}: {CHANGES[alert.change]}" if alert.change in CHANGES else alert.change
    yield "evidence", _evidence(alert)
    if alert.samples > 1:
        yield "rests on", f"{alert.samples:,} samples in a window of {span_text(alert.window_s)}"
    yield from _times(known)
    if alert.together > 1:
        first = "the strongest" if alert.rank == 1 else "look at number 1 first"
        yield "together", f"number {alert.rank} of {alert.together} that began together: {first}"
    if alert.reference:
        yield "reference", f"{alert.reference} (judged against it; see it with: driftd baseline show references/)"
    if alert.lineage.text:
        yield "made from", alert.lineage.text
    if alert.config_version:
        yield "judged by", f"configuration {alert.config_version} (driftd_config_info tells which is in force)"
    yield from alert.details.items()
    yield "owner", alert.owner or "nobody is named: set alerts.owner"
    if alert.response:
        yield "response", alert.response
    yield "runbook", alert.runbook or "none is named: set alerts.runbook"
    yield "named", f"dedup_key {alert.dedup_key}, incident {alert.incident}"


def _value(alert: Alert) -> str:
    low, high = map(_number, alert.interval)
    interval = "" if low == high else f", the true value lying in {low} to {high} (about 95 %)"  # some are known
    return (
        f"{alert.statistic} {_number(alert.value)}{interval};"
        f" the threshold, where {alert.band.label} begins, is {_number(alert.threshold)}"
    )


def _evidence(alert: Alert) -> str:
    if alert.statistic in RIVER:
        return f"none: river's {alert.statistic} says that something has changed, without odds, so no budget is kept"
    if alert.statistic == ANOMALY:
        return "none beyond the score, which says how odd the minute was by the series' own past; no budget is kept"
    if alert.statistic == "silence" and alert.evidence >= FACT_NATS:
        return "none is needed: how long nothing came is known, not estimated"
    told = f"{_number(alert.evidence)} nats, {_number(alert.evidence_needed)} were needed: "
    if is_of_odds(alert):
        quiet = "without a change" if alert.statistic == DRIFT else "with the true value within the threshold"
        return (
            f"{told}{quiet}, evidence this strong comes once in {_every(alert.evidence)} on average"
            f" (the budget asks for once in {_every(alert.evidence_needed)})"
        )
    if is_of_look(alert):
        return (
            f"{told}with the true value at the threshold, so extreme a one is seen at most once in"
            f" {_odds(alert.evidence)} looks (the budget asks for once in {_odds(alert.evidence_needed)})"
        )
    return f"{told}{_odds(alert.evidence - alert.evidence_needed)} times as rare by chance as the budget asks for"


def is_of_odds(alert: Alert) -> bool:
    """Tell whether the evidence is the logarithm of odds in seconds, whose exp is the time between false alarms.

    It is for drift, and for a rate or a quantile: of the first limit being passed, also where the alert is red.
    """
    return alert.statistic == DRIFT or _has_odds(alert.statistic)


def is_of_look(alert: Alert) -> bool:
    """Tell whether exp(-evidence) bounds the chance of one look: where only windows judge."""
    return alert.statistic in {BURN, *DETECTORS} and not _has_odds(alert.statistic)


def _has_odds(statistic: str) -> bool:
    return isinstance(DETECTORS.get(statistic), Countable)


def _times(known: Known) -> Iterator[tuple[str, str]]:
    alert = known.alert
    yield "began", f"{_utc(alert.since_s)} (estimate)"
    if alert.firing_s is None:
        yield "pending", f"since {_utc(alert.pending_s)}: it has not lasted long enough to fire"
    else:
        yield "decided", f"{_utc(alert.firing_s)}, {_span(alert.firing_s - alert.since_s)} after that"
    if known.deliveries:
        told = (
            f"{sink}: not accepted yet" if receipt is None else f"{sink} {receipt['delay_s']:.1f} s after the decision"
            for sink, receipt in known.deliveries.items()
        )
        yield "told", ", ".join(told)
    if alert.resolved_s is not None:
        begun_s = alert.pending_s if alert.firing_s is None else alert.firing_s
        yield "ended", f"{_utc(alert.resolved_s)}, after {_span(alert.resolved_s - begun_s)}"


# ---- the histograms


def _sides(histogram: Histogram, stream: str) -> Table:
    """Draw the shares of reference and now to one scale; the largest difference is marked."""
    table = Table(box=None, padding=(0, 1, 0, 1), header_style="dim")
    table.add_column(_plain(stream, LABEL_CHARACTERS_MAX), justify="right", no_wrap=True)
    table.add_column(f"reference ({histogram.reference_samples:,})", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column(f"now ({histogram.samples:,})", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    rows = list(zip(histogram.labels, histogram.reference, histogram.current, strict=True))
    scale = max((share for _, *shares in rows for share in shares), default=0.0) or 1.0
    largest = max((abs(now - before) for _, before, now in rows), default=0.0)
    for label, before, now in rows:
        is_largest = largest > 0 and abs(now - before) == largest
        table.add_row(
            _plain(label, LABEL_CHARACTERS_MAX),
            _bar(before / scale),
            f"{before:.1%}",
            Text(_bar(now / scale), "bold yellow" if is_largest else ""),
            f"{now:.1%}",
            f"{100 * (now - before):+.1f} points" if is_largest else "",
        )
    return table


def _bar(share: float) -> str:
    """Give a bar, to an eighth of a character; in plain ASCII where nothing else can be shown."""
    eighths = round(max(0.0, min(1.0, share)) * BAR * 8)
    if not (sys.stdout.encoding or "").lower().startswith("utf"):
        return ("#" * ((eighths + 4) // 8)).ljust(BAR)
    return ("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8]).rstrip().ljust(BAR)


# ---- words


def _every_s(nats: float) -> float:
    """Give the mean seconds between false alarms of a detector that fires at so much sequential evidence.

    Odds pass a limit in a step, so it is longer than the limit itself: the budget reckons with the same factor.
    """
    return math.exp(min(nats, NATS_MAX)) * OVERSHOOT


def _every(nats: float) -> str:
    """Give the same in words."""
    if math.isnan(nats):
        return "an unknown time"
    seconds = _every_s(nats)
    if seconds > YEARS_MAX * YEAR_S:
        return "more than 1,000 years"
    length_s, unit = next((each for each in _UNITS if seconds >= 2.0 * each[0]), (1.0, "seconds"))
    count = seconds / length_s
    return f"{count:.0f} {unit}" if count >= 10.0 else f"{count:.2g} {unit}"


def _chance(nats: float) -> float:
    """Give the greatest chance of one look to give so much evidence."""
    return math.exp(-min(max(nats, 0.0), NATS_MAX))


def _odds(nats: float) -> str:
    """Give exp(nats) in words."""
    if not math.isfinite(nats):
        return "an unknown number"
    if nats >= math.log(1e15):
        return f"10^{nats / math.log(10):.0f}"
    odds = math.exp(max(0.0, nats))
    few = f"{odds:,.0f}" if odds >= 10.0 else f"{odds:.2g}"
    return next((f"{odds / size:.3g} {name}" for size, name in _LARGE if odds >= size), few)


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "unknown"


def _span(seconds: float) -> str:
    return span_text(max(0.0, seconds)) if math.isfinite(seconds) else "an unknown time"


def _utc(time_s: float) -> str:
    if not math.isfinite(time_s):
        return "unknown"
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _plain(text: str, characters_max: int = TEXT_CHARACTERS_MAX) -> Text:
    """Give text from outside, bounded and without control characters; rich finds no markup in it."""
    return Text(clean(text, characters_max))
