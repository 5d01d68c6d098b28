from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import AlertState, Band, Severity, StreamKey
from monitor.lineage import Lineage
from monitor.sinks.message import (
    ANNOTATION_CHARACTERS_MAX,
    DESCRIPTION_CHARACTERS_MAX,
    LABEL_CHARACTERS_MAX,
    clean,
    describe,
    timestamp,
)
from tests.unit.sinks.examples import START_S, alert


def test_labels_are_the_identity_and_nothing_else() -> None:
    labels, _ = describe(alert("income"))

    assert labels == {
        "alertname": "feature_drift",
        "service": "driftd",
        "model": "credit",
        "model_version": "7",
        "field": "feature.income",
        "segment": "region=eu",
        "severity": "sev3",
        "owner": "risk-team",
    }


def test_labels_stay_while_everything_but_severity_moves() -> None:
    before = alert()
    after = replace(
        before,
        state=AlertState.RESOLVED,
        band=Band.RED,
        value=1.0,
        samples=99,
        since_s=START_S,
        incident="inc-2",
        summary="other words",
        resolved_s=START_S + 9,
    )

    assert describe(before).labels == describe(after).labels
    assert {**describe(before).labels, "severity": "sev1"} == describe(replace(after, severity=Severity.SEV1)).labels


def test_empty_values_are_left_out() -> None:
    labels, annotations = describe(
        alert(key=StreamKey("m", "", "latency_s"), owner="", runbook="", reference="", incident="")
    )

    assert {"model_version", "segment", "owner"}.isdisjoint(labels)
    assert {"runbook", "runbook_url", "reference", "incident", "details"}.isdisjoint(annotations)


def test_annotations_carry_the_evidence() -> None:
    _, annotations = describe(alert(details={"top bin": "40 to 50", "method": "grid"}))

    assert annotations["summary"] == "a has drifted"
    assert annotations["description"] == (
        "psi of feature.a in model credit version 7 where region=eu is 0.3142 (interval 0.28 to 0.35), threshold 0.2. "
        "12000 samples in 10 min. Evidence 31.5 nats, 9.2 needed. "
        "Estimated onset 2027-01-15T07:58:30.000Z. "
        "Firing since 2027-01-15T08:00:00.000Z, decided 90 s after the estimated onset."
    )
    assert annotations["runbook_url"] == "https://runbooks.example/drift"
    assert annotations["reference"] == "ref-abc"
    assert annotations["incident"] == "inc-1"
    assert annotations["dedup_key"] == "key-a"
    assert annotations["statistic"] == "psi"
    assert annotations["details"] == "top bin: 40 to 50; method: grid"


def test_detection_delay_is_told() -> None:
    assert describe(alert()).annotations["detection_delay"] == "90 s"
    assert "detection_delay" not in describe(alert(state=AlertState.PENDING)).annotations


def test_drill_says_so_in_a_label_and_first_of_all_in_its_summary() -> None:
    labels, annotations = describe(alert(is_drill=True))

    assert labels == {**describe(alert()).labels, "drill": "true"}
    assert annotations["summary"] == "[DRILL] a has drifted"


def test_kind_of_change_and_rank_are_told_where_there_is_something_to_tell() -> None:
    _, alone = describe(alert())
    _, among = describe(alert(change="location", rank=2, together=7))

    assert {"change", "rank"}.isdisjoint(alone)
    assert (among["change"], among["rank"]) == ("location", "2 of 7")
    assert "Kind of change: location." in among["description"]
    assert "Number 2 of 7 that moved together, the strongest first." in among["description"]


def test_description_of_a_resolved_alert_says_when() -> None:
    _, annotations = describe(alert(state=AlertState.RESOLVED))

    assert annotations["description"].endswith("Resolved 2027-01-15T08:01:00.000Z.")


def test_missing_summary_is_made_from_the_numbers() -> None:
    assert describe(alert(summary=" \n")).annotations["summary"].startswith("psi of feature.a in model credit")


@pytest.mark.parametrize("runbook", ["see the wiki", "javascript:alert(1)", "file:///etc/passwd"])
def test_only_web_addresses_become_links(runbook: str) -> None:
    _, annotations = describe(alert(runbook=runbook))

    assert annotations["runbook"] == runbook
    assert "runbook_url" not in annotations


def test_undefined_numbers_are_said_in_words() -> None:
    _, annotations = describe(alert(value=math.nan, interval=(-math.inf, math.inf)))

    assert annotations["value"] == "unknown"
    assert "is unknown (interval unknown to unknown)" in annotations["description"]


def test_changed_labels_stay_distinct() -> None:
    """Two fields that differ only in what is taken out, or beyond the limit, are two alerts still."""
    names = ["pay\x00load", "pay\x01load", "pay load", "x" * 500, "x" * 501]
    labels = [describe(alert(key=StreamKey("m", "1", name))).labels["field"] for name in names]

    assert len(set(labels)) == len(names)
    assert labels[2] == "pay load"


@given(text=st.text(max_size=2 * LABEL_CHARACTERS_MAX))
def test_foreign_text_comes_out_short_and_printable(text: str) -> None:
    hostile = alert(key=StreamKey(text, text, text, text), summary=text, owner=text, details={text: text})
    labels, annotations = describe(hostile)

    for value in labels.values():
        assert 0 < len(value) <= LABEL_CHARACTERS_MAX
    for name, value in annotations.items():
        assert 0 < len(value) <= (DESCRIPTION_CHARACTERS_MAX if name == "description" else ANNOTATION_CHARACTERS_MAX)
    for value in (*labels.values(), *annotations.values()):
        assert value == clean(value, DESCRIPTION_CHARACTERS_MAX)
        value.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("two\r\nlines", "two  lines"),
        ("\x1b[31mred", "[31mred"),
        ("right\u202eleft", "right left"),
        ("half\ud800pair", "half pair"),
        ("größe µ 漢字", "größe µ 漢字"),
        ("abcdefghijklm", "abcdefghi…"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text, 10 if text.startswith("abc") else 40) == expected


@pytest.mark.parametrize(
    ("time_s", "expected"),
    [
        (START_S + 0.25, "2027-01-15T08:00:00.250Z"),
        (-5.0, "1970-01-01T00:00:00.000Z"),
        (math.nan, "1970-01-01T00:00:00.000Z"),
        (1e18, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_timestamp(time_s: float, expected: str) -> None:
    assert timestamp(time_s) == expected


def test_annotations_carry_where_the_reference_is_from() -> None:
    _, annotations = describe(alert(lineage=Lineage("mlflow", "9197a2255aa1", "fraud/7")))
    _, without = describe(alert())

    assert {"run_id": "9197a2255aa1", "registry_version": "fraud/7"}.items() <= annotations.items()
    assert {"run_id", "registry_version"}.isdisjoint(without)
