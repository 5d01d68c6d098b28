"""What becomes of every kind of message: one heading per outcome."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.decode import Columns, Limits
from monitor.decode.base import as_mapping
from monitor.decode.canonical import NAME_CHARS_MAX, CanonicalAdapter
from monitor.decode.outcomes import OUTCOME_KINDS
from monitor.domain import Rejection
from monitor.fields import DERIVED, FIELDS, PREDICTION

NOW_S = 1_763_600_000.0
GOOD = {"event_time": NOW_S, "model": "m", "features": {"a": 1.0}}


def decode(*values: bytes | None, limits: Limits | None = None) -> Columns:
    return CanonicalAdapter(limits).decode(values)


def text(without: str = "", /, **fields: object) -> bytes:
    found = {**GOOD, **fields}
    found.pop(without, None)
    return json.dumps(found).encode()


def raw(tail: str) -> bytes:
    """Give a good event with more JSON before its closing brace, as written."""
    return text()[:-1] + f", {tail}}}".encode()


DEEP = "[" * 100_000 + "]" * 100_000
REJECTED = {
    "a tombstone": (None, Rejection.EMPTY),
    "an empty message": (b"", Rejection.EMPTY),
    "blanks alone": (b"   ", Rejection.NOT_JSON),
    "zero bytes": (b"\0\0", Rejection.NOT_JSON),
    "10 MB": (raw(f'"x": "{"y" * 10_000_000}"'), Rejection.TOO_LARGE),
    "one byte too much": (text().ljust((1 << 20) + 1), Rejection.TOO_LARGE),
    "Latin-1": ('{"model": "\xe4"}'.encode("latin-1"), Rejection.NOT_UTF8),
    "random bytes": (bytes(range(128, 256)), Rejection.NOT_UTF8),
    "UTF-16": (text().decode().encode("utf-16"), Rejection.NOT_UTF8),
    "a byte order mark": (b"\xef\xbb\xbf" + text(), Rejection.NOT_JSON),
    "plain text": (b"hello", Rejection.NOT_JSON),
    "JSON cut short": (text()[:-1], Rejection.NOT_JSON),
    "two events in a message": (text() + text(), Rejection.NOT_JSON),
    "single quotes": (b"{'model': 'm'}", Rejection.NOT_JSON),
    "an integer of 5,000 digits": (raw(f'"score": {"1" * 5_000}'), Rejection.NOT_JSON),
    "nesting 100,000 deep": (DEEP.encode(), Rejection.TOO_DEEP),
    "nesting 100,000 deep in a feature": (raw(f'"features": {{"a": {DEEP}}}'), Rejection.TOO_DEEP),
    "nesting 100,000 deep in a field that is not read": (raw(f'"note": {DEEP}'), Rejection.TOO_DEEP),
    "a list of events": (b"[" + text() + b"]", Rejection.NOT_OBJECT),
    "a number": (b"5", Rejection.NOT_OBJECT),
    "a string": (b'"model"', Rejection.NOT_OBJECT),
    "true": (b"true", Rejection.NOT_OBJECT),
    "null": (b"null", Rejection.NOT_OBJECT),
    "no model": (text("model"), Rejection.NO_MODEL),
    "a null model": (text(model=None), Rejection.NO_MODEL),
    "an empty model": (text(model=""), Rejection.NO_MODEL),
    "an empty object": (b"{}", Rejection.NO_MODEL),
    "a model that is a number": (text(model=5), Rejection.BAD_TYPE),
    "a model that is a list": (text(model=["m"]), Rejection.BAD_TYPE),
    "a model name that is too long": (text(model="m" * (NAME_CHARS_MAX + 1)), Rejection.BAD_TYPE),
    "features as a list": (text(features=[1]), Rejection.BAD_TYPE),
    "features as a number": (text(features=1), Rejection.BAD_TYPE),
    "features as a string": (text(features="a"), Rejection.BAD_TYPE),
    "no time": (text("event_time"), Rejection.NO_TIME),
    "a null time": (text(event_time=None), Rejection.NO_TIME),
    "a time that is true": (text(event_time=True), Rejection.BAD_TIME),
    "a time that is a list": (text(event_time=[1]), Rejection.BAD_TIME),
    "a time in words": (text(event_time="yesterday"), Rejection.BAD_TIME),
    "an empty time": (text(event_time=""), Rejection.BAD_TIME),
    "a leap second": (text(event_time="2016-12-31T23:59:60Z"), Rejection.BAD_TIME),
    "a month 13": (text(event_time="2025-13-01T00:00:00Z"), Rejection.BAD_TIME),
    "a time of NaN": (text(event_time=math.nan), Rejection.BAD_TIME),
    "an infinite time": (text(event_time=math.inf), Rejection.BAD_TIME),
    "a time of 1e999": (text(event_time=NOW_S).replace(b"1763600000.0", b"1e999"), Rejection.BAD_TIME),
    "a time of 400 digits": (text(event_time=10**400), Rejection.BAD_TIME),
    "a negative time": (text(event_time=-5), Rejection.BAD_TIME),
    "time zero": (text(event_time=0), Rejection.BAD_TIME),
    "microseconds": (text(event_time=NOW_S * 1e6), Rejection.BAD_TIME),
    "the year 1": (text(event_time="0001-01-01T00:00:00+23:59"), Rejection.BAD_TIME),
    "the year 9999": (text(event_time="9999-12-31T23:59:59-23:59"), Rejection.BAD_TIME),
    "nothing observed": (text("features"), Rejection.NO_OBSERVATION),
    "nulls alone": (text(features=None, score=None), Rejection.NO_OBSERVATION),
    "an annotation that says nothing": (text(type="annotation", text=""), Rejection.BAD_ANNOTATION),
    "an annotation with features": (text(type="annotation", text="v2"), Rejection.BAD_ANNOTATION),
    "another type": (text(type="heartbeat"), Rejection.BAD_KIND),
    "a type that is a number": (text(type=5), Rejection.BAD_KIND),
    "a type that is a list": (text(type=[]), Rejection.BAD_KIND),
    "a type that is an object": (text(type={"a": 1}), Rejection.BAD_KIND),
    "an outcome without request": (text(type="outcome", kind="label"), Rejection.NO_REQUEST_ID),
    "an outcome with an empty request": (text(type="outcome", kind="label", request_id=""), Rejection.NO_REQUEST_ID),
    "an outcome without kind": (text(type="outcome", request_id="r"), Rejection.BAD_KIND),
    "an outcome of unknown kind": (text(type="outcome", request_id="r", kind="rumour"), Rejection.BAD_KIND),
    "an outcome whose kind is a list": (text(type="outcome", request_id="r", kind=[]), Rejection.BAD_KIND),
    "an outcome without time": (text("event_time", type="outcome", request_id="r", kind="label"), Rejection.NO_TIME),
    "an outcome with a bad time": (
        text(type="outcome", request_id="r", kind="label", event_time="x"),
        Rejection.BAD_TIME,
    ),
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [pytest.param(*case, id=name) for name, case in REJECTED.items()],
)
def test_message_is_rejected_with_its_reason(value: bytes | None, expected: Rejection) -> None:
    alone, among = decode(value), decode(text(), value, text())

    assert [(0, expected)] == alone.rejected
    assert [(1, expected)] == among.rejected
    assert [0, 2] == list(among.messages)


def test_every_rejection_of_this_layer_has_a_case() -> None:
    assert set(Rejection) - {Rejection.TOO_MANY_MODELS} == {reason for _, reason in REJECTED.values()}


TIMES = {
    "seconds": (1763600000, NOW_S),
    "fractions of a second": (1763600000.25, NOW_S + 0.25),
    "milliseconds": (1763600000250, NOW_S + 0.25),
    "RFC 3339, UTC": ("2025-11-20T00:53:20Z", NOW_S),
    "RFC 3339 with an offset": ("2025-11-20T02:53:20+02:00", NOW_S),
    "RFC 3339 with fractions": ("2025-11-20T00:53:20.250Z", NOW_S + 0.25),
    "nanoseconds are cut": ("2025-11-20T00:53:20.250000999Z", NOW_S + 0.25),
    "no offset is UTC": ("2025-11-20T00:53:20", NOW_S),
    "a blank for the T": ("2025-11-20 00:53:20+00:00", NOW_S),
    "a day is its start": ("2025-11-20", NOW_S - 3200),
    "long ago": (1, 1.0),
    "the year 2286": (9_999_999_999, 9_999_999_999.0),
}


@pytest.mark.parametrize(("given_time", "expected"), TIMES.values(), ids=TIMES.keys())
def test_time_is_read(given_time: object, expected: float) -> None:
    for among in (decode(text(event_time=given_time)), decode(text(event_time=given_time), text(event_time="bad"))):
        assert [expected] == among.times_s.tolist()


FEATURES = {
    "a number": ("1.5", 1.5),
    "an integer": ("7", 7),
    "a string": ('"x"', "x"),
    "an empty string": ('""', ""),
    "a bool": ("true", True),
    "null": ("null", None),
    "minus zero": ("-0.0", 0.0),
    "Infinity": ("Infinity", math.inf),
    "minus Infinity": ("-Infinity", -math.inf),
    "1e999": ("1e999", math.inf),
    "an integer of 400 digits": ("1" + "0" * 400, 10**400),
    "a list": ("[1]", [1]),
    "an object": ('{"b": 1}', {"b": 1}),
    "letters of any script": ('"\u4e2d\U0001f600"', "\u4e2d\U0001f600"),
    "the last of duplicate keys": ('1, "a": 2', 2),
}


@pytest.mark.parametrize(("written", "expected"), FEATURES.values(), ids=FEATURES.keys())
def test_feature_is_passed_on_as_sent(written: str, expected: object) -> None:
    columns = decode(raw(f'"features": {{"a": {written}}}'))

    assert [] == columns.rejected
    assert [{"a": expected}] == list(map(as_mapping, columns.features))


def test_nan_is_a_number_that_is_not_finite() -> None:
    (features,) = decode(raw('"features": {"a": NaN}')).features

    assert math.isnan(as_mapping(features)["a"])


def test_feature_names_may_be_anything() -> None:
    names = {"": 1.0, "a b": 2.0, "\u4e2d.|=,": 3.0, "features.a": 4.0}

    assert [names] == list(map(as_mapping, decode(text(features=names)).features))


def test_lone_surrogates_do_not_get_through() -> None:
    """JSON can write half a character, which no file, label or hash can hold."""
    for value in (raw('"model": "a\\ud800"'), raw('"features": {"a": "\\udc80"}'), raw('"features": {"\\udc80": 1}')):
        columns = decode(value)
        kept = json.dumps([list(columns.models), list(map(as_mapping, columns.features))], ensure_ascii=False)
        assert kept.encode()


@pytest.mark.parametrize(("features", "dropped"), [(10_000, 0), (20_000, 10_000)])
def test_features_beyond_the_limit_are_dropped_and_counted(features: int, dropped: int) -> None:
    columns = decode(text(features={f"f{i}": i for i in range(features)}), text())

    assert dropped == columns.dropped_features
    assert [10_000, 1] == [len(as_mapping(found)) for found in columns.features]
    assert [] == columns.rejected


@pytest.mark.parametrize("wrong", [5, 1.5, "x", True, [1], {"a": 1}, 10**400])
@pytest.mark.parametrize(
    "name", [*sorted({*FIELDS, PREDICTION} - DERIVED), "model_version", "event_id", "segment", "status"]
)
def test_wrong_type_of_one_field_costs_that_field_and_not_the_event(name: str, wrong: object) -> None:
    columns = decode(text(**{name: wrong}), text())

    assert [] == columns.rejected
    assert [0, 1] == list(columns.messages)
    assert all(isinstance(version, str) for version in columns.versions)
    assert all(event_id is None or isinstance(event_id, str) for event_id in columns.event_ids)
    assert all(segment is None or isinstance(segment, dict) for segment in columns.segments)


def test_fields_that_no_event_carries_have_no_column() -> None:
    assert {"score"} == set(decode(text(score=0.5, latency_s=None), text()).fields)


def test_fields_are_columns_with_null_where_absent() -> None:
    fields = decode(text(score=0.5, unsafe=False), text(unsafe=None), text(score="x")).fields

    assert [0.5, None, "x"] == list(fields["score"])
    assert [False, None, None] == list(fields["unsafe"])


def test_fields_are_those_that_streams_are_made_of() -> None:
    every = {**dict.fromkeys({*FIELDS, PREDICTION} - DERIVED, 1), "guardrail_action": "bypassed:timeout"}

    assert {*FIELDS, PREDICTION} == set(decode(text(**every, status="ok")).fields)


ERRORS = {
    "nothing is said": ({}, None),
    "ok": ({"status": "ok"}, False),
    "success": ({"status": "success"}, False),
    "an HTTP status as text": ({"status": "204"}, False),
    "an HTTP error as text": ({"status": "503"}, True),
    "an HTTP status": ({"status": 200}, False),
    "a redirect": ({"status": 302}, False),
    "an HTTP error": ({"status": 400}, True),
    "another word": ({"status": "timeout"}, True),
    "a status that is no status": ({"status": []}, True),
    "an error type": ({"error_type": "Timeout", "status": "ok"}, True),
    "an empty error type": ({"error_type": "", "status": "ok"}, False),
    "digits of another script": ({"status": "\u0665\u0660\u0663"}, True),
    "a very long number": ({"status": "2" * 5_000}, True),
}


@pytest.mark.parametrize(("fields", "expected"), ERRORS.values(), ids=ERRORS.keys())
def test_error_is_told_from_status_and_error_type(fields: dict[str, object], expected: bool | None) -> None:  # noqa: FBT001
    columns = decode(text(**fields), text(status="ok"))

    assert [expected, False] == list(columns.fields["error"])


@pytest.mark.parametrize("kind", sorted(OUTCOME_KINDS))
def test_outcome_is_told_by_its_type_or_its_kind(kind: str) -> None:
    named = text(type="outcome", request_id="r", kind=kind)
    unnamed = text("model", request_id="r", kind=kind)

    columns = decode(text(), named, unnamed)

    assert ([1, 2], [kind, kind]) == (columns.outcomes.messages, columns.outcomes.kinds)
    assert [0] == list(columns.messages)


@pytest.mark.parametrize("of_type", ["inference", None])
def test_kind_of_an_inference_does_not_make_it_an_outcome(of_type: str | None) -> None:
    assert [0] == list(decode(text(type=of_type, kind="label")).messages)


def test_version_is_text_and_absent_is_empty() -> None:
    versions = decode(text(), text(model_version="7"), text(model_version=7), text(model_version=None)).versions

    assert ["", "7", "7", ""] == list(versions)


def test_unknown_fields_are_not_read() -> None:
    assert [] == decode(raw('"anything": {"at": ["all"]}')).rejected


def test_nothing_gives_nothing() -> None:
    assert (0, [], 0) == (len(decode()), decode().rejected, len(decode().outcomes))


def test_message_at_the_limit_is_read() -> None:
    assert [] == decode(text().ljust(1 << 20)).rejected


def test_one_bad_message_costs_one_message() -> None:
    """The fast path reads batches whole; whatever breaks it must not change what becomes of the others."""
    good = [text(event_id=str(i), score=i, event_time=NOW_S + i) for i in range(20)]
    whole = decode(*good)
    for value in [value for value, _ in REJECTED.values() if value is None or len(value) < 10_000]:
        among = decode(*good[:10], value, *good[10:])
        assert list(whole.event_ids) == list(among.event_ids)
        assert whole.times_s.tolist() == among.times_s.tolist()
        assert list(whole.fields["score"]) == list(among.fields["score"])
        assert [i + (i >= 10) for i in range(20)] == list(among.messages)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.none()
        | st.binary(max_size=20)
        | st.sampled_from([v for v, _ in REJECTED.values() if v and len(v) < 999])
        | st.just(text()),
        max_size=12,
    )
)
def test_every_message_ends_as_exactly_one_of_event_outcome_rejection(values: list[bytes | None]) -> None:
    columns = decode(*values)

    ends = [*columns.messages, *columns.outcomes.messages, *(at for at, _ in columns.rejected)]
    assert list(range(len(values))) == sorted(ends)
    lengths = {len(columns.models), len(columns.versions), len(columns.times_s), len(columns.event_ids)}
    lengths |= {len(columns.features), len(columns.segments), *map(len, columns.fields.values())}
    assert {len(columns)} == lengths


@pytest.mark.parametrize("others", [[], [b""], [None]])
def test_batch_in_which_no_event_has_a_time_is_rejected(others: list[bytes | None]) -> None:
    adapter = CanonicalAdapter()
    for _ in range(2):
        columns = adapter.decode([b'{"model": "m", "features": {"a": 1.0}}', *others])

        assert (0, Rejection.NO_TIME) in columns.rejected
        assert 0 == len(columns)


def test_a_hundred_thousand_random_and_mutated_messages_never_raise() -> None:
    rng = random.Random(11)
    seeds = [text(score=1.5, status="ok", segment={"c": "d"}), text(type="outcome", kind="label", request_id="r")]
    tails = [
        '"type": []',
        '"features": {"a": NaN}',
        '"event_time": "2025-11-20"',
        '"model_version": 1e999',
        '"prediction": {}',
    ]
    seeds += [raw(tail) for tail in tails]
    values: list[bytes | None] = []
    for _ in range(50_000):
        damaged = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(3)):
            damaged[rng.randrange(len(damaged))] = rng.choice(b'0123456789{}[]",:eE-.\\u nultrfas\xff')
        values += [bytes(damaged), rng.randbytes(rng.randrange(30))]

    ends = 0
    for start in range(0, len(values), 1_000):
        columns = decode(*values[start : start + 1_000])
        ends += len(columns) + len(columns.outcomes) + len(columns.rejected)
        assert np.isfinite(columns.times_s).all()

    assert 100_000 == ends
