"""The form of state in bytes: what goes in comes out, bit for bit; what is damaged, cut or newer is refused.

Fuzzed with hypothesis: no bytes make it raise anything but StateError, and arbitrary plain states come back as they
were. The corpus in tests/golden/state holds files of every format so far.
"""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from monitor import codec
from monitor.errors import StateError
from monitor.kept import State
from monitor.store import Store, read_portable
from tests.golden.state.make import described

CORPUS: Final = Path(__file__).resolve().parents[2] / "golden" / "state"
FILES: Final = sorted(path.stem for path in CORPUS.glob("*.bin"))
ENCODED: Final = [name for name in FILES if not name.endswith(("-file", "-export"))]

_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_ARRAYS: Final = st.sampled_from(codec.DTYPES).flatmap(
    lambda name: npst.arrays(np.dtype(name), npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
_LEAVES: Final = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), _TEXT, st.binary(max_size=20), _ARRAYS
)
_VALUES: Final = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4), max_leaves=12
)
STATES: Final = st.dictionaries(_TEXT, _VALUES, max_size=4)


def corpus(name: str) -> tuple[bytes, Any]:
    return (CORPUS / f"{name}.bin").read_bytes(), json.loads((CORPUS / f"{name}.json").read_text(encoding="utf-8"))


def sealed(body: bytes, version: int = codec.VERSION) -> bytes:
    """Bytes with a good header around whatever body."""
    checksum = zlib.crc32(body, zlib.crc32(struct.pack("<HQ", version, len(body))))
    return codec.MAGIC + struct.pack("<IHQ", checksum, version, len(body)) + body


