from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from monitor.domain import DRILL_MODEL, AlertState, Pages, Rejection, SinkStatus
from monitor.fields import FIELDS
from monitor.lineage import Lineage
from monitor.metrics import AMOUNTS, FAMILIES, FLAGS, PAGE_FAMILIES, STATISTICS, Family, markdown_table
from monitor.tables import SHOWN
from monitor.upkeep import CourtStatus, Delays, HalfStatus
from tests.unit.snapshots import KEYS, alert_of, model_of, partition_of, picture, snapshot, table_of

if TYPE_CHECKING:
    from typing import Any

    from monitor.domain import Snapshot

ALL: tuple[Family[Any], ...] = (*FAMILIES, *PAGE_FAMILIES)
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"

# What a name may end in, and what its help must then say, so that nobody has to guess a unit.
UNITS = {
    "_timestamp_seconds": "seconds since the epoch",
    "_seconds": "in seconds",
    "_seconds_total": "in seconds",
    "_usd": "US dollars",
    "_info": "Always 1",
    "_records": "Records",
    "_samples": "Values",
    "_bytes": "Bytes",
}
WITHOUT_UNIT = re.compile(
    r"_total$|_ready$|_healthy$|_panes$|_streams$|_partitions$|_models$|_alerts$|_alert_firing$|_series(_dropped)?$|_windows$|_inferences$|_outcomes$|_kpi(_low|_high)?$|_gate_(verdict|change|more_events|score)$|_held$|_claims$|_unclaimed$|_courts$|_successful$|_open$|_waiting$|_away$"
    r"|_(psi|psi_raw|psi_floor|js|ks|wasserstein|chi_square)$|_tokens_(mean|quantile)$|_stream_(mean|quantile)$|_score$|_burn$"
)

FOLD = HalfStatus("fold", claims=3, unclaimed=1, waiting_s=0.5, posts=32, sent_bytes=4_000)
JUDGE = HalfStatus(
    "judge", courts={0: CourtStatus(990.0, 4, 1), 7: CourtStatus(None, 0, 0)}, verdicts={"taken": 12, "old": 2}
)
OF_FOLD = {
    "driftd_fold_claims": 3,
    "driftd_fold_waiting_seconds": 0.5,
    "driftd_fold_posts_total": 32,
    "driftd_fold_sent_bytes_total": 4_000,
}


def _read(name: str, source: Snapshot) -> dict[tuple[str, ...], float]:
    (family,) = (family for family in FAMILIES if family.name == name)
    samples = list(family.read(source))
    assert len(dict(samples)) == len(samples)
    return dict(samples)


def test_no_two_metrics_share_a_name() -> None:
    assert [] == [name for name, count in Counter(family.name for family in ALL).items() if count > 1]


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_names_kinds_units_and_help_agree(family: Family[Any]) -> None:
    assert re.fullmatch(r"driftd(_[a-z0-9]+)+", family.name)
    assert (family.kind == "counter") == family.name.endswith("_total")
    assert re.fullmatch(r"[A-Z][^\n]{10,}\.", family.help)
    if family.name.endswith("_ratio"):
        assert any(text in family.help for text in ("0 to 1", "1 is as usual", "1 is all of it"))
    else:
        said = [text for suffix, text in UNITS.items() if family.name.endswith(suffix)]
        assert said or WITHOUT_UNIT.search(family.name)
        assert not said or said[0] in family.help


def test_only_summaries_have_quantiles() -> None:
    assert all(("quantile" in family.labels) == (family.kind == "summary") for family in ALL)


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_label_names_are_whole_words_and_not_reserved(family: Family[Any]) -> None:
    assert len(set(family.labels)) == len(family.labels)
    for label in family.labels:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", label)
        assert label not in {"le", "job", "instance"}  # Prometheus sets these itself


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_metric_is_read_with_all_its_labels(family: Family[Snapshot]) -> None:
    read = [list(family.read(of_half(half))) for half in (HalfStatus(), FOLD, JUDGE)]
    samples = max(read, key=len)

    assert samples
    assert {len(family.labels) + (family.kind == "histogram")} == {len(labels) for labels, _ in samples}
    assert len(samples) == len({labels for labels, _ in samples})
    for _, value in samples:
        assert type(value) in (int, float)


