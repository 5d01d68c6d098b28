"""Draw delay against false alarms, ours and peers', from the results of a run.

python -m benchmarks.detection.plot results.json docs/detection.svg
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from benchmarks.detection.registry import OURS
from benchmarks.detection.runs import Part, Row
from benchmarks.detection.summary import number

PANELS = (("N(0,1)", "mean +0.5 sd"), ("rate .01", "rate 0.01 to 0.05"))
"""Quiet family and scenario of each panel."""
NOTE = "Up: mean delay / D*; dashed is 1, the limit. Hollow: no false alarm was seen; drawn at the 95 % upper bound."
KEY_WIDTH, KEY_HEIGHT = 17.0, 11.0
PER_DAY = (-2.0, 5.0)
"""Decades of the x axis."""
RATIO_MAX = 10.0
"""Of the y axis: what a miss is charged with."""
LEFT, TOP, WIDTH, HEIGHT, GAP = 60.0, 84.0, 380.0, 330.0, 60.0
LEGEND_Y, LEGEND_STEP, LEGEND_COLUMNS = TOP + HEIGHT + 66.0, 19.0, 4
TOTAL_WIDTH = LEFT + 2.0 * WIDTH + GAP + 24.0
STYLE = """
    text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 12px; fill: #1f2933; }
    .ground { fill: #ffffff; stroke: #cbd2d9; }
    .title { font-size: 15px; font-weight: 600; }
    .middle { text-anchor: middle; }
    .end { text-anchor: end; }
    .grid { stroke: #e4e7eb; }
    .limit { stroke: #52606d; stroke-width: 1.5; stroke-dasharray: 6 5; }
    .ours { fill: #2563eb; stroke: #2563eb; }
    .peer { fill: #b45309; stroke: #b45309; }
    .none { fill-opacity: 0; stroke-width: 1.5; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e4e7eb; }
      .ground { fill: #161b22; stroke: #3e4c59; }
      .grid { stroke: #2a323c; }
      .limit { stroke: #9aa5b1; }
      .ours { fill: #60a5fa; stroke: #60a5fa; }
      .peer { fill: #fbbf24; stroke: #fbbf24; }
    }
"""


@dataclass(frozen=True, slots=True)
class Point:
    """One candidate in one panel."""

    name: str
    per_day: float
    """False alarms per stream-day; if there were none, what they are at most with 95 % certainty."""
    ratio: float
    """Mean delay over D*."""
    is_bound: bool


def points(rows: Sequence[Row], quiet: str, scenario: str) -> list[Point]:
    """Give the candidates that were measured on both, ours first.

    Ours is asked for another interval where false alarms are counted than where delays are; its rate goes with it.
    """
    delays = {row["candidate"]: row for row in rows if row["part"] == Part.DELAY and row["case"] == scenario}
    found = []
    for row in rows:
        delay = delays.get(row["candidate"])
        if row["part"] == Part.INTERVAL and row["case"] == quiet and delay is not None:
            scale = number(row, "arl0") / number(delay, "arl0")
            per_day = number(row, "per_day" if row["alarms"] else "per_day_upper") * scale
            found.append(Point(str(row["candidate"]), per_day, number(delay, "ratio"), not row["alarms"]))
    return sorted(found, key=lambda point: point.name != OURS)


def drawing(rows: Sequence[Row]) -> str:
    """Give the picture."""
    panels = [points(rows, *panel) for panel in PANELS]
    names = list(dict.fromkeys(point.name for panel in panels for point in panel))
    height = LEGEND_Y + LEGEND_STEP * math.ceil(len(names) / LEGEND_COLUMNS) + 10.0
    size = f"{TOTAL_WIDTH:.0f} {height:.0f}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" aria-labelledby="title text">',
        '  <title id="title">Detection delay against false alarms, driftd and peers</title>',
        f'  <desc id="text">{escape(_told(panels))}</desc>',
        f"  <style>{STYLE}  </style>",
        f'  <rect class="ground" x="0.5" y="0.5" width="{TOTAL_WIDTH - 1:.0f}" height="{height - 1:.0f}" rx="12"/>',
        f'  <text class="title" x="{LEFT}" y="32">How soon, and how often in vain: best is bottom left</text>',
        f'  <text x="{LEFT}" y="52">{NOTE}</text>',
    ]
    for i, (panel, (quiet, scenario)) in enumerate(zip(panels, PANELS, strict=True)):
        left = LEFT + i * (WIDTH + GAP)
        lines += _axes(left, f"{scenario}; false alarms on {quiet}")
        lines += _marks(left, panel, names)
    lines += _legend(names)
    return "\n".join([*lines, "</svg>", ""])


def _told(panels: Iterable[Sequence[Point]]) -> str:
    best = [next((p for p in panel if p.name == OURS), None) for panel in panels]
    return " ".join(
        f"{scenario}: driftd {point.ratio:.2f} times the least delay at {point.per_day:.2g} false alarms a stream-day."
        for (_, scenario), point in zip(PANELS, best, strict=True)
        if point is not None
    )


def _x(left: float, per_day: float) -> float:
    low, high = PER_DAY
    decades = math.log10(max(per_day, 1e-9))
    return left + WIDTH * (min(max(decades, low), high) - low) / (high - low)


def _y(ratio: float) -> float:
    return TOP + HEIGHT * (1.0 - min(ratio, RATIO_MAX) / RATIO_MAX)


def _axes(left: float, title: str) -> Iterator[str]:
    bottom, right = TOP + HEIGHT, left + WIDTH
    yield f'  <text x="{left}" y="{TOP - 10}">{escape(title)}</text>'
    for decade in range(int(PER_DAY[0]), int(PER_DAY[1]) + 1):
        x = _x(left, 10.0**decade)
        yield f'  <path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>'
        yield f'  <text class="middle" x="{x:.1f}" y="{bottom + 17}">{10.0**decade:g}</text>'
    for ratio in range(0, int(RATIO_MAX) + 1, 2):
        yield f'  <path class="grid" d="M{left} {_y(ratio):.1f}H{right}"/>'
        yield f'  <text class="end" x="{left - 7}" y="{_y(ratio) + 4:.1f}">{ratio}</text>'
    yield f'  <path class="limit" d="M{left} {_y(1.0):.1f}H{right}"/>'
    middle = left + WIDTH / 2
    yield f'  <text class="middle" x="{middle}" y="{bottom + 36}">false alarms per stream-day at 1 event/s</text>'


def _marks(left: float, panel: Sequence[Point], names: Sequence[str]) -> Iterator[str]:
    taken: list[tuple[float, float]] = []
    for point in panel:
        kind = "ours" if point.name == OURS else "peer"
        hollow = " none" if point.is_bound else ""
        x, y = _x(left, point.per_day), _y(point.ratio)
        key_x, key_y = x + 7.0, y + 4.0
        # A key that would cover another goes to its right, as if in a list.
        while any(abs(key_x - other_x) < KEY_WIDTH and abs(key_y - other_y) < KEY_HEIGHT for other_x, other_y in taken):
            key_x += KEY_WIDTH
        taken.append((key_x, key_y))
        yield (
            f"  <g><title>{escape(point.name)}: {point.per_day:.3g} a day, {point.ratio:.2f} D*</title>"
            f'<circle class="{kind}{hollow}" cx="{x:.1f}" cy="{y:.1f}" r="{6 if kind == "ours" else 4}"/>'
            f'<text x="{key_x:.1f}" y="{key_y:.1f}">{names.index(point.name) + 1}</text></g>'
        )


def _legend(names: Sequence[str]) -> Iterator[str]:
    per_column = math.ceil(len(names) / LEGEND_COLUMNS)
    width = (TOTAL_WIDTH - 2.0 * LEFT + 40.0) / LEGEND_COLUMNS
    for i, name in enumerate(names):
        column, line = divmod(i, max(per_column, 1))
        x, y = LEFT + column * width, LEGEND_Y + LEGEND_STEP * line
        yield f'  <text x="{x:.0f}" y="{y:.0f}">{i + 1}  {escape(name)}</text>'


def main() -> None:
    """Read results, write the picture."""
    results, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.write_text(drawing(json.loads(results.read_text(encoding="utf-8"))["rows"]), encoding="utf-8")


if __name__ == "__main__":
    main()
