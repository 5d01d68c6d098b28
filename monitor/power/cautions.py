"""What a power analysis finds wrong: rules that fire always, never, or too late; each with what would help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from monitor.bins import ARENA_OF, VALUE_SPANS
from monitor.domain import Kind
from monitor.power.estimates import Estimate
from monitor.power.lines import Line, values_per_s
from monitor.references import Reference
from monitor.rules import DRIFT
from monitor.sequential.seasons import HOUR_S, HOURS_FOR_DAY
from monitor.sequential.terms import DOUBT_MAX
from monitor.tables import span_text

DAY_S: Final = 86_400.0
SWINGS: Final = 2.0
"""Standard deviations of its own hourly swing within which a limit will be passed every day or two."""
INFLATION_LARGE: Final = 10.0
SHIFT_DIVERGENCE: Final = 0.125
"""Nats per value of a shift by half a standard deviation."""


def of_model(reference: Reference, events_per_s: float, lines: Sequence[Line], *, assumed: bool) -> Iterator[str]:
    """Give what is wrong with the reference itself."""
    constant = sorted({line.name for line in lines if line.rule.statistic == DRIFT and _is_constant(line)})
    if constant:
        yield (
            f"{_named(constant)} never changed in the reference: any other value is told as new, a shift has no size;"
            " learn from more history, or ignore such features"
        )
    if not assumed and 0.0 < reference.span_s < DAY_S and events_per_s > 0.0:
        yield (
            f"the reference covers {duration(reference.span_s)}: what differs by hour is change to it, and may page"
            f" beyond the budget; build it from a day or more, and from {HOURS_FOR_DAY // 24} days on hours are learned"
        )


def cautions_of(lines: Sequence[Line], typical_s: float, slowest: Estimate, events: int) -> Iterator[str]:
    """Give what is wrong with a rule: its lines, the delay of the typical one, and the slowest."""
    rule = lines[0].rule
    always = [line for line in lines if _is_passed(line)]
    if always:
        yield (
            f"{rule.name} fires at once and stays: {_named([line.name for line in always])} has"
            f" {rule.statistic} {always[0].own:.4g} in the reference itself, beyond {always[0].limit:.4g}; widen the"
            " limit, or learn the reference from good traffic"
        )
        return
    near = [line for line in lines if line.hits + SWINGS * line.swing > line.hits_limit]
    if near:
        yield (
            f"{rule.name} will fire often: an hour of {_named([line.name for line in near])} differs by itself by"
            f" {near[0].swing:.2g} (one sd, in shares), and the limit is {near[0].hits_limit - near[0].hits:.2g} away;"
            " widen the limit"
        )
    if slowest.delay_s > DAY_S:
        yield f"{rule.name}: {_late(slowest, typical_s)}; {_help(_line_of(lines, slowest), events)}"


def _late(slowest: Estimate, typical_s: float) -> str:
    """Say that a change is found late, or never, and on which streams."""
    whose = slowest.stream if np.isinf(typical_s) == np.isinf(slowest.delay_s) else f"{slowest.stream} (not typical)"
    if not np.isinf(slowest.delay_s):
        return f"{slowest.change} of {whose} takes {duration(slowest.delay_s)} to tell"
    if slowest.smallest is None:
        return f"{slowest.change} of {whose} is never told, nor anything greater in time"
    return f"{slowest.change} of {whose} is never told; the least that is: {slowest.smallest_words}"


def _help(line: Line, events: int) -> str:
    """Say what would make a line speak sooner."""
    rule, per_s = line.rule, values_per_s(line)
    is_window = np.isnan(line.hits) and rule.statistic not in (DRIFT, "silence")
    if is_window and per_s * max(rule.windows_s) < rule.samples_min:
        return (
            f"its longest window holds {per_s * max(rule.windows_s):.0f} values and samples_min is {rule.samples_min}:"
            " longer windows, or more traffic"
        )
    if not np.isnan(line.hits) and per_s * max(DAY_S, *rule.windows_s) < rule.samples_min:
        return f"fewer than samples_min ({rule.samples_min}) values come in a day: lower it, or more traffic"
    if rule.statistic == DRIFT and line.stream.kind is not Kind.CATEGORICAL:
        wanted = line.inflation * line.nats / SHIFT_DIVERGENCE / DOUBT_MAX
        if float(line.stream.counts.sum()) < wanted:
            return f"a reference of {_rounded(wanted * events / max(1.0, float(line.stream.counts.sum())))} events"
    if line.inflation > INFLATION_LARGE:
        return (
            f"it varies {line.inflation:.0f} times as much as independent values: a longer reference (weeks), or a"
            " wider limit"
        )
    if is_window:
        return "longer windows, more traffic, or a closer limit"
    return "more traffic, or a closer limit" if rule.statistic != DRIFT else "more traffic"


def _line_of(lines: Sequence[Line], estimate: Estimate) -> Line:
    return next(line for line in lines if line.name == estimate.stream)


def _is_passed(line: Line) -> bool:
    """Tell whether the reference itself is beyond the limit."""
    if not np.isnan(line.hits_limit):
        return line.hits >= line.hits_limit
    sign = 1.0 if line.rule.is_above else -1.0
    return bool(sign * (line.own - line.limit) > 0.0)


def _is_constant(line: Line) -> bool:
    counts = line.stream.counts[: VALUE_SPANS[ARENA_OF[line.stream.kind]]]
    return int((counts > 0).sum()) == 1


def _named(names: Sequence[str]) -> str:
    """Name the first of some streams, and how many more there are."""
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"


def _rounded(events: float) -> str:
    return f"{round(events, 1 - len(str(int(events)))):,.0f}"


def duration(seconds: float) -> str:
    """Give a duration as people say it, to two digits: 45s, 4.8m, 12m, 5.5h, 3d; never for infinity."""
    if np.isinf(seconds):
        return "never"
    for unit, size in (("d", DAY_S), ("h", HOUR_S), ("m", 60.0)):
        if seconds >= size:
            number = seconds / size
            return f"{number:.2g}{unit}" if number < 99.5 else f"{number:,.0f}{unit}"
    return span_text(max(1.0, round(seconds)))
