"""Scoring: one recorded metric series through the detector of `monitor/series`, CSV to CSV. No clock; deterministic."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor.domain import BoolArray, FloatArray
from monitor.errors import SourceError
from monitor.progress import progress
from monitor.series import SeriesWatch
from monitor.sources.tabular import NULLS

COLUMNS: Final = ("timestamp", "value")
WRITTEN: Final = (*COLUMNS, "anomaly_score", "alarm")
MILLISECONDS_FROM: Final = 1e11
"""Numbers as large as this are milliseconds: as seconds they would lie beyond the year 5000."""
STEP: Final = 1_000
"""Rows between two moves of the progress bar."""
SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Series:
    """What was read. texts: timestamp and value as given, per row; values: NaN where there is none."""

    texts: Sequence[tuple[str, str]]
    times_s: FloatArray
    values: FloatArray


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """What scoring found. alarms: timestamps as given. backwards: rows that are not later than the one before."""

    rows: int
    empty: int
    backwards: int
    alarms: Sequence[str]
    output: Path

    def to_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        return {
            "rows": self.rows,
            "empty": self.empty,
            "backwards": self.backwards,
            "alarms": len(self.alarms),
            "alarm_timestamps": list(self.alarms),
            "output": str(self.output),
        }

    def to_text(self) -> str:
        """Give it for people."""
        lines = [f"{self.rows:,} rows scored -> {self.output}"]
        if self.empty:
            lines.append(f"{self.empty:,} without a value: score 0")
        if self.backwards:
            lines.append(f"{self.backwards:,} not later than the row before: taken in the order of the file")
        lines.append(f"{len(self.alarms)} alarm(s)" + (":" if self.alarms else ""))
        lines += [f"  {timestamp}" for timestamp in self.alarms[:SHOWN]]
        if len(self.alarms) > SHOWN:
            lines.append(f"  … and {len(self.alarms) - SHOWN} more: see the column `alarm`")
        return "\n".join(lines)


def score_file(input_path: Path, output_path: Path) -> ScoreSummary:
    """Score a CSV with the columns timestamp and value; write them with anomaly_score and alarm (0 or 1).

    A row is an alarm if and only if its score is at least 0.5. Raises SourceError, with the line, if the input can't be
    read or the output can't be written. Memory: the whole series, some 300 bytes per row.
    """
    series = read_series(input_path)
    scores, is_alarm = scored(series)
    _write(output_path, series, scores, is_alarm)
    return ScoreSummary(
        rows=len(series.texts),
        empty=int(np.isnan(series.values).sum()),
        backwards=int((np.diff(series.times_s) <= 0.0).sum()),
        alarms=[series.texts[at][0] for at in np.flatnonzero(is_alarm).tolist()],
        output=output_path,
    )


def scored(series: Series) -> tuple[FloatArray, BoolArray]:
    """Give the score of each row and whether it is an alarm, one row after the other."""
    watch, rows = SeriesWatch(1), len(series.texts)
    scores, is_alarm = np.zeros(rows), np.zeros(rows, dtype=np.bool_)
    with progress("scoring") as bar:
        for at in range(rows):
            scores[at : at + 1], is_alarm[at : at + 1] = watch.observe(
                series.times_s[at : at + 1], series.values[at : at + 1]
            )
            if at % STEP == 0:
                bar(at / rows, min(STEP, at))
    return scores, is_alarm


def read_series(path: Path) -> Series:
    """Read a series. Raises SourceError, with the line, for what is not one."""
    texts: list[tuple[str, str]] = []
    times_s: list[float] = []
    values: list[float] = []
    with _readable(path):
        file = path.open(newline="", encoding="utf-8-sig")
    with file, _readable(path):
        lines = csv.reader(file)
        at = _columns(path, next(lines, []))
        for cells in filter(None, lines):
            where = f"{path}: line {lines.line_num}"
            if len(cells) <= max(at):
                raise SourceError(f"{where}: {len(cells)} cell(s), too few for the header")
            timestamp, value = (cells[column] for column in at)
            times_s.append(_time_s(timestamp.strip(), where))
            values.append(_value(value.strip(), where))
            texts.append((timestamp, value))
    if not texts:
        raise SourceError(f"{path}: no rows")
    return Series(texts, np.array(times_s), np.array(values))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"{path}: can't be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: not a CSV file in UTF-8: {error}") from None


def _columns(path: Path, header: Sequence[str]) -> tuple[int, int]:
    """Give where timestamp and value stand."""
    names = [name.strip().lower() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        found = ", ".join(header[:20]) or "none"
        raise SourceError(f"{path}: line 1: no column `{missing[0]}` (columns: {found})")
    return names.index("timestamp"), names.index("value")


def _time_s(text: str, where: str) -> float:
    """Give epoch seconds; a time without a zone is UTC."""
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        if math.isfinite(number):
            return number / 1_000.0 if abs(number) >= MILLISECONDS_FROM else number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SourceError(
            f"{where}: timestamp {text[:40]!r} is neither ISO 8601 such as 2026-11-20 08:00:00 nor epoch seconds or"
            " milliseconds"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _value(text: str, where: str) -> float:
    """Give the number; NaN where there is none, or it is not finite."""
    if text in NULLS:
        return math.nan
    try:
        number = float(text)
    except ValueError:
        raise SourceError(f"{where}: value {text[:40]!r} is not a number") from None
    return number if math.isfinite(number) else math.nan


def _write(path: Path, series: Series, scores: FloatArray, is_alarm: BoolArray) -> None:
    # Rounded down: 0.4999999 must not be written as a score that would be an alarm.
    shown = np.floor(scores * 1e6) / 1e6
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(WRITTEN)
            rows = zip(series.texts, shown.tolist(), is_alarm.tolist(), strict=True)
            lines.writerows((*texts, f"{score:.6f}", int(alarm)) for texts, score, alarm in rows)
    except OSError as error:
        raise SourceError(f"{path}: can't be written: {error.strerror}") from error
