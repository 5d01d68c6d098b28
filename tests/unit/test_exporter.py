from __future__ import annotations

import gzip
import math
import subprocess
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitor.domain import StreamKey, TopicPartition
from monitor.exporter import (
    LABEL_CHARACTERS_MAX,
    SERIES_AT_ONCE,
    Clocks,
    Exporter,
    ExporterTerms,
    Renderer,
    SnapshotCollector,
    label_text,
    render,
)
from monitor.metrics import FAMILIES, PAGE_FAMILIES, Family
from tests.deploy.programs import program
from tests.unit.snapshots import KEYS, many, partition_of, picture, snapshot, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.domain import FloatArray, Snapshot

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
HOSTILE: Final[Sequence[str]] = (
    *('"', "\\", "\n", '\\"', "\\n", "\\\\", 'a"b\\c\nd', "\r", "\t", "\x00", "\x1b[31m", "}", "{", "=", ",", "#", ""),
    *("# HELP x y", "\u2028", "\u202e", "\ud800", "é", "日本", "🙂", "x" * 5000, '"' * 300, "\u3000", " ", " a "),
)


def _parsed(page: bytes) -> Series:
    out: Series = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            identity = (sample.name, frozenset(sample.labels.items()))
            assert identity not in out
            out[identity] = sample.value
    return out


def _by_library(source: Snapshot) -> bytes:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: source))
    return generate_latest(registry)


def _assert_same(expected: Series, actual: Series) -> None:
    assert expected.keys() == actual.keys()
    for identity, value in expected.items():
        assert value == actual[identity] or (math.isnan(value) and math.isnan(actual[identity]))


def _named(*names: str) -> Snapshot:
    """Give a snapshot in which one label of many metrics has these values."""
    whole = snapshot()
    keys = tuple(StreamKey("m", "1", f"features.{name}", name) for name in names)
    tables = (table_of("psi", [float(i) for i in range(len(names))]),)
    return replace(
        whole,
        picture=replace(whole.picture, keys=keys, tables=tables, received=dict.fromkeys(names, 1)),
        partitions=[replace(partition_of(), source=TopicPartition(name, 0)) for name in dict.fromkeys(names)],
    )


# ---- the text


def test_text_says_what_the_client_library_says() -> None:
    source = snapshot()

    names = {family.series(labels)[0] for family in FAMILIES for labels, _ in family.read(source)}
    assert names == {name for name, _ in _parsed(render(source))}
    _assert_same(_parsed(_by_library(source)), _parsed(render(source)))


def test_head_of_each_metric_is_as_the_client_library_writes_it() -> None:
    def heads(page: bytes) -> list[bytes]:
        return [line for line in page.splitlines() if line.startswith(b"#")]

    assert heads(_by_library(snapshot())) == heads(render(snapshot()))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_label_values_say_what_the_client_library_says(name: str) -> None:
    source = _named(name)

    _assert_same(_parsed(_by_library(source)), _parsed(render(source)))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(), max_size=300), max_size=4, unique=True))
def test_any_label_values_say_what_the_client_library_says(names: list[str]) -> None:
    source = _named(*names)

    _assert_same(_parsed(_by_library(source)), _parsed(render(source)))


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\\n", 'x"', "日本", "}", "a,b=c"])
def test_printable_label_values_come_back_unchanged(name: str) -> None:
    found = {dict(labels)["segment"] for name_, labels in _parsed(render(_named(name))) if name_ == "driftd_stream_psi"}

    assert {name} == found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=len(KEYS)))
def test_numbers_come_back_as_the_very_same(values: list[float]) -> None:
    source = replace(snapshot(), picture=replace(picture(), tables=(table_of("psi", values),)))
    found = [value for (name, _), value in _parsed(render(source)).items() if name == "driftd_stream_psi"]

    assert sorted(values) == sorted(found)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, 2**63, 0, -0.0])
def test_odd_numbers_are_written_as_prometheus_reads_them(value: float) -> None:
    family: Family[float] = Family("driftd_x", "gauge", "Help.", (), lambda source: [((), source), ((), 1e308)])
    body = b"".join(Renderer(Clocks()).render([family], value, 10).pieces).decode()
    text = body.splitlines()[2].removeprefix("driftd_x ")

    assert text in {"NaN", "+Inf", "-Inf"} or float(text) == value
    assert math.isfinite(value) == (text not in {"NaN", "+Inf", "-Inf"})


def test_numpy_numbers_are_written_too() -> None:
    """A float64 is a float to the type checker, and so it may come."""
    family: Family[FloatArray] = Family(
        "driftd_x", "gauge", "Help.", (), lambda source: [((), each) for each in source]
    )
    body = b"".join(Renderer(Clocks()).render([family], table_of("psi", [0.5, 0.25]).values, 10).pieces)

    assert b"\ndriftd_x 0.5\ndriftd_x 0.25\n" in body


def test_metrics_without_series_are_left_out() -> None:
    page = render(replace(snapshot(), sinks=(), partitions=()))

    assert b"driftd_sink" not in page
    assert b"driftd_consumer_lag" not in page


# ---- labels


@given(st.text(st.characters(), max_size=600))
def test_label_text_is_bounded_and_harmless(value: str) -> None:
    text = label_text(value)

    assert len(text) <= LABEL_CHARACTERS_MAX
    assert not {unicodedata.category(each) for each in text if each != "\n"} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert text == label_text(text)


