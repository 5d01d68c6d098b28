"""Rows of runs into the figures of the bar, and into lines for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.detection.limits import optimal_delay
from benchmarks.detection.registry import OURS
from benchmarks.detection.runs import Part, Row

RATIOS = {"D3": "delay_ratio_mean_shift", "D4": "delay_ratio_rates", "D5": "delay_ratio_shape"}
COLUMNS, CELL = 10, 9
"""Of the tables of all candidates: cases side by side, and characters at least for each."""


def figures(rows: Sequence[Row], ours: str = OURS) -> dict[str, float | int | None]:
    """Give the figures of D1 to D8 for one candidate; None where nothing was measured."""
    own = [row for row in rows if row["candidate"] == ours]
    judged = [row for row in own if row["is_judged"]]
    budget = [row for row in judged if row["part"] == Part.BUDGET]
    interval = [row for row in judged if row["part"] == Part.INTERVAL]
    delays = {name: [row for row in judged if row.get("row") == name] for name in (*RATIOS, "D7", "D8")}
    seconds = [number(row, "mean") / number(row, "per_s") for row in delays["D7"]]
    return {
        "fa_per_stream_day": _worst(number(row, "per_day") for row in budget),
        "fa_per_stream_day_upper": _worst(number(row, "per_day_upper") for row in budget),
        "arl_ratio_min": min(map(interval_ratio, interval), default=None),
        "arl_ratio_max": _worst(map(interval_ratio, interval)),
        **{figure: _worst(number(row, "ratio") for row in delays[name]) for name, figure in RATIOS.items()},
        "missed": _worst(number(row, "missed") for name in RATIOS for row in delays[name]),
        "unsafe_seconds": _worst(seconds),
        "latency_events": _worst(number(row, "mean") for row in delays["D8"]),
    }


def lines(rows: Sequence[Row], ours: str = OURS) -> dict[str, str]:
    """Give a line for each run of ours."""
    realised = {row["case"]: row for row in rows if row["part"] == Part.INTERVAL and row["candidate"] == ours}
    return {
        f"{row['part']} | {row.get('row') or '-'} | {row['case']}": (
            _delay(row, realised.get(row["quiet"])) if row["part"] == Part.DELAY else _quiet(row)
        )
        for row in rows
        if row["candidate"] == ours
    }


def tables(rows: Sequence[Row]) -> str:
    """Give two tables of all candidates: false alarms, and delays."""
    quiet = [row for row in rows if row["part"] == Part.INTERVAL]
    delay = [row for row in rows if row["part"] == Part.DELAY]
    return "\n".join(
        (
            *_table(
                "False alarms per stream-day; ours with one asked for in 30,000 events (10,000 with --quick)",
                quiet,
                _short_quiet,
            ),
            *_table("Delay / D*, and the share missed within 5 D*", delay, _short_delay),
        )
    )


def _table(title: str, rows: Sequence[Row], told: Callable[[Row], str]) -> Iterator[str]:
    cases = list(dict.fromkeys(str(row["case"]) for row in rows))
    names = list(dict.fromkeys(str(row["candidate"]) for row in rows))
    found = {(str(row["candidate"]), str(row["case"])): told(row) for row in rows}
    first = max(map(len, names), default=0)
    yield title + "\n"
    for start in range(0, len(cases), COLUMNS):
        shown = cases[start : start + COLUMNS]
        widths = [max(len(case), CELL) for case in shown]
        yield " ".join([" " * first, *map(str.rjust, shown, widths)])
        for name in names:
            yield " ".join(
                [name.ljust(first), *(found.get((name, c), "-").rjust(w) for c, w in zip(shown, widths, strict=True))]
            )
        yield ""


def number(row: Row, name: str) -> float:
    """Give a number of a row."""
    value = row[name]
    assert isinstance(value, (int, float)), f"{name} of {row['case']} is {value!r}"
    return float(value)


def interval_ratio(row: Row) -> float:
    """Give realised over configured interval; without any alarm the least that it can be."""
    return number(row, "ratio" if row["ratio"] is not None else "ratio_low")


def _worst(values: Iterable[float]) -> float | None:
    return max(values, default=None)


def _short_quiet(row: Row) -> str:
    return f"{number(row, 'per_day'):.3g}" if row["alarms"] else f"<{number(row, 'per_day_upper'):.2g}"


def _short_delay(row: Row) -> str:
    missed = number(row, "missed")
    # While a change still grows D* means nothing.
    told = f"{number(row, 'mean'):,.0f} ev" if row["complete_after"] else f"{number(row, 'ratio'):.2f}"
    return told + (f" {missed:.0%}" if missed else "")


def _quiet(row: Row) -> str:
    high = f"{number(row, 'ratio_high'):.2f}" if row["ratio"] is not None else "any"
    return (
        f"{row['alarms']} alarms in {number(row, 'events'):.2g} events; "
        f"per stream-day {number(row, 'per_day'):.3g}, at most {number(row, 'per_day_upper'):.3g}; "
        f"interval / configured {interval_ratio(row):.2f} ({number(row, 'ratio_low'):.2f} to {high})"
    )


def _delay(row: Row, realised: Row | None) -> str:
    at_realised = ""
    if realised is not None:
        limit = optimal_delay(number(row, "arl0") * interval_ratio(realised), number(row, "kl"))
        at_realised = f", {number(row, 'mean') / limit:.2f} at the realised interval"
    return (
        f"{number(row, 'mean'):.0f} +- {number(row, 'mean_error'):.0f} events, D* {number(row, 'limit'):.0f}, "
        f"ratio {number(row, 'ratio'):.2f} +- {number(row, 'mean_error') / number(row, 'limit'):.2f}{at_realised}; "
        f"missed {number(row, 'missed'):.1%}, at most {number(row, 'missed_upper'):.1%}; {row['streams']} streams"
    )
