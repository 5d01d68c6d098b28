"""The picture of the story of late labels: quality before and after labels come, and which drift was told when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from benchmarks.labels import Span, Story
from monitor.drift_sorts import CONCEPT, OTHERS

LEFT, WIDTH, RIGHT = 150.0, 720.0, 24.0
TOTAL: Final = LEFT + WIDTH + RIGHT
QUALITY: Final = (96.0, 190.0, 0.4, 1.0)
"""Top, height, lowest and highest value of a panel."""
GAPS: Final = (340.0, 130.0, -0.5, 0.5)
LANES_TOP, LANE, BAR = 524.0, 22.0, 12.0
MONTHS: Final = (1, 7)
"""Months of the year that are named below."""
STYLE: Final = """
    text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 12px; fill: #1f2933; }
    .ground { fill: #ffffff; stroke: #cbd2d9; }
    .title { font-size: 15px; font-weight: 600; }
    .middle { text-anchor: middle; }
    .end { text-anchor: end; }
    .grid { stroke: #e4e7eb; }
    .zero { stroke: #52606d; stroke-dasharray: 6 5; }
    .line { fill: none; stroke-width: 2; }
    .known { stroke: #2563eb; }
    .guess { stroke: #b45309; }
    .known-band, .concept { fill: #2563eb; }
    .guess-band { fill: #b45309; }
    .known-band, .guess-band { fill-opacity: 0.18; }
    .other { fill: #7b8794; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e4e7eb; }
      .ground { fill: #161b22; stroke: #3e4c59; }
      .grid { stroke: #2a323c; }
      .zero { stroke: #9aa5b1; }
      .known { stroke: #60a5fa; }
      .guess { stroke: #fbbf24; }
      .known-band, .concept { fill: #60a5fa; }
      .guess-band { fill: #fbbf24; }
    }
"""
Panel = tuple[float, float, float, float]
Point = tuple[float, float, float, float]
"""Time, value, and the ends of its interval."""


def drawing(story: Story) -> str:
    """Give the picture."""
    lanes = _lanes(story.spans)
    height = LANES_TOP + LANE * len(lanes) + 40.0
    size = f"{TOTAL:.0f} {height:.0f}"

    def x(time_s: float) -> float:
        share = (min(max(time_s, story.from_s), story.to_s) - story.from_s) / (story.to_s - story.from_s)
        return LEFT + WIDTH * share

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" aria-labelledby="title text">',
        '  <title id="title">Quality before and after labels come, and the drift that was told</title>',
        f'  <desc id="text">{escape(_told(story))}</desc>',
        f"  <style>{STYLE}  </style>",
        f'  <rect class="ground" x="0.5" y="0.5" width="{TOTAL - 1:.0f}" height="{height - 1:.0f}" rx="12"/>',
        '  <text class="title" x="24" y="32">Electricity market: labels six hours late, a classifier of 1996</text>',
        '  <text x="24" y="52">Windows of four weeks, bands of 95 %.</text>',
    ]
    lines += _axes(x, story, height - 40.0)
    lines += _panel(
        QUALITY, "accuracy", (0.4, 0.6, 0.8, 1.0), ("realised", "promised by the scores before labels come")
    )
    lines += _curve(x, QUALITY, _points(story, "estimated_accuracy"), "guess")
    lines += _curve(x, QUALITY, _points(story, "accuracy"), "known")
    lines += _panel(GAPS, "", (-0.5, 0.0, 0.5), ("gap: realised less promised", "calibration error (ECE)"))
    lines += _curve(x, GAPS, _points(story, "ece"), "guess")
    lines += _curve(x, GAPS, _points(story, "estimation_gap"), "known")
    lines.append(
        f'  <text x="24" y="{LANES_TOP - 12:.0f}">Alerts, from when they fired until they were resolved</text>'
    )
    for number, (name, spans) in enumerate(lanes):
        lines += _lane(x, LANES_TOP + LANE * number, name, spans)
    return "\n".join([*lines, "</svg>", ""])


def _told(story: Story) -> str:
    gaps = _points(story, "estimation_gap")
    worst = min(gaps, key=lambda point: point[1])
    return (
        f"Realised accuracy lay {-worst[1]:.2f} below what the scores promised in the four weeks to"
        f" {datetime.fromtimestamp(worst[0], UTC):%d %B %Y}, the worst."
    )


def _points(story: Story, name: str) -> list[Point]:
    return [(at, *found[name][5:8]) for at, found in story.looks if name in found]


def _lanes(spans: Sequence[Span]) -> list[tuple[str, list[Span]]]:
    """Give alerts by rule where they are of concept drift, else by sort."""
    concept = list(dict.fromkeys(span.rule for span in spans if span.sort == CONCEPT))
    named = [(rule, [s for s in spans if s.sort == CONCEPT and s.rule == rule]) for rule in sorted(concept)]
    return named + [(sort, [span for span in spans if span.sort == sort]) for sort in reversed(OTHERS)]


def _y(panel: Panel, value: float) -> float:
    top, height, low, high = panel
    return top + height * (1.0 - (min(max(value, low), high) - low) / (high - low))


def _axes(x: Callable[[float], float], story: Story, bottom: float) -> Iterator[str]:
    first, last = (datetime.fromtimestamp(at, UTC).year for at in (story.from_s, story.to_s))
    for year in range(first, last + 1):
        for month in MONTHS:
            at = datetime(year, month, 1, tzinfo=UTC)
            if story.from_s < at.timestamp() < story.to_s:
                place = x(at.timestamp())
                yield f'  <path class="grid" d="M{place:.1f} {QUALITY[0]:.0f}V{bottom:.0f}"/>'
                yield f'  <text class="middle" x="{place:.1f}" y="{bottom + 20:.0f}">{at:%b %Y}</text>'


def _panel(panel: Panel, title: str, ticks: Sequence[float], keys: tuple[str, str]) -> Iterator[str]:
    for tick in ticks:
        y = _y(panel, tick)
        kind = "zero" if tick == 0.0 else "grid"
        yield f'  <path class="{kind}" d="M{LEFT} {y:.1f}H{LEFT + WIDTH}"/>'
        yield f'  <text class="end" x="{LEFT - 8}" y="{y + 4:.1f}">{tick:g}</text>'
    y = panel[0] - 14.0
    if title:
        yield f'  <text x="24" y="{y + 4:.0f}">{escape(title)}</text>'
    for kind, key, left in zip(("known", "guess"), keys, (LEFT, LEFT + 260.0), strict=True):
        yield f'  <path class="line {kind}" d="M{left} {y:.1f}h24"/>'
        yield f'  <text x="{left + 30:.0f}" y="{y + 4:.0f}">{escape(key)}</text>'


def _curve(x: Callable[[float], float], panel: Panel, points: Sequence[Point], kind: str) -> Iterator[str]:
    upper = [f"{x(at):.1f} {_y(panel, high):.1f}" for at, _, _, high in points]
    lower = [f"{x(at):.1f} {_y(panel, low):.1f}" for at, _, low, _ in reversed(points)]
    line = [f"{x(at):.1f} {_y(panel, value):.1f}" for at, value, _, _ in points]
    yield f'  <path class="{kind}-band" d="M{"L".join([*upper, *lower])}Z"/>'
    yield f'  <path class="line {kind}" d="M{"L".join(line)}"/>'


def _lane(x: Callable[[float], float], top: float, name: str, spans: Sequence[Span]) -> Iterator[str]:
    kind = "concept" if spans and spans[0].sort == CONCEPT else "other"
    yield f'  <text class="end" x="{LEFT - 8}" y="{top + BAR - 2:.0f}">{escape(name)}</text>'
    yield f'  <path class="grid" d="M{LEFT} {top + BAR / 2:.1f}H{LEFT + WIDTH}"/>'
    for left, right in _merged([(x(span.from_s), x(span.to_s)) for span in spans]):
        width = max(right - left, 1.5)
        yield f'  <rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{BAR:.0f}"/>'


def _merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Give stretches that do not overlap."""
    merged: list[tuple[float, float]] = []
    for left, right in sorted(spans):
        if merged and left <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], right))
        else:
            merged.append((left, right))
    return merged
