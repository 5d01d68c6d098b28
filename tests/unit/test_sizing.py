"""When to leave one process, and for how many: more load never takes fewer, and the text says what to do."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from monitor.cli import cli
from monitor.config import Settings
from monitor.sizing import BINS, COUNT_BYTES, EVENT_S, RUN_CORES, STREAM_S, Load, Sizing, sizing

SETTINGS = Settings.model_validate({"kafka": {"topics": ["t"]}, "scaleout": {"courts": 4}})
LOADS = st.lists(st.builds(Load, st.floats(0.01, 1e6), st.integers(1, 500)), min_size=1, max_size=20)


def of(loads: list[Load], partitions: int | None = 12) -> Sizing:
    found = sizing(SETTINGS, loads, partitions)
    assert found is not None
    return found


def test_little_traffic_stays_in_one_process() -> None:
    found = of([Load(1_000.0, 30)])

    assert not found.is_to_leave
    assert ["scale      1,000 events/s, 30 streams: about 0.0065 cores; one `driftd run` carries that (up to 0.6)"] == (
        found.to_lines()
    )


def test_too_much_traffic_names_folds_judges_and_what_travels() -> None:
    found = of([Load(300_000.0, 30)])

    assert found.is_to_leave
    assert found.run_cores == 300_000.0 * EVENT_S + 30 * STREAM_S > RUN_CORES
    assert (4, 1, 12) == (found.folds, found.judges, found.deltas_per_s)
    assert math.isclose(30 * 12 * BINS * COUNT_BYTES, found.bytes_per_s)
    assert "leave `driftd run`: 4 folds and 1 judge at least" in found.to_lines()[1]


def test_few_partitions_or_courts_are_in_the_way() -> None:
    found = of([Load(1e6, 30)], partitions=4)
    many = of([Load(20.0, 300)] * 2_000)

    assert [f"4 partitions of events are too few for {found.folds} folds: add some"] == list(found.notes)
    assert [f"scaleout.courts: 4 are too few for {many.judges} judges"] == list(many.notes)
    assert found.notes[0] in found.to_lines()[-1]


def test_nothing_known_is_nothing_said() -> None:
    assert sizing(SETTINGS, []) is None


@given(LOADS, st.floats(1.0, 10.0), st.integers(1, 200))
def test_more_load_never_takes_less(loads: list[Load], times: float, partitions: int) -> None:
    before = of(loads, partitions)
    after = of([Load(load.events_per_s * times, load.streams) for load in loads], partitions)

    assert after.run_cores >= before.run_cores
    assert after.is_to_leave >= before.is_to_leave
    assert (after.folds, after.judges) >= (before.folds, before.judges)
    assert after.bytes_per_s >= before.bytes_per_s


@given(LOADS)
def test_what_travels_has_a_bound_that_traffic_does_not_move(loads: list[Load]) -> None:
    hot = of([Load(load.events_per_s * 1e9, load.streams) for load in loads])

    assert hot.bytes_per_s <= sum(load.streams for load in loads) * 12 * BINS * COUNT_BYTES * (1 + 1e-9)


def test_check_says_it(tmp_path: Path) -> None:
    path = tmp_path / "driftd.yaml"
    path.write_text("kafka: {topics: [a]}\n", encoding="utf-8")

    unknown = CliRunner().invoke(cli, ["check", "--config", str(path)])
    known = CliRunner().invoke(cli, ["check", "--config", str(path), "--events-per-s", "250000"])

    assert "scale      unknown" in unknown.stdout
    assert "scale      250,000 events/s" in known.stdout
    assert "leave `driftd run`" in known.stdout
