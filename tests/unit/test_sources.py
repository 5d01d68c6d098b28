"""Files as sources: JSON lines side by side in order of time, and rows of tables as events."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitor.domain import TopicPartition
from monitor.errors import SourceError
from monitor.sources.files import FileSource
from monitor.sources.tabular import RowTerms, batched, read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def write(path: Path, times: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps({"event_time": time, "from": path.name}) + "\n" for time in times))
    return path


def read(*paths: Path, batch_records_max: int = 2) -> list[dict[str, Any]]:
    """Read files to their end; give all lines in the order they came."""
    source = FileSource(paths, batch_records_max=batch_records_max)
    with contextlib.closing(source):
        source.open()
        return [json.loads(value) for value in values_of(source)]


def values_of(source: FileSource) -> list[bytes]:
    """Poll to the end."""
    out: list[bytes] = []
    is_last = False
    while not is_last:
        batch = source.poll()
        assert len(batch.values) == len(batch.partitions)
        out += filter(None, batch.values)
        is_last = batch.is_last
    return out


class TestFiles:
    def test_one_file_is_read_in_its_order(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", [3, 1, 2, 5, 4])

        assert [3, 1, 2, 5, 4] == [each["event_time"] for each in read(path)]

    def test_file_that_is_furthest_behind_is_read_next(self, tmp_path: Path) -> None:
        fast, slow = write(tmp_path / "fast", range(10, 20)), write(tmp_path / "slow", range(0, 100, 10))

        got = read(fast, slow)

        behind = [abs(a["event_time"] - b["event_time"]) for a, b in itertools.pairwise(got)]
        assert 20 == len(got)
        assert max(behind) < 25
        assert "slow" == got[-1]["from"]

    @pytest.mark.parametrize(
        "times", [["2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"], [1.5, 2.5], [1, "2026-01-01"], [None, [], {}]]
    )
    def test_any_time_or_none_is_taken(self, tmp_path: Path, times: list[object]) -> None:
        paths = [write(tmp_path / "a", times), write(tmp_path / "b", times)]

        assert 2 * len(times) == len(read(*paths, batch_records_max=1))

    def test_gzip_is_told_by_its_content_and_not_by_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "events").write_bytes(gzip.compress(b'{"event_time": 1}\n'))

        assert [{"event_time": 1}] == read(tmp_path / "events")

    def test_blank_lines_and_a_missing_last_line_break_are_no_matter(self, tmp_path: Path) -> None:
        (tmp_path / "events").write_bytes(b'\n{"event_time": 1}\r\n\r\n{"event_time": 2}')

        assert [1, 2] == [each["event_time"] for each in read(tmp_path / "events")]

    def test_partitions_leave_as_files_end(self, tmp_path: Path) -> None:
        short, long = write(tmp_path / "short", [1]), write(tmp_path / "long", range(2, 9))
        source = FileSource([short, long], batch_records_max=3)
        source.open()
        before = source.assigned()
        source.poll()
        after = source.assigned()
        source.close()

        assert [TopicPartition(str(short), 0), TopicPartition(str(long), 0)] == before
        assert [TopicPartition(str(long), 0)] == after

    def test_progress_goes_from_nothing_to_all(self, tmp_path: Path) -> None:
        source = FileSource([write(tmp_path / "a", range(1_000))], batch_records_max=10_000)
        source.open()
        before = source.bytes_read
        source.poll()
        after, total = source.bytes_read, source.bytes_total
        source.close()

        assert 0 == before < after == total

    def test_overlong_line_is_cut_and_the_next_one_is_whole(self, tmp_path: Path) -> None:
        (tmp_path / "events").write_bytes(b"x" * 250 + b"\n" + b"{}\n")
        source = FileSource([tmp_path / "events"], line_bytes_max=100)
        source.open()
        values = source.poll().values
        source.close()

        assert max(len(value or b"") for value in values) <= 100
        assert b"{}\n" == values[-1]

    def test_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"no-such: can't be read: No such file"):
            FileSource([tmp_path / "no-such"]).open()

    @pytest.mark.parametrize("damage", ["cut", "flipped"])
    def test_damaged_gzip_is_told_with_the_last_good_line(self, tmp_path: Path, damage: str) -> None:
        packed = bytearray(gzip.compress(b"".join(b'{"event_time": %d}\n' % n for n in range(20_000))))
        if damage == "cut":
            del packed[-1_000:]
        else:
            packed[len(packed) // 2] ^= 0xFF
        (tmp_path / "events.gz").write_bytes(packed)

        source = FileSource([tmp_path / "events.gz"], batch_records_max=100)
        with contextlib.closing(source):
            source.open()

            with pytest.raises(SourceError, match=r"events\.gz: damaged after line \d+: "):
                values_of(source)


class TestRows:
    TERMS = RowTerms(model="m", every_s=1.0)

    def events(self, path: Path, terms: RowTerms = TERMS) -> list[dict[str, Any]]:
        return [json.loads(row) for row in read_rows(path, terms)]

    def csv(self, tmp_path: Path, text: str) -> Path:
        path = tmp_path / "rows.csv"
        path.write_text(text, encoding="utf-8")
        return path

    @pytest.mark.parametrize(
        ("cell", "value"),
        [
            ("1", 1.0), ("-2.5e3", -2500.0), ("", None), ("NA", None), ("null", None), ("true", True), ("FALSE", False),
            ("red", "red"), ("1,5", "1,5"), ("2026-01-01", "2026-01-01"), (" 3", 3.0),
        ],
    )  # fmt: skip
    def test_cells_are_what_they_look_like(self, tmp_path: Path, cell: str, value: object) -> None:
        (event,) = self.events(self.csv(tmp_path, f'x\n"{cell}"\n'))

        assert {"x": value} == event["features"]

    def test_rows_without_a_time_are_spaced(self, tmp_path: Path) -> None:
        events = self.events(self.csv(tmp_path, "x\n1\n2\n3\n"), RowTerms(model="m", version="v", every_s=60.0))

        assert [0.0, 60.0, 120.0] == [each["event_time"] - events[0]["event_time"] for each in events]
        assert {("m", "v")} == {(each["model"], each["model_version"]) for each in events}

    def test_time_column_may_have_any_name(self, tmp_path: Path) -> None:
        terms = RowTerms(model="m", time_column="when")
        (event,) = self.events(self.csv(tmp_path, "when,x\n2026-01-01T00:00:00Z,1\n"), terms)

        assert "2026-01-01T00:00:00Z" == event["event_time"]
        assert {"x": 1.0} == event["features"]

    def test_model_of_a_row_goes_before_that_of_the_command_line_and_stays_text(self, tmp_path: Path) -> None:
        (event,) = self.events(self.csv(tmp_path, "model,model_version,x\nmine,7,1\n"))

        assert "mine" == event["model"]
        assert event["model_version"] in ("7", "7.0")

    def test_byte_order_mark_is_no_part_of_the_first_name(self, tmp_path: Path) -> None:
        (event,) = self.events(self.csv(tmp_path, "\ufeffx\n1\n"))

        assert {"x": 1.0} == event["features"]

    def test_columns_called_features_and_segment_are_features(self, tmp_path: Path) -> None:
        (event,) = self.events(self.csv(tmp_path, "features,segment\n1,a\n"))

        assert {"features": 1.0, "segment": "a"} == event["features"]

    def test_parquet_types_become_what_json_can_hold(self, tmp_path: Path) -> None:
        row = {
            "event_time": datetime(2026, 1, 1, tzinfo=UTC),
            "day": date(2026, 1, 2),
            "n": 3,
            "x": 0.5,
            "ok": True,
            "none": None,
            "raw": b"\x01",
        }
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "rows.parquet")

        (event,) = self.events(tmp_path / "rows.parquet", RowTerms(model="m"))

        assert "2026-01-01T00:00:00+00:00" == event["event_time"]
        assert {"day": "2026-01-02", "n": 3, "x": 0.5, "ok": True, "none": None, "raw": "b'\\x01'"} == event["features"]

    @pytest.mark.parametrize(
        ("text", "terms", "said"),
        [
            ("x\n1\n", RowTerms(every_s=1.0), "no column `model`; say which model these rows are of with --model"),
            ("x,y\n1,2\n", RowTerms(model="m"), r"no column `event_time`; .*--every 30m \(columns: x, y\)"),
            ("x\n", TERMS, "no rows"),
            ("", TERMS, "no rows"),
            ("x\n1\n1,2\n", TERMS, "a row has more cells than the header has names"),
        ],
        ids=["model", "time", "header only", "empty", "ragged"],
    )
    def test_what_is_missing_is_named_with_the_cure(
        self, tmp_path: Path, text: str, terms: RowTerms, said: str
    ) -> None:
        with pytest.raises(SourceError, match=rf"rows\.csv: {said}"):
            self.events(self.csv(tmp_path, text), terms)

    def test_file_in_another_encoding_is_told_so(self, tmp_path: Path) -> None:
        (tmp_path / "rows.csv").write_bytes("x\nMünchen\n".encode("latin-1"))

        with pytest.raises(SourceError, match=r"rows\.csv: not a CSV file in UTF-8"):
            self.events(tmp_path / "rows.csv")

    def test_rows_are_batched(self) -> None:
        rows = iter([b"a", b"b", b"c"])

        assert [[b"a", b"b"], [b"c"]] == list(batched(rows, 2))
