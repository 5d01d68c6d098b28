"""Places of others' making, as the real packages wrote them (samples/README.md), and damaged in every way."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
import structlog
from typer.testing import CliRunner, Result

from monitor.cli import cli
from monitor.domain import Kind
from monitor.errors import BaselineError
from monitor.foreign import FORMATS, format_of
from monitor.foreign.base import Profile, Tables, Wishes
from monitor.lineage import Lineage
from monitor.reference_files import read_references
from monitor.shapes import Bars, Names, Ranks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monitor.references import Reference

SAMPLES: Final = Path(__file__).parent / "samples"
STORE: Final = SAMPLES / "mlruns"
RUN_ID: Final = "9197a2255aa1486987ff90919d9f540d"
(RUN,) = STORE.glob(f"*/{RUN_ID}")
(MODEL,) = STORE.glob("*/models/m-*/artifacts")
(WANDB_RUN,) = (SAMPLES / "wandb").iterdir()


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    structlog.reset_defaults()


def imported(*words: object) -> Result:
    return CliRunner().invoke(cli, ["baseline", "import", *map(str, words), "--output", "references"])


def good(*words: object) -> Reference:
    result = imported(*words)
    assert 0 == result.exit_code, result.output
    (reference,) = read_references(Path("references"))
    return reference


def refused(*words: object) -> str:
    result = imported(*words)
    assert result.exit_code in (1, 78), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return " ".join(result.output.split())


def rows(name: str) -> list[dict[str, str]]:
    with (SAMPLES / name).open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("mlflow", RUN),
        ("mlflow", RUN / "artifacts"),
        ("mlflow", MODEL),
        ("wandb", WANDB_RUN),
        ("whylogs", SAMPLES / "whylogs.bin"),
        ("whylogs", SAMPLES / "whylogs.csv"),
        ("evidently", SAMPLES / "evidently.json"),
        ("evidently", SAMPLES / "evidently-0.7.json"),
    ],
)
def test_what_a_place_is_is_told_by_itself(name: str, path: Path) -> None:
    assert FORMATS[name] is format_of(path)


# ---- MLflow


def test_run_tells_model_version_and_itself() -> None:
    found = FORMATS["mlflow"].read(RUN, Wishes(table="scored"))

    assert isinstance(found, Tables)
    assert ("fraud", "1") == (found.model, found.version)
    assert Lineage("mlflow", RUN_ID, "fraud/1") == found.lineage
    assert ["scored.json"] == [path.name for path in found.paths]


def test_artefacts_alone_tell_the_run_by_the_model(tmp_path: Path) -> None:
    """A mounted artefact store holds no meta.yaml of the run: that is in the server's database."""
    shutil.copytree(MODEL, tmp_path / "store" / "model")
    shutil.copy(RUN / "artifacts" / "scored.json", tmp_path / "store")

    found = FORMATS["mlflow"].read(tmp_path / "store", Wishes())

    assert isinstance(found, Tables)
    assert Lineage("mlflow", RUN_ID) == found.lineage
    assert [tmp_path / "store" / "scored.json"] == list(found.paths)


def test_downloaded_model_tells_its_version(tmp_path: Path) -> None:
    """MLflow writes registered_model_meta beside a model that it downloads from a registry."""
    shutil.copytree(MODEL, tmp_path / "model")
    (tmp_path / "model" / "registered_model_meta").write_text("model_name: fraud\nmodel_version: '12'\n")

    assert Lineage("mlflow", RUN_ID, "fraud/12") == FORMATS["mlflow"].read(tmp_path / "model", Wishes()).lineage


@pytest.mark.parametrize("table", ["scored.json", "train.parquet"])
def test_reference_of_a_run_is_that_of_its_table(table: str) -> None:
    reference = good(RUN, "--table", table)

    assert ("fraud", "1", 60) == (reference.model, reference.model_version, reference.events)
    assert Lineage("mlflow", RUN_ID, "fraud/1") == reference.lineage
    assert ["features.amount", "features.country", "prediction"] == [stream.field for stream in reference.streams]
    assert 0.0 == reference.span_s  # the rows have no time, and none is made up


def test_several_tables_are_a_question() -> None:
    assert "several tables; choose with --table: data/train.parquet, scored.json" in refused(RUN)
    assert "no table named 'eval'" in refused(RUN, "--table", "eval")


def test_model_alone_gives_its_input_example_and_no_more_than_that() -> None:
    reference = good(MODEL)

    assert 3 == reference.events
    assert ["features.country"] == [stream.field for stream in reference.streams]  # three numbers place no grid