class TestCorpus:
    """State files of all formats so far, which every version must read."""

    def test_is_there(self) -> None:
        assert {"v1-arrays", "v1-export", "v1-file", "v1-outbox", "v1-values"} <= set(FILES)

    @pytest.mark.parametrize("name", ENCODED)
    def test_state_is_read_as_it_was_described(self, name: str) -> None:
        data, expected = corpus(name)

        assert expected == described(codec.decode(data, name))

    @pytest.mark.parametrize("name", [name for name in FILES if name.endswith("-file")])
    def test_state_file_is_read_as_it_was_described(self, name: str, tmp_path: Path) -> None:
        _, expected = corpus(name)
        shutil.copy(CORPUS / f"{name}.bin", tmp_path / "driftd.sqlite")
        store = Store.open(tmp_path)
        found = store.load()
        store.close()

        assert found is not None
        assert expected["sections"] == {part: described(state) for part, state in found.sections.items()}
        assert expected["positions"] == [[*key, offset] for key, offset in found.positions.items()]
        assert (expected["marks"], expected["saved_wall_s"]) == (found.marks, found.saved_wall_s)

    @pytest.mark.parametrize("name", [name for name in FILES if name.endswith("-export")])
    def test_export_is_read_as_it_was_described(self, name: str) -> None:
        _, expected = corpus(name)
        with read_portable(CORPUS / f"{name}.bin") as (contents, parts):
            found = {
                row.name: described(codec.decode(part, "")) for row, part in zip(contents.rows, parts, strict=True)
            }

        assert expected["sections"] == found
        assert expected["positions"] == [[*key, offset] for key, offset in contents.positions.items()]

    @pytest.mark.parametrize("name", ENCODED)
    def test_cut_short_at_any_byte_is_refused(self, name: str) -> None:
        data, _ = corpus(name)
        for length in range(len(data)):
            with pytest.raises(StateError, match=r"is no state of driftd|is damaged: its checksum or length"):
                codec.decode(data[:length], name)

    @pytest.mark.parametrize("name", ENCODED)
    def test_flipped_bit_anywhere_is_found(self, name: str) -> None:
        data, _ = corpus(name)
        rng = np.random.default_rng(7)
        header = np.arange(8 * codec.HEADER_BYTES)
        for place in (*header, *rng.integers(8 * codec.HEADER_BYTES, 8 * len(data), 3_000)):
            flipped = bytearray(data)
            flipped[place // 8] ^= 1 << int(place % 8)
            with pytest.raises(StateError, match=r"is no state of driftd|is damaged: its checksum or length"):
                codec.decode(bytes(flipped), name)


def test_newer_version_is_told_from_damage() -> None:
    body = codec.encode({"a": 1})[codec.HEADER_BYTES :]

    with pytest.raises(
        StateError, match=r"here: was written by a newer version of driftd \(format 2; this one reads up"
    ):
        codec.decode(sealed(body, codec.VERSION + 1), "here")
    with pytest.raises(StateError, match="of format 0, which this version no longer reads"):
        codec.decode(sealed(body, codec.OLDEST - 1), "here")


def test_what_follows_is_damage() -> None:
    with pytest.raises(StateError, match="is damaged: its checksum or length"):
        codec.decode(codec.encode({}) + b"\x00", "here")


def test_text_of_old_is_no_state() -> None:
    with pytest.raises(StateError, match="is no state of driftd"):
        codec.decode(b'{"a": 1}' * 10, "here")


@settings(max_examples=500, deadline=None)
@given(STATES)
@example({"a": np.array([0x7FF8DEAD00000001, 0xFFF0000000000001], dtype=np.uint64).view(np.float64)})
@example({"a": np.zeros((0, 3, 0), dtype=np.float32)})
def test_any_plain_state_comes_back_bit_for_bit(state: State) -> None:
    data = codec.encode(state)
    found = codec.decode(data, "here")

    assert described(state) == described(found)
    assert data == codec.encode(found)


@settings(max_examples=500, deadline=None)
@given(STATES, st.data())
def test_any_flip_and_any_cut_are_found(state: State, data: st.DataObject) -> None:
    encoded = codec.encode(state)
    place = data.draw(st.integers(0, 8 * len(encoded) - 1))
    flipped = bytearray(encoded)
    flipped[place // 8] ^= 1 << place % 8
    for bad in (bytes(flipped), encoded[: data.draw(st.integers(0, len(encoded) - 1))]):
        with pytest.raises(StateError, match=r"is no state of driftd|is damaged"):
            codec.decode(bad, "here")


@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for each in (data, codec.MAGIC + data):
        with pytest.raises(StateError):
            codec.decode(each, "here")
    try:  # a body of any bytes, under a checksum that is right
        codec.decode(sealed(data), "here")
    except StateError as error:
        assert "here: can't be read: " in str(error)  # noqa: PT017 - some bytes are a state


_EXT: Final = st.tuples(st.integers(0, 3), st.binary(max_size=40)).map(lambda each: msgspec.msgpack.Ext(*each))
_ODD: Final = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=3), _EXT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=1_000, deadline=None)
@given(st.one_of(st.dictionaries(st.text(max_size=3), _EXT, max_size=3), _ODD))
@example({"a": msgspec.msgpack.Ext(1, bytes([10, 1]) + struct.pack("<Q", 2**61))})  # 2**64 bytes long
@example({"a": msgspec.msgpack.Ext(1, bytes([10, 2]) + struct.pack("<2Q", 2**63, 2))})
@example({"a": msgspec.msgpack.Ext(1, bytes([10, 2]) + struct.pack("<2Q", 2**63, 0))})  # nothing, but of what shape
@example({"a": msgspec.msgpack.Ext(1, bytes([10, 0]))})
def test_no_array_of_any_shape_raises_anything_else(value: object) -> None:
    try:
        body = msgspec.msgpack.encode(value)
    except OverflowError:
        return
    try:
        codec.decode(sealed(body), "here")
    except StateError as error:
        assert "here: can't be read: " in str(error)  # noqa: PT017 - some are a state


def test_deeply_nested_is_refused() -> None:
    with pytest.raises(StateError, match="can't be read"):
        codec.decode(sealed(b"\x81\xa1a" + b"\x91" * 200_000 + b"\xc0"), "here")


@pytest.mark.parametrize(
    "value",
    [object(), 1 + 2j, np.array(["x"]), np.array([1 + 2j]), np.array([None]), 2**64, "\ud800", np.float128(1)],
    ids=["object", "complex", "texts", "complexes", "objects", "too-long", "surrogate", "float128"],
)
def test_what_is_no_plain_value_is_not_stored(value: object) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        codec.encode({"a": value})


def test_arrays_are_the_readers_own_and_of_this_machine() -> None:
    found = codec.decode(codec.encode({"a": np.arange(3, dtype=">i4")}), "here")["a"]
    found += 1

    assert ("int32", True, [1, 2, 3]) == (str(found.dtype), found.dtype.isnative, found.tolist())
