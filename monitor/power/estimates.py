"""What a rule can do on streams that stand for all: delays of named changes, and the least that is found in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.power.lines import Line, values_per_s

LINES_MAX: Final = 40
"""Streams of a rule that are looked at, spread evenly from the quickest to the slowest: a few milliseconds each."""
STEPS: Final = 14
"""Halvings of the size of a change: to a few thousandths of the range."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a rule can do on one stream.

    values_per_s: that it rests on. change: a named one, in words; size, in `unit` (sd, times or share): the same for
    programs. delay_s: until that is told, infinity if it never is. smallest: the least size told within the named time,
    None if none is; smallest_words: the same for people.
    """

    stream: str
    values_per_s: float
    change: str
    size: float
    unit: str
    delay_s: float
    smallest: float | None
    smallest_words: str


@dataclass(frozen=True, slots=True)
class Power:
    """What a rule can do on its streams. pages: that its share of the budget allows in 30 days. nats: needed."""

    rule: str
    statistic: str
    streams: int
    pages: float
    nats: float
    typical: Estimate
    slowest: Estimate


def estimated(lines: Sequence[Line], pages: float, within_s: float) -> Power:
    """Give what one rule can do, by the streams that stand for all."""
    ordered = sorted(lines, key=lambda line: -values_per_s(line) / line.inflation)
    chosen = [ordered[at] for at in np.unique(np.linspace(0, len(ordered) - 1, LINES_MAX).astype(int)).tolist()]
    delays = [(_delay(line, _size(line)), at) for at, line in enumerate(chosen)]
    delays.sort()
    typical, slowest = delays[(len(delays) - 1) // 2], delays[-1]
    rule = lines[0].rule
    estimates = [_estimate(chosen[at], delay, within_s) for delay, at in (typical, slowest)]
    return Power(rule.name, rule.statistic, len(lines), pages, lines[0].nats, *estimates)


def _size(line: Line) -> float:
    assert line.change is not None
    return line.change.size


def _delay(line: Line, size: float) -> float:
    assert line.change is not None
    return line.delay_of(line.change.apply(size))


def _estimate(line: Line, delay_s: float, within_s: float) -> Estimate:
    change = line.change
    assert change is not None
    smallest = _smallest(line, within_s) if change.most != change.nothing else None
    words = "" if smallest is None else change.words(smallest)
    named = change.words(change.size)
    return Estimate(line.name, values_per_s(line), named, change.size, change.unit, delay_s, smallest, words)


def _smallest(line: Line, within_s: float) -> float | None:
    """Give the least size of its change that a line tells within some time; None if the greatest takes longer."""
    low, high = 0.0, 1.0
    if _delay(line, _sized(line, high)) > within_s:
        return None
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        is_told = _delay(line, _sized(line, middle)) <= within_s
        low, high = (low, middle) if is_told else (middle, high)
    return _sized(line, high)


def _sized(line: Line, part: float) -> float:
    """Give the size some part of the way from nothing to the greatest: factors by equal factors, the rest finely."""
    change = line.change
    assert change is not None
    if change.nothing > 0.0:
        return float(change.nothing * (change.most / change.nothing) ** part)
    return float(change.most * part**2)
