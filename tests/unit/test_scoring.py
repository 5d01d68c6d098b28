"""`monitor.scoring`: CSV in, CSV out, and clear words about what can't be read."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import SourceError
from monitor.scoring import read_series, score_file

ROWS = 400


def lines(values: list[str] | None = None) -> list[str]:
    """Give rows of five minutes with a spike at row 300."""
    noise = np.random.default_rng(1).normal(size=ROWS)
    noise[300] = 40.0
    texts = [f"{value:.4f}" for value in noise] if values is None else values
    stamps = np.datetime64("2026-11-01T00:00:00") + np.timedelta64(300, "s") * np.arange(len(texts))
    return [f"{str(stamp).replace('T', ' ')},{text}" for stamp, text in zip(stamps, texts, strict=True)]


def written(folder: Path, *rows: str, header: str = "timestamp,value") -> Path:
    path = folder / "series.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_come_back_with_score_and_alarm(tmp_path: Path) -> None:
    given = lines()
    output = tmp_path / "scores.csv"

    summary = score_file(written(tmp_path, *given), output)

    found = read(output)
    assert ["timestamp", "value", "anomaly_score", "alarm"] == list(found[0])
    assert given == [f"{row['timestamp']},{row['value']}" for row in found]
    assert [300] == [number for number, row in enumerate(found) if row["alarm"] == "1"]
    assert all((float(row["anomaly_score"]) >= 0.5) == (row["alarm"] == "1") for row in found)
    assert all(0.0 <= float(row["anomaly_score"]) <= 1.0 for row in found)
    assert ["2026-11-02 01:00:00"] == list(summary.alarms)


def test_the_summary_speaks_to_people_and_programs(tmp_path: Path) -> None:
    given = lines()
    given[10] = given[10].split(",")[0] + ","
    given[20], given[21] = given[21], given[20]
    output = tmp_path / "scores.csv"

    summary = score_file(written(tmp_path, *given), output)

    assert summary.to_dict() == {
        "rows": 400,
        "empty": 1,
        "backwards": 1,
        "alarms": 1,
        "alarm_timestamps": ["2026-11-02 01:00:00"],
        "output": str(output),
    }
    assert summary.to_text().splitlines() == [
        f"400 rows scored -> {output}",
        "1 without a value: score 0",
        "1 not later than the row before: taken in the order of the file",
        "1 alarm(s):",
        "  2026-11-02 01:00:00",
    ]


@pytest.mark.parametrize("empty", ["", "NA", "null", "nan", "inf", " "])
def test_a_row_without_a_value_is_scored_zero(tmp_path: Path, empty: str) -> None:
    output = tmp_path / "scores.csv"

    score_file(written(tmp_path, *lines([*["1.0"] * 100, empty])), output)

    last = read(output)[-1]
    assert (empty, "0.000000", "0") == (last["value"], last["anomaly_score"], last["alarm"])


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-11-20 08:00:00",
        "2026-11-20 08:00:00.000000",
        "2026-11-20T08:00:00",
        "2026-11-20T08:00:00Z",
        "2026-11-20T10:00:00+02:00",
        "1795161600",
        "1795161600.0",
        "1795161600000",
    ],
)
def test_times_are_read(tmp_path: Path, timestamp: str) -> None:
    series = read_series(written(tmp_path, f"{timestamp},1"))

    assert [1_795_161_600.0] == series.times_s.tolist()


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    path.write_bytes(b'\xef\xbb\xbfhost, Value ,TIMESTAMP\r\na,2.5,0\r\n\r\n"b,c",3.5,60\r\n')

    series = read_series(path)

    assert [2.5, 3.5] == series.values.tolist()
    assert [0.0, 60.0] == series.times_s.tolist()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: no column `timestamp` (columns: none)"),
        (b"timestamp,value\n", "no rows"),
        (b"time,value\n1,2\n", "line 1: no column `timestamp` (columns: time, value)"),
        (b"timestamp,val\n1,2\n", "line 1: no column `value` (columns: timestamp, val)"),
        (b"timestamp,value\n1,2\n2,two\n", "line 3: value 'two' is not a number"),
        (b"timestamp,value\nyesterday,2\n", "line 2: timestamp 'yesterday' is neither ISO 8601"),
        (b"timestamp,value\nnan,2\n", "line 2: timestamp 'nan' is neither ISO 8601"),
        (b"timestamp,value\n,2\n", "line 2: timestamp '' is neither ISO 8601"),
        (b"timestamp,value\n1,2\n2\n", "line 3: 1 cell(s), too few for the header"),
        (b"timestamp,value\n1,\xff\n", "not a CSV file in UTF-8"),
    ],
)
def test_what_is_no_series_is_refused_with_its_place(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)

    with pytest.raises(SourceError) as caught:
        score_file(path, tmp_path / "scores.csv")

    assert str(caught.value).startswith(f"{path}: {said}")
    assert not (tmp_path / "scores.csv").exists()


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(SourceError, match="can't be read"):
            score_file(path, tmp_path / "scores.csv")


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="can't be written"):
        score_file(written(tmp_path, "1,2"), tmp_path / "none" / "scores.csv")


def test_a_file_may_be_scored_onto_itself(tmp_path: Path) -> None:
    path = written(tmp_path, *lines())

    score_file(path, path)

    assert len(read(path)) == ROWS
