"""`driftd baseline build | show | diff`: references out of whatever history there is."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import random
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog
from typer.testing import CliRunner, Result

from monitor.bins import VALUE_BINS
from monitor.cli import cli
from monitor.domain import Kind
from monitor.lineage import Lineage
from monitor.reference_files import read_reference, read_references

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from monitor.references import Reference, StreamReference

NOON_S: Final = 1_780_000_000.0
PER_S: Final = 10.0  # events: time costs more than events do


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty folder, and leave logging as it was."""
    monkeypatch.chdir(tmp_path)
    yield
    structlog.reset_defaults()


def baseline(*words: object) -> Result:
    return CliRunner().invoke(cli, ["baseline", *map(str, words)])


def build(tmp_path: Path, *words: object) -> Result:
    return baseline("build", "--output", tmp_path / "references", *words)


def good(result: Result) -> Result:
    assert 0 == result.exit_code, result.output
    return result


def events(count: int, model: str = "m", version: str = "1", shift: float = 0.0) -> Iterator[dict[str, Any]]:
    rng = random.Random(8)
    for n in range(count):
        features = {"x": rng.gauss(shift, 1.0), "colour": rng.choice(["red", "blue"])}
        head = {"event_time": NOON_S + n / PER_S, "model": model, "model_version": version}
        yield {**head, "features": features, "latency_s": rng.lognormvariate(0, 0.3), "unsafe": rng.random() < 0.1}


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def table(count: int) -> list[dict[str, Any]]:
    """Give rows without a model and without a time."""
    rng = random.Random(4)
    return [{"demand": rng.random(), "side": rng.choice("ab"), "is_peak": n % 2 == 0} for n in range(count)]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def stream(reference: Reference, name: str) -> StreamReference:
    return next(each for each in reference.streams if each.field == name)


class TestBuild:
    def test_one_file_per_model_and_version(self, tmp_path: Path) -> None:
        mixed = itertools.chain(events(600), events(500, version="2"), events(400, model="other"))
        path = write(tmp_path / "events.jsonl", mixed)

        told = json.loads(good(build(tmp_path, "--input", path, "--json")).stdout)

        found = read_references(tmp_path / "references")
        assert {("m", "1", 600), ("m", "2", 500), ("other", "1", 400)} == {
            (r.model, r.model_version, r.events) for r in found
        }
        assert {r.identity for r in found} == {each["reference"] for each in told["references"]}
        assert (1_500, {}) == (told["events"], told["rejected"])

    def test_gzip_gives_the_same_reference(self, tmp_path: Path) -> None:
        plain = write(tmp_path / "events.jsonl", events(500))
        packed = tmp_path / "events.jsonl.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))

        for name, path in (("a", plain), ("b", packed)):
            good(baseline("build", "--output", tmp_path / name, "--input", path))

        identities = {read_references(tmp_path / name)[0].identity for name in "ab"}
        assert 1 == len(identities)

    def test_history_cut_in_two_files_is_one_history(self, tmp_path: Path) -> None:
        rows = list(events(1_000))
        whole = write(tmp_path / "whole.jsonl", rows)
        first, second = write(tmp_path / "1.jsonl", rows[:300]), write(tmp_path / "2.jsonl", rows[300:])

        good(baseline("build", "--output", tmp_path / "a", "--input", whole))
        good(baseline("build", "--output", tmp_path / "b", "--input", first, "--input", second))

        (a,), (b,) = read_references(tmp_path / "a"), read_references(tmp_path / "b")
        assert (a.events, a.from_s, a.to_s, a.identity) == (b.events, b.from_s, b.to_s, b.identity)

    def test_feature_sorted_by_value_gets_a_grid_over_all_of_it(self, tmp_path: Path) -> None:
        rising = ({"event_time": NOON_S + n / PER_S, "model": "m", "features": {"x": float(n)}} for n in range(5_000))

        good(build(tmp_path, "--input", write(tmp_path / "events.jsonl", rising)))

        (reference,) = read_references(tmp_path / "references")
        found = stream(reference, "features.x")
        assert found.grid is not None
        assert 2_000 < found.grid.centre < 3_000
        assert found.counts[:VALUE_BINS].max() < 1_000  # not all in the last bin

    def test_csv_rows_are_spaced_evenly_and_columns_are_features(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "rows.csv", table(300))

        good(build(tmp_path, "--input", path, "--model", "market", "--model-version", "9", "--every", "30m"))

        (reference,) = read_references(tmp_path / "references")
        assert ("market", "9", 300) == (reference.model, reference.model_version, reference.events)
        assert 299 * 1800 <= reference.span_s <= 302 * 1800
        kinds = {each.field: each.kind for each in reference.streams}
        assert (Kind.NUMERIC, Kind.CATEGORICAL) == (kinds["features.demand"], kinds["features.side"])
        assert "features.is_peak" in kinds

    def test_csv_columns_named_as_fields_of_an_event_are_those(self, tmp_path: Path) -> None:
        named = [
            {**row, "event_time": NOON_S + n, "model": "mine", "latency_s": 0.2, "unsafe": "false", "prediction": "yes"}
            for n, row in enumerate(table(200))
        ]

        good(build(tmp_path, "--input", write_csv(tmp_path / "rows.csv", named)))

        (reference,) = read_references(tmp_path / "references")
        fields = {each.field for each in reference.streams}
        assert {"latency_s", "unsafe", "prediction", "features.demand"} <= fields
        assert not {"features.latency_s", "features.model", "features.event_time"} & fields

    def test_parquet_gives_what_the_same_rows_in_csv_give(self, tmp_path: Path) -> None:
        rows = table(500)
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
        write_csv(tmp_path / "rows.csv", rows)
        for name, path in (("a", "rows.parquet"), ("b", "rows.csv")):
            words = ("--input", tmp_path / path, "--model", "m", "--every", "1s")
            good(baseline("build", "--output", tmp_path / name, *words))

        assert read_references(tmp_path / "a")[0].identity == read_references(tmp_path / "b")[0].identity

    def test_lines_that_can_not_be_used_are_told_by_reason(self, tmp_path: Path) -> None:
        path = write(tmp_path / "events.jsonl", events(200))
        path.write_text(path.read_text() + "{\n[]\n{}\n")

        text = good(build(tmp_path, "--input", path)).stdout

        assert "200 events counted, rejected: " in text
        assert "1 not_json" in text

    def test_text_names_file_and_identity(self, tmp_path: Path) -> None:
        text = good(build(tmp_path, "--input", write(tmp_path / "events.jsonl", events(300)))).stdout

        (reference,) = read_references(tmp_path / "references")
        path = tmp_path / "references" / "m@1.reference.json"
        assert f"m 1: 300 events, {len(reference.streams)} streams, {reference.identity} -> {path}" in text