# ---- W&B


def test_run_of_wandb_tells_itself() -> None:
    reference = good(WANDB_RUN, "--model", "fraud", "--model-version", "7", "--registry-version", "fraud:v7")

    assert Lineage("wandb", WANDB_RUN.name.rpartition("-")[2], "fraud:v7") == reference.lineage
    assert ("fraud", "7", 40) == (reference.model, reference.model_version, reference.events)
    assert ["features.amount", "features.country", "score"] == [stream.field for stream in reference.streams]


@pytest.mark.parametrize(
    ("folder", "run_id", "version"),
    [("scored:v3", "", "scored:v3"), ("scored-v3", "", "scored:v3"), ("run-79kg35jo-scored:v0", "79kg35jo", None)],
)
def test_artefact_tells_its_version(tmp_path: Path, folder: str, run_id: str, version: str | None) -> None:
    """https://docs.wandb.ai, Artifacts: `download()` puts NAME:vN below artifacts/, NAME-vN where : is not allowed."""
    (table,) = WANDB_RUN.rglob("*.table.json")
    (tmp_path / folder).mkdir()
    shutil.copy(table, tmp_path / folder / "scored.table.json")

    found = FORMATS["wandb"].read(tmp_path / folder, Wishes())

    assert Lineage("wandb", run_id, version or folder) == found.lineage


# ---- whylogs


def test_binary_profile_holds_what_was_logged() -> None:
    found = FORMATS["whylogs"].read(SAMPLES / "whylogs.bin", Wishes())
    logged = rows("whylogs-rows.csv")

    assert isinstance(found, Profile)
    assert 400 == found.rows
    amount, country, unsafe = (found.columns[name] for name in ("amount", "country", "unsafe"))
    assert isinstance(amount, Ranks)
    assert isinstance(country, Names)
    assert isinstance(unsafe, Names)
    values = np.sort([float(row["amount"]) for row in logged if row["amount"]])
    assert (390, 10) == (amount.samples, amount.nulls)
    assert np.abs(np.searchsorted(values, amount.values) / 390 - amount.shares).max() < 0.01
    counted = {name: sum(row["country"] == name for row in logged) for name in ("DE", "FR", "it's")}
    assert counted == dict(country.counts)
    assert {"true": sum(row["unsafe"] == "True" for row in logged)}.items() <= dict(unsafe.counts).items()


def test_summary_holds_the_same_as_far_as_it_goes() -> None:
    whole = FORMATS["whylogs"].read(SAMPLES / "whylogs.bin", Wishes())
    short = FORMATS["whylogs"].read(SAMPLES / "whylogs.csv", Wishes())

    assert isinstance(whole, Profile)
    assert isinstance(short, Profile)
    assert whole.columns["country"] == short.columns["country"]
    assert whole.columns["unsafe"] == short.columns["unsafe"]
    amount = short.columns["amount"]
    assert isinstance(amount, Ranks)
    assert (11, 390, 10) == (len(amount.values), amount.samples, amount.nulls)


def test_reference_of_a_profile_says_that_it_is_approximate() -> None:
    result = imported(SAMPLES / "whylogs.csv", "--model", "fraud")
    assert "2 columns of numbers are approximate" in result.output
    assert "volume is not judged" in result.output

    shown = CliRunner().invoke(cli, ["baseline", "show", "references"]).output
    assert "(approximate:" in shown


# ---- Evidently


def test_report_becomes_counts_exactly() -> None:
    found = FORMATS["evidently"].read(SAMPLES / "evidently.json", Wishes())
    compared = rows("evidently-rows.csv")

    assert isinstance(found, Profile)
    amount, country = found.columns["amount"], found.columns["country"]
    assert isinstance(amount, Bars)
    assert isinstance(country, Names)
    values = [float(row["amount"]) for row in compared if row["amount"]]
    assert np.histogram(values, bins=10)[0].tolist() == amount.counts.tolist()
    assert 5 == amount.nulls
    assert {name: sum(row["country"] == name for row in compared) for name in ("DE", "FR", "IT")} == country.counts


def test_current_data_are_taken_where_asked_for() -> None:
    sides = [FORMATS["evidently"].read(SAMPLES / "evidently.json", Wishes(is_current=side)) for side in (True, False)]

    assert all(isinstance(side, Profile) for side in sides)
    assert "current data" in sides[0].described
    assert "reference data" in sides[1].described