def test_received_is_counted_rejected_late_and_duplicate() -> None:
    source = snapshot()
    parts = ("counted", "rejected", "late", "duplicate")
    total = sum(sum(_read(f"driftd_events_{part}_total", source).values()) for part in parts)

    assert {("inferences",): total} == _read("driftd_events_received_total", source)


def test_counters_of_trouble_begin_at_zero() -> None:
    """The rate of a series can't see the step with which it appears."""
    quiet = replace(picture(), rejected={}, late={}, duplicate={}, clamped={})
    source = replace(snapshot(), picture=quiet)

    for name in ("late", "duplicate", "clamped"):
        assert {("inferences",): 0} == _read(f"driftd_events_{name}_total", source)
    expected = {("inferences", str(reason)): 0 for reason in Rejection}
    assert expected == _read("driftd_events_rejected_total", source)


def test_reference_tells_where_it_is_from() -> None:
    model = replace(model_of(), reference="abc", lineage=Lineage("mlflow", "9197a2255aa1", "fraud/7"))
    source = replace(snapshot(), picture=replace(picture(), models=(model,)))

    labels = ("ranker", "7", "abc", "mlflow", "9197a2255aa1", "fraud/7")
    assert {labels: 1.0} == _read("driftd_reference_info", source)


def test_what_is_unknown_has_no_sample() -> None:
    model = replace(model_of(), last_event_s=-math.inf, reference="")
    unknown = replace(picture(), watermark_s=None, models=(model,), tables=(table_of("psi", [math.nan, 0.5]),))
    source = replace(snapshot(), picture=unknown, partitions=(partition_of(None, None, 3.0),))

    for name in ("driftd_watermark_timestamp_seconds", "driftd_last_event_timestamp_seconds", "driftd_reference_info"):
        assert {} == _read(name, source)
    assert {} == _read("driftd_consumer_lag_records", source)
    assert {} == _read("driftd_consumer_lag_seconds", source)
    assert {("inferences", "0"): 3.0} == _read("driftd_consumer_stalled_seconds", source)
    assert {(*KEYS[1], "10m"): 0.5} == _read("driftd_stream_psi", source)


def test_every_statistic_that_tables_show_is_exported() -> None:
    shown = {name for names in SHOWN.values() for name in names}

    assert shown | {"samples", "psi_raw", "psi_floor"} <= STATISTICS


def test_fields_with_metrics_of_their_own_exist() -> None:
    assert FIELDS.keys() >= FLAGS | AMOUNTS


@pytest.mark.parametrize("statistic", sorted(STATISTICS - {"volume"}))
def test_each_value_of_a_statistic_is_exported_once(statistic: str) -> None:
    """Whatever the field: what has no metric of its own goes to driftd_stream_*."""
    values = [0.5 + i for i in range(len(KEYS))]
    source = replace(snapshot(), picture=replace(picture(), tables=(table_of(statistic, values),)))
    found = [
        value
        for f in FAMILIES
        if {"window", "segment"} <= set(f.labels) and not {"rule", "kpi"} & set(f.labels)
        for labels, value in f.read(source)
    ]

    assert values == sorted(found)


def test_known_fields_go_to_metrics_that_name_their_unit() -> None:
    source = snapshot()

    assert {
        ("ranker", "7", segment, "10m", q) for segment in ("", "region=eu") for q in ("0.5", "0.95", "0.99")
    } == set(_read("driftd_latency_quantile_seconds", source))
    assert {("ranker", "7", way, segment, "10m") for way in ("in", "out") for segment in ("", "region=eu")} == set(
        _read("driftd_tokens_mean", source)
    )
    assert ("ranker", "7", "", "10m") in _read("driftd_unsafe_ratio", source)
    assert {"overridden"} <= {labels[2] for labels in _read("driftd_stream_yes_ratio", source)}
    assert not FLAGS & {labels[2] for labels in _read("driftd_stream_yes_ratio", source)}