@given(st.lists(st.text(st.sampled_from("a\x00\x01\ud800\ufffd"), max_size=300), unique=True))
def test_label_texts_of_different_values_differ(values: list[str]) -> None:
    assert len(values) == len(set(map(label_text, values)))


# ---- what is remembered


def test_pages_are_the_same_whether_labels_are_new_or_known() -> None:
    renderer, source = Renderer(Clocks()), many(3_000)
    first = b"".join(renderer.render(FAMILIES, source, 10_000).pieces)

    assert first == b"".join(renderer.render(FAMILIES, source, 10_000).pieces)
    assert first == render(source)


def test_series_of_a_revoked_partition_are_gone_on_the_next_page() -> None:
    renderer, source = Renderer(Clocks()), snapshot()
    assert b'partition="1"' in b"".join(renderer.render(FAMILIES, source, 10_000).pieces)

    source = replace(source, partitions=source.partitions[:1])
    assert b'partition="1"' not in b"".join(renderer.render(FAMILIES, source, 10_000).pieces)


def test_memory_is_bounded_while_series_come_and_go() -> None:
    renderer = Renderer(Clocks())
    for turn in range(20):
        renderer.render(FAMILIES, _named(*(f"{turn}-{i}" for i in range(200))), 100_000)

    held = max(map(len, renderer._befores.values()))
    # Rejections have 14 series per topic, so up to 2 * 14 * 200 of theirs may be held.
    assert held <= 2 * 14 * 200 + SERIES_AT_ONCE


# ---- bounds


@pytest.mark.parametrize("series_max", [0, 1, 50, SERIES_AT_ONCE, SERIES_AT_ONCE + 1, 2_000])
def test_series_beyond_the_budget_are_left_out_and_counted(series_max: int) -> None:
    source = many(3_000)
    everything = len(_parsed(render(source)))
    text = Renderer(Clocks()).render(FAMILIES, source, series_max)

    assert series_max == text.series == len(_parsed(b"".join(text.pieces)))
    assert everything - series_max == text.dropped


def test_what_driftd_knows_about_itself_is_the_last_to_be_left_out() -> None:
    names = {name for name, _ in _parsed(render(many(3_000), series_max=200))}

    assert {"driftd_ready", "driftd_events_received_total", "driftd_alert_firing", "driftd_sink_healthy"} <= names


# ---- pages


class _Time:
    """Clocks under the test's control; sleeping takes no time."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.now_s = 1_000.0
        self.step_s = step_s
        self.sleeps: list[float] = []

    def clocks(self) -> Clocks:
        return Clocks(wall=lambda: 5.0, steady=self._steady, sleep=self.sleeps.append)

    def _steady(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def test_a_page_is_made_anew_only_when_it_is_too_old() -> None:
    now, published = _Time(), [snapshot()]
    exporter = Exporter(lambda: published[0], ExporterTerms(render_s_min=1.0), now.clocks())
    first = exporter.page()
    published[0] = replace(published[0], batches=78)
    now.now_s += 0.9
    assert first is exporter.page()
    now.now_s += 0.2

    assert 78 == _parsed(exporter.page())["driftd_batches_total", frozenset()]


def test_a_compressed_page_is_the_page() -> None:
    exporter = Exporter(snapshot, ExporterTerms(render_s_min=100.0))

    assert exporter.page() == gzip.decompress(exporter.page("gzip"))


def test_a_page_tells_about_itself_and_the_process() -> None:
    now = _Time(step_s=0.001)
    source = replace(many(3_000), picture=replace(many(3_000).picture, series_dropped=11))
    exporter = Exporter(lambda: source, ExporterTerms(label_series_max=1_000, render_s_min=0.0), now.clocks())
    exporter.page()
    found = {name: value for (name, labels), value in _parsed(exporter.page()).items() if not labels}

    assert 1_000 == found["driftd_series"]
    assert len(_parsed(render(source))) - 1_000 + 11 == found["driftd_series_dropped"]
    assert 1 == found["driftd_renders_total"]
    assert 5.0 == found["driftd_render_timestamp_seconds"]
    assert 0 < found["driftd_render_seconds"]
    assert 0 < found["process_resident_memory_bytes"]


def test_before_the_first_snapshot_there_is_a_page() -> None:
    found = {name for name, _ in _parsed(Exporter(lambda: None, ExporterTerms()).page())}

    assert {family.name for family in PAGE_FAMILIES} <= found
    assert b"" == _by_nothing()


def _by_nothing() -> bytes:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: None))
    return generate_latest(registry)


def test_a_long_render_lets_other_threads_go_on() -> None:
    """The clock says that every look at it takes a millisecond, so that each turn of the work is over after two."""
    now = _Time(step_s=0.001)
    Renderer(now.clocks()).render(FAMILIES, many(5_000), 10_000)

    assert len(now.sleeps) >= 5_000 // SERIES_AT_ONCE / 2
    assert max(now.sleeps) <= 0.001


def test_promtool_has_no_complaint() -> None:
    promtool = program("promtool")
    for source in (snapshot(), _named(*HOSTILE)):
        page = Exporter(lambda source=source: source, ExporterTerms()).page()  # type: ignore[misc] # the default binds it
        done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False, timeout=30)

        assert (0, b"") == (done.returncode, done.stdout + done.stderr)