def test_shares_without_rows_are_a_question() -> None:
    report = json.loads((SAMPLES / "evidently.json").read_text())
    report["metrics"] = [each for each in report["metrics"] if each["metric"] != "DatasetMissingValuesMetric"]
    Path("report.json").write_text(json.dumps(report))

    assert "say it with --rows" in refused("report.json", "--model", "m")
    assert 1_000 == good("report.json", "--model", "m", "--rows", "1000").events


def test_newer_report_without_histograms_says_what_to_do() -> None:
    assert "scores alone; save one by" in refused(SAMPLES / "evidently-0.7.json", "--model", "m")


# ---- any


def test_columns_go_by_other_names() -> None:
    reference = good(SAMPLES / "whylogs.bin", "--model", "m", "--rename", "amount=latency_s", "--rename", "age=score")

    kinds = {stream.field: stream.kind for stream in reference.streams}
    assert (Kind.LOG, Kind.NUMERIC) == (kinds["latency_s"], kinds["score"])


def test_ignored_columns_are_left_out() -> None:
    Path("driftd.yaml").write_text("models: [{match: '*', features: {age: ignore, country: numeric}}]\n")

    result = imported(SAMPLES / "whylogs.bin", "--model", "m")

    assert "left out, since ignored, empty or of another kind than configured: age, country" in " ".join(
        result.output.split()
    )


def test_table_with_times_teaches_traffic(tmp_path: Path) -> None:
    (tmp_path / "t:v1").mkdir()
    data: list[list[Any]] = [[1_780_000_000 + n, n % 7 + 0.5] for n in range(300)]
    (tmp_path / "t:v1" / "t.table.json").write_text(json.dumps({"columns": ["event_time", "x"], "data": data}))

    reference = good(tmp_path / "t:v1", "--model", "m")

    assert 299.0 <= reference.span_s <= 301.0
    assert "events" in {stream.field for stream in reference.streams}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "there is no such file or folder"),
        (["nowhere", "--format", "mlflow"], "there is no such file or folder"),
        ([SAMPLES / "README.md"], "neither a run or model of MLflow"),
        ([SAMPLES / "whylogs-rows.csv", "--format", "whylogs"], "a damaged whylogs profile"),
        ([SAMPLES / "README.md", "--format", "evidently"], "not JSON"),
        ([SAMPLES / "wandb", "--format", "mlflow"], "neither a run of MLflow"),
        ([SAMPLES / "whylogs.bin"], "say it with --model"),
        ([SAMPLES / "whylogs.bin", "--model", "m", "--rename", "age"], "is not COLUMN=FIELD"),
        (
            [SAMPLES / "whylogs.bin", "--model", "m", "--format", "avro"],
            "none of auto, mlflow, wandb, whylogs, evidently",
        ),
        (
            [SAMPLES / "whylogs.bin", "--model", "m", "--rename", "country=latency_s"],
            "give it another name with --rename",
        ),
    ],
)
def test_wrong_places_get_a_clear_answer(words: list[object], told: str) -> None:
    assert told in refused(*words)


@pytest.mark.parametrize("name", ["whylogs.bin", "evidently.json"])
def test_file_cut_short_anywhere_is_refused(name: str) -> None:
    data = (SAMPLES / name).read_bytes()
    kind = FORMATS[name.partition(".")[0]]
    for size in range(5, len(data) - 1, max(1, len(data) // 20)):
        Path(name).write_bytes(data[:size])
        with pytest.raises(BaselineError, match=name):
            kind.read(Path(name), Wishes())


@pytest.mark.parametrize("name", ["whylogs.bin", "whylogs.csv", "evidently.json"])
def test_changed_bytes_are_read_or_refused_and_nothing_else(name: str) -> None:
    rng = np.random.default_rng(5)
    data = (SAMPLES / name).read_bytes()
    for _ in range(25):
        changed = bytearray(data)
        for at in rng.integers(0, len(data), 3).tolist():
            changed[at] = int(rng.integers(256))
        Path(name).write_bytes(changed)
        result = imported(name, "--model", "m", "--format", name.partition(".")[0])
        assert result.exit_code in (0, 1), result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception


@pytest.mark.parametrize("name", ["meta.yaml", "artifacts/scored.json"])
def test_damaged_run_is_refused_with_the_file(tmp_path: Path, name: str) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    (tmp_path / "run" / name).write_text('{"columns": [1, ')

    assert name.rpartition("/")[2] in refused(tmp_path / "run", "--table", "scored")