def test_alerts_are_counted_by_state_and_only_firing_ones_are_named() -> None:
    alerts = (alert_of(), alert_of(key=KEYS[10]), alert_of(AlertState.PENDING))
    source = replace(snapshot(), picture=replace(picture(), alerts=alerts))

    expected = {("ranker", "psi", "sev2", "firing"): 2, ("ranker", "psi", "sev2", "pending"): 1}
    assert expected == _read("driftd_alerts", source)
    assert {(*KEYS[i][:2], "psi", *KEYS[i][2:], "sev2"): 1.0 for i in (11, 10)} == _read("driftd_alert_firing", source)


def test_detection_delay_is_a_histogram_by_stage_and_sink() -> None:
    decided = Delays((1.0, 10.0), (0, 2, 1), 60.0)
    sink = SinkStatus("pager", 1, {}, 0, 0.0, is_healthy=True, delays=Delays((1.0,), (1, 0), 0.25))
    source = replace(snapshot(), pages=Pages(decided=decided, behind=Delays((), (3,), 9.0)), sinks=(sink,))
    found = _read("driftd_detection_delay_seconds", source)

    for last, value in (("1.0", 0), ("10.0", 2), ("+Inf", 3), ("_sum", 60.0), ("_count", 3)):
        assert value == found["decision", "", last]
    assert (9.0, 3) == (found["lag", "", "_sum"], found["lag", "", "_count"])
    for last, value in (("1.0", 1), ("+Inf", 1), ("_sum", 0.25), ("_count", 1)):
        assert value == found["delivery", "pager", last]


def test_budget_spent_is_told_of_every_model_but_the_drill() -> None:
    models = (model_of(), model_of(version="8"), model_of(DRILL_MODEL))
    spent = {("ranker", "8"): 2.0, (DRILL_MODEL, "7"): 9.0}
    source = replace(snapshot(), picture=replace(picture(), models=models), pages=Pages(spent))

    assert {("ranker", "7"): 0.0, ("ranker", "8"): 2.0} == _read("driftd_budget_spent_ratio", source)


def test_the_page_for_people_is_up_to_date() -> None:
    """If not, `python -m monitor.metrics > docs/metrics.md` makes it so."""
    assert markdown_table() == DOCS.read_text()


def test_the_page_for_people_has_one_row_per_metric() -> None:
    rows = re.findall(r"^\| `(driftd_\w+)` \|", markdown_table(), flags=re.MULTILINE)

    assert [family.name for family in ALL] == rows


class TestHalves:
    """What only a fold or a judge has."""

    @pytest.mark.parametrize("name", OF_FOLD)
    def test_fold_tells_what_it_sends_and_nobody_else_does(self, name: str) -> None:
        assert {(): OF_FOLD[name]} == _read(name, of_half(FOLD))
        assert {} == _read(name, of_half(JUDGE)) == _read(name, of_half(HalfStatus()))

    def test_judge_tells_of_its_courts_and_nobody_else_does(self) -> None:
        judge = replace(of_half(JUDGE), wall_s=1_000.0)

        assert {(): 2} == _read("driftd_courts", judge)
        assert {("0",): 10.0} == _read("driftd_delta_lag_seconds", judge)
        assert {("0",): 0.75} == _read("driftd_completeness_ratio", judge)
        assert {("taken",): 12, ("old",): 2} == _read("driftd_deltas_total", judge)
        for name in ("driftd_courts", "driftd_delta_lag_seconds", "driftd_completeness_ratio", "driftd_deltas_total"):
            assert {} == _read(name, of_half(FOLD)) == _read(name, of_half(HalfStatus()))


def of_half(half: HalfStatus) -> Snapshot:
    return replace(snapshot(), picture=replace(picture(), half=half))
