"""What is read by templates is what msgspec reads, value by value; and what a template takes, and leaves to others."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.decode import Columns, Limits
from monitor.decode.base import as_mapping
from monitor.decode.blocks import BlockFeatures
from monitor.decode.canonical import WIRE_NAMES, CanonicalAdapter
from monitor.decode.compiled import SOURCE, hash_of, reader
from monitor.decode.forms import form_of
from monitor.decode.outcomes import Part
from monitor.decode.templates import TEMPLATES_MAX, Templates

NOW_S = 1_763_600_000.0

pytestmark = pytest.mark.skipif(
    reader() is None and not os.environ.get("CI"), reason="there was no C compiler when driftd was installed"
)


def event(**fields: object) -> dict[str, Any]:
    return {"event_time": NOW_S, "model": "m", "features": {"a": 1.5, "b": "x"}, **fields}


def lines(*events: dict[str, Any], ensure_ascii: bool = True) -> list[bytes | None]:
    return [json.dumps(each, ensure_ascii=ensure_ascii).encode() for each in events]


def read(found: Templates, batch: Sequence[bytes | None]) -> tuple[list[Part], list[int]]:
    parts, left = found.read([value for value in batch if value is not None])
    return parts, left.tolist()


def templates(features_max: int = 2_000) -> Templates:
    found = reader()
    assert found is not None
    return Templates(found, WIRE_NAMES, features_max)


def seen(columns: Columns) -> dict[str, Any]:
    """Give all that columns say, whichever way they were read. A null feature is as good as none."""
    features = [{name: v for name, v in sorted(as_mapping(each).items()) if v is not None} for each in columns.features]
    out = columns.outcomes.ordered()
    return {
        "messages": list(columns.messages),
        "models": list(columns.models),
        "versions": list(columns.versions),
        "times": columns.times_s.tolist(),
        "ids": [list(columns.event_ids), list(columns.request_ids), list(columns.user_ids)],
        "features": features,
        "segments": [segment or None for segment in columns.segments],
        "fields": {name: [(type(v), v) for v in column] for name, column in sorted(columns.fields.items())},
        "outcomes": [out.messages, out.kinds, out.request_ids, out.times_s, out.labels, out.values],
        "annotations": columns.annotations,
        "rejected": sorted(columns.rejected),
        "dropped": columns.dropped_features,
    }


def assert_alike(*batches: list[bytes | None], limits: Limits | None = None) -> None:
    """See that templates change nothing, batch after batch."""
    with_them, without = CanonicalAdapter(limits), CanonicalAdapter(limits, is_compiled=False)
    for batch in batches:
        assert repr(seen(without.decode(batch))) == repr(seen(with_them.decode(batch)))


# ---- that nothing changes


TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", "x", "é", "日本", "\U0001f600", 'a"b', "back\\slash", "tab\t", "z" * 200]
)
NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**70), 2**70)
    | st.integers(-9, 9)
    | st.sampled_from([0.0, -0.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 2.0**53, 2**53 + 1])
)
SCALARS = TEXTS | NUMBERS | st.booleans() | st.none()
OWN = st.dictionaries(
    st.sampled_from(["event_id", "request_id", "user_id", "model_version", "endpoint"])
    | st.sampled_from(
        [
            "score",
            "prediction",
            "latency_s",
            "status",
            "unsafe",
            "tokens_in",
            "label",
            "value",
            "note",
            "é",
            "type",
            "kind",
        ]
    ),
    SCALARS,
    max_size=6,
)
FEATURES = st.dictionaries(st.sampled_from(["a", "b", "c", "d e", "é"]), SCALARS, max_size=4)
SEGMENTS = st.dictionaries(st.sampled_from(["locale", "plan"]), TEXTS | st.none() | st.integers(0, 3), max_size=2)


@st.composite
def batches(draw: st.DrawFn) -> list[list[bytes | None]]:
    """Give batches of some kinds of events, each again and again with other values, and a little damaged."""
    kinds = draw(
        st.lists(st.fixed_dictionaries({"features": FEATURES}, optional={"segment": SEGMENTS}), min_size=1, max_size=3)
    )
    owns = [draw(OWN) for _ in kinds]
    found: list[list[bytes | None]] = []
    for _ in range(draw(st.integers(1, 3))):
        batch: list[bytes | None] = []
        for _ in range(draw(st.integers(0, 8))):
            at = draw(st.integers(0, len(kinds) - 1))
            same = draw(st.booleans())
            own = owns[at] if same else {name: draw(SCALARS) for name in owns[at]}
            features = {
                name: draw(SCALARS) if not same and draw(st.booleans()) else value
                for name, value in kinds[at]["features"].items()
            }
            body = {**event(), **own, **kinds[at], "features": features, "event_time": NOW_S + draw(st.integers(0, 9))}
            if not features and draw(st.booleans()):
                del body["features"]
            value = json.dumps(body, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, None, 1])))
            text = value.encode()
            if draw(st.integers(0, 9)) == 0:
                cut = draw(st.integers(0, len(text) - 1))
                text = text[:cut] + draw(st.binary(max_size=2)) + text[cut + draw(st.integers(0, 2)) :]
            batch.append(draw(st.none()) if draw(st.integers(0, 19)) == 0 else text)
        found.append(batch)
    return found


@settings(max_examples=300, deadline=None)
@given(batches())
def test_events_are_read_as_msgspec_reads_them(found: list[list[bytes | None]]) -> None:
    assert_alike(*found)


def test_a_hundred_thousand_damaged_messages_are_read_as_msgspec_reads_them() -> None:
    rng = random.Random(5)
    good = lines(
        event(score=0.5, status="ok", segment={"locale": "de"}, event_id="1", unsafe=None, tokens_in=3),
        event(prediction="up", latency_s=1e-5, note={"deep": [1]}),
        event(prediction=2, note='say "hi"\n', model_version="é"),
        {"type": "outcome", "kind": "label", "request_id": "r", "event_time": NOW_S, "label": 1},
    )
    for _ in range(50):
        batch: list[bytes | None] = []
        for _ in range(2_000):
            damaged = bytearray(rng.choice(good) or b"")
            for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
                at = rng.randrange(len(damaged))
                damaged[at : at + rng.randrange(3)] = rng.choice(
                    (
                        b"0",
                        b"-",
                        b".",
                        b"e",
                        b'"',
                        b",",
                        b"}",
                        b"{",
                        b" ",
                        b"\\",
                        b"\xff",
                        b"\xc3\xa9",
                        b"null",
                        b"1e999",
                        b"",
                    )
                )
            batch.append(bytes(damaged))
        assert_alike(batch)


@settings(max_examples=2_000, deadline=None)
@given(
    st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)
@example("9007199254740993.0")
@example("1.7976931348623159e308")
@example("2.2250738585072011e-308")
@example("0.1e-400")
@example("8.5e0")
@example("-0")
def test_number_is_the_double_nearest_to_what_was_written(text: str) -> None:
    batch = [
        b'{"model": "m", "event_time": 1763600000.0, "features": {"a": %s}}' % each for each in (b"1.5", text.encode())
    ]
    parts, left = read(templates(), batch)

    if 1 in left:  # more digits than fit, or no ordinary double: read by msgspec
        digits = text.lower().split("e")[0].strip("-").replace(".", "").lstrip("0")
        assert len(digits) > 15 or not 1e-300 < abs(float(text)) < 1e300
    else:
        assert struct.pack("d", float(text)) == struct.pack("d", features_of(parts).held().numbers[0, 1])


def test_random_doubles_survive_and_hardly_any_is_left_to_others() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 2**64, 50_000, dtype=np.uint64).view(np.float64)
    values = np.concatenate([values[np.isfinite(values)], rng.normal(size=50_000), rng.random(50_000) * 1e-3])
    batch = lines(*(event(features={"a": float(value)}) for value in values))

    parts, left = read(templates(), batch)

    found = features_of(parts).held().numbers[0]
    kept = np.setdiff1d(np.arange(len(values)), left)
    assert values[kept].tobytes() == np.ascontiguousarray(found).tobytes()
    assert len(left) < 0.002 * len(values)  # the subnormal ones


def features_of(parts: list[Part]) -> BlockFeatures:
    ((_, cells),) = parts
    features = cells["features"]
    assert isinstance(features, BlockFeatures)
    return features


# ---- what is taken, and what is left


def test_batch_of_one_form_is_one_block_with_nulls_as_nan() -> None:
    batch = lines(event(), event(features={"a": None, "b": None}), event(features={"a": 2, "b": "y"}))

    parts, left = read(templates(), batch)

    features = features_of(parts)
    assert not left
    assert isinstance(features, BlockFeatures)
    assert [1.5, 2.0] == [v for v in features.block.numbers[0].tolist() if not math.isnan(v)]
    assert ["x", None, "y"] == features.block.names[0].all()
    assert range(3) == parts[0][0]


@pytest.mark.parametrize(
    "other",
    [
        event(features={"b": "x", "a": 1.5}),
        event(features={"a": 1.5, "b": "x", "c": 1.0}),
        event(features={"a": "1.5", "b": "x"}),
        event(features={"a": True, "b": "x"}),
        event(features={"a": [1.5], "b": "x"}),
        event(features={"a": 1.5, "b": "a\nb"}),
        event(features={"a": 10**25, "b": "x"}),
        event(model={}),
    ],
)
def test_what_differs_in_more_than_values_is_left_to_others(other: dict[str, Any]) -> None:
    found = templates()
    read(found, lines(event()))

    batch = lines(event(), other, event())
    _, left = read(found, batch)

    assert 1 in left or len(read(found, batch)[0]) == 2  # of a form of its own


def test_texts_beyond_the_codes_are_read_all_the_same() -> None:
    many = [event(features={"a": float(i), "b": f"name {i % 700}"}, status=f"s{i}") for i in range(3_000)]

    assert_alike(*([*lines(*many[start : start + 500])] for start in range(0, 3_000, 500)))
    parts, left = read(templates(), lines(*many))
    features = features_of(parts)
    assert not left
    assert [f"name {i % 700}" for i in range(3_000)] == features.block.names[0].all()
    assert features[1234:1236].held().names[0].all() == ["name 534", "name 535"]


def test_models_beyond_the_codes_are_read_all_the_same() -> None:
    many = [event(model=f"model {i % 1_000}", model_version="é" if i % 2 else "1") for i in range(4_000)]

    assert_alike(*([*lines(*many[start : start + 1_000], ensure_ascii=False)] for start in range(0, 4_000, 1_000)))


def test_more_forms_than_there_is_room_for_are_read_the_general_way() -> None:
    found = templates()
    kinds = [lines(*(event(features={f"f{k}": 1.0 * i}) for i in range(5))) for k in range(3 * TEMPLATES_MAX)]
    for _ in range(100):
        for batch in kinds:
            parts, left = read(found, batch)
            assert 5 == sum(len(messages) for messages, _ in parts) + len(left)


def test_hash_is_the_one_of_the_compiled_reader() -> None:
    """A text gets its code once: so it was found again."""
    found = templates()
    names = ["", "a", "sixteen letters.", "seventeen letters", "é" * 30, *(f"n{i}" for i in range(200))]
    batch = lines(*(event(features={"a": 1.0, "b": name}) for name in names), ensure_ascii=False)
    first, _ = read(found, batch)
    again, _ = read(found, batch)

    assert features_of(first).block.names[0].codes.tolist() == list(range(len(names)))
    assert features_of(again).block.names[0].codes.tolist() == list(range(len(names)))
    assert hash_of(b"") != hash_of(b"\0")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b"[]",
        b'{"features": {}}',
        b'{"note": 1}',
        b'{"features": {"a": null}}',
        b'{"features": {"a": 1, "a": 2}}',
        b'{"features": {"a": [1]}}',
        b'{"features": {"a\\u0062": 1}}',
        b'{"features": {"a": 1}} x',
        b'{"features": {"a": 01}}',
        b'{"features": {"a": 1},}',
        b'{"features": {"a": 1}, "segment": {"b": 2}}',
        b'{"features": {"\xff": 1}}',
        b'{"features": 3}',
    ],
)
def test_message_that_tells_no_form(message: bytes) -> None:
    assert form_of(message, WIRE_NAMES) is None


def test_form_has_no_more_features_than_are_read() -> None:
    (message,) = lines(event(features={f"f{i}": 1.0 for i in range(10)}))

    assert message is not None
    assert form_of(message, WIRE_NAMES, 10) is not None
    assert form_of(message, WIRE_NAMES, 9) is None
    assert_alike([message] * 3, limits=Limits(features_max=9))


# ---- that it touches no memory but its own

DAMAGE = """
import random, sys
from pathlib import Path
from monitor.decode.canonical import WIRE_NAMES
from monitor.decode.compiled import load
from monitor.decode.templates import Templates