class TestRefusals:
    def test_nothing_countable_is_an_error_that_says_why(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        path.write_text("{}\nnot json\n")

        result = build(tmp_path, "--input", path)

        assert 1 == result.exit_code
        assert "file events.jsonl: no events to build a reference from (" in result.stderr
        assert "1 not_json" in result.stderr
        assert not (tmp_path / "references").exists()

    def test_empty_file_has_no_messages_at_all(self, tmp_path: Path) -> None:
        (tmp_path / "events.jsonl").touch()

        result = build(tmp_path, "--input", tmp_path / "events.jsonl")

        assert 1 == result.exit_code
        assert "no messages at all" in result.stderr

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            ((), 2, "give either --input, or --from"),
            (("--input", "rows.csv", "--from", "2026-01-01"), 2, "give either --input, or --from"),
            (("--input", "no-such.jsonl"), 1, "no-such.jsonl: can't be read: No such file"),
            (("--input", "no-such.csv", "--model", "m"), 1, "no-such.csv: can't be read: No such file"),
            (("--input", "no-such.parquet", "--model", "m"), 1, "no-such.parquet: "),
            (("--input", "rows.csv", "--every", "1s"), 1, "rows.csv: no column `model`; say which model these"),
            (("--input", "rows.csv", "--model", "m"), 1, "no column `event_time`; name the one with --time-column, or"),
            (("--input", "rows.csv", "--model", "m", "--every", "often"), 78, "--every: 'often' is not a duration"),
            (("--input", "rows.csv", "--model", "m", "--every", "0s"), 78, "--every: '0s' is not a duration"),
            (("--input", "header.csv", "--model", "m", "--every", "1s"), 1, "header.csv: no rows"),
            (("--input", "ragged.csv", "--model", "m", "--every", "1s"), 1, "ragged.csv: a row has more cells than"),
            (("--input", "broken.parquet", "--model", "m"), 1, "broken.parquet: not a Parquet file"),
            (("--from", "yesterday", "--config", "driftd.yaml"), 78, "--from: 'yesterday' is not a time such as"),
            (("--from", "2026-02-01", "--to", "2026-01-01", "--config", "driftd.yaml"), 78, "--from must be before"),
            (("--from", "2026-02-01"), 78, "kafka.topics: is missing"),
        ],
    )  # fmt: skip
    def test_mistake_is_named(self, tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
        write_csv(tmp_path / "rows.csv", table(10))
        (tmp_path / "header.csv").write_text("a,b\n")
        (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
        (tmp_path / "broken.parquet").write_text("PAR1")
        if "--config" in words:
            (tmp_path / "driftd.yaml").write_text("kafka: {topics: [a]}\n")

        result = build(tmp_path, *words)

        assert code == result.exit_code, result.output
        assert said in " ".join(result.stderr.replace("│", " ").split())


class TestShow:
    def test_reference_is_described_stream_by_stream(self, tmp_path: Path) -> None:
        good(build(tmp_path, "--input", write(tmp_path / "events.jsonl", events(1_000))))

        text = good(baseline("show", tmp_path / "references")).stdout

        assert "1,000 events from file events.jsonl, 2026-05-28T20:26:40Z to " in text
        assert "features.x" in text
        assert "red 5" in text or "red 4" in text
        assert "p95 " in text
        assert "of 1,000 checked" in text

    def test_json_lists_every_stream(self, tmp_path: Path) -> None:
        good(build(tmp_path, "--input", write(tmp_path / "events.jsonl", events(500))))
        path = tmp_path / "references" / "m@1.reference.json"

        (told,) = json.loads(good(baseline("show", path, "--json")).stdout)

        assert read_reference(path).identity == told["reference"]
        assert {"features.x", "features.colour", "latency_s", "unsafe"} <= {each["field"] for each in told["streams"]}

    def test_empty_folder_is_told(self, tmp_path: Path) -> None:
        result = baseline("show", tmp_path)

        assert 78 == result.exit_code
        assert "no references (*.reference.json) in this folder" in result.stderr


class TestDiff:
    def test_shifted_feature_comes_first(self, tmp_path: Path) -> None:
        """By one grid: history that holds both, built apart, has grids of its own, and is told in words."""
        for name, shift in (("a", 0.0), ("b", 1.0)):
            path = write(tmp_path / f"{name}.jsonl", events(1_000, shift=shift))
            good(baseline("build", "--output", tmp_path / name, "--input", path))
        paths = [tmp_path / name / "m@1.reference.json" for name in "ab"]

        told = json.loads(good(baseline("diff", *paths, "--json")).stdout)
        text = good(baseline("diff", *paths)).stdout

        rows = {each["field"]: each for each in told["streams"]}
        assert 0.0 == rows["features.colour"]["psi"]
        assert "centre" in rows["features.x"]["note"]
        assert text.startswith(" -> ".join(read_reference(path).identity for path in paths))

    def test_reference_is_the_same_as_itself(self, tmp_path: Path) -> None:
        good(build(tmp_path, "--input", write(tmp_path / "events.jsonl", events(500))))
        path = tmp_path / "references" / "m@1.reference.json"

        assert f"the same reference ({read_reference(path).identity})\n" == good(baseline("diff", path, path)).stdout

    def test_streams_and_categories_that_came_and_went_are_named(self, tmp_path: Path) -> None:
        before = events(600)
        after = ({**each, "features": {"colour": "green", "new": 1.0}, "score": 0.5} for each in events(600))
        for name, rows in (("a", before), ("b", after)):
            good(baseline("build", "--output", tmp_path / name, "--input", write(tmp_path / f"{name}.jsonl", rows)))

        told = json.loads(good(baseline("diff", *(tmp_path / n / "m@1.reference.json" for n in "ab"), "--json")).stdout)

        notes = {each["field"]: each["note"] for each in told["streams"]}
        assert "gone: blue, red; new: green" == notes["features.colour"]
        assert ("only in the first", "only in the second") == (notes["features.x"], notes["features.new"])

    def test_file_that_is_no_reference_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("{}")

        result = baseline("diff", tmp_path / "x", tmp_path / "x")

        assert 1 == result.exit_code
        assert f"driftd: {tmp_path / 'x'}: " in result.stderr


def test_segments_found_by_themselves_are_counted_from_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "driftd.yaml").write_text("models: [{match: '*', auto_segments: 5}]\n")
    rows = list(events(6_000))
    for n, each in enumerate(rows):
        each["segment"] = {"tier": "gold" if n % 4 == 0 else "silver", "user": f"u{n}"}

    good(build(tmp_path, "--input", write(tmp_path / "e.jsonl", rows), "--config", tmp_path / "driftd.yaml"))

    (reference,) = read_references(tmp_path / "references")
    volume = {stream.segment: int(stream.counts[0]) for stream in reference.streams if stream.field == "events"}
    assert {"": 6_000, "tier=gold": 1_500, "tier=silver": 4_500} == volume


def test_run_and_registry_version_are_told_by_hand(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", events(600))

    good(build(tmp_path, "--input", path, "--run-id", "9197a2", "--registry-version", "fraud/7"))

    (reference,) = read_references(tmp_path / "references")
    assert Lineage("file", "9197a2", "fraud/7") == reference.lineage
    shown = good(baseline("show", tmp_path / "references")).output
    assert "made from run 9197a2, version fraud/7" in shown


def test_columns_of_a_table_go_by_other_names(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", table(200))

    good(build(tmp_path, "--input", path, "--model", "m", "--every", "1s", "--rename", "demand=score"))

    (reference,) = read_references(tmp_path / "references")
    assert {"score", "features.side", "features.is_peak"} <= {stream.field for stream in reference.streams}


def test_json_table_is_read_like_csv(tmp_path: Path) -> None:
    """As pandas writes it with orient="split"."""
    rows = table(200)
    content = {"columns": list(rows[0]), "index": list(range(200)), "data": [list(row.values()) for row in rows]}
    (tmp_path / "t.json").write_text(json.dumps(content))

    good(build(tmp_path, "--input", tmp_path / "t.json", "--model", "m", "--every", "1s"))

    (reference,) = read_references(tmp_path / "references")
    assert 200 == reference.events


def test_damaged_json_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"columns": ["a"], "data": [[1], [1, 2]]}')

    result = build(tmp_path, "--input", tmp_path / "t.json", "--model", "m", "--every", "1s")

    assert 1 == result.exit_code
    assert "not a table of columns and data" in result.output