good = [line.encode() for line in Path(sys.argv[2]).read_text(encoding="utf-8").splitlines()]
reader, rng, fitted = load(Path(sys.argv[1])), random.Random(7), 0
for _ in range(200):
    found = Templates(reader, WIRE_NAMES, 100)
    found.read(good)
    for size in (1, 2, 50, 300):
        batch = []
        for _ in range(size):
            text = bytearray(rng.choice(good))
            for _ in range(rng.choice((0, 1, 1, 2, 4))):
                at = rng.randrange(len(text) + 1)
                text[at : at + rng.choice((0, 1, 1, 9))] = rng.choice(
                    (b"", b'"', b"\\\\", b"\\xf0\\x9f", b"1" * 30, b"-", b"e999", b"null", b"tru", b"{", b"z" * 200)
                )
            batch.append(bytes(text[: rng.choice((len(text), rng.randrange(len(text) + 1)))]))
        parts, _ = found.read(batch)
        fitted += sum(len(messages) for messages, _ in parts)
print(fitted)
"""


def test_damaged_messages_make_it_touch_no_memory_but_its_own(tmp_path: Path) -> None:
    library, good = tmp_path / "checked.so", tmp_path / "good.jsonl"
    sanitize = "-fsanitize=address,undefined"
    built = shutil.which("gcc") and subprocess.run(
        ["gcc", "-std=c11", "-O1", "-g", sanitize, "-shared", "-fPIC", "-o", str(library), str(SOURCE)], check=False
    )
    if not built or built.returncode:
        assert not os.environ.get("CI"), "gcc with its sanitizers is needed"
        pytest.skip("no gcc with sanitizers")
    found = [event(score=0.5, event_id="é", unsafe=None, note='a "b"\n'), event(latency_s=1, segment={"locale": "de"})]
    good.write_text("\n".join(json.dumps(each, ensure_ascii=False) for each in found), encoding="utf-8")
    runtimes = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    env = {**os.environ, "LD_PRELOAD": ":".join(runtimes), "PYTHONMALLOC": "malloc"}
    env |= {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"}

    done = subprocess.run(
        [sys.executable, "-c", DAMAGE, str(library), str(good)], env=env, capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert int(done.stdout) > 5_000, done.stdout
