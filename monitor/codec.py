"""State as bytes: a header that says what it is, then MessagePack, in which arrays are raw little-endian numbers.

Nothing in it is ever run: reading makes plain values only (see kept), of types that are listed here. A checksum over
version, length and content tells damage from a newer version, and both from what is no state at all; so the header
stays as it is in every version to come.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.errors import StateError
from monitor.kept import State

MAGIC: Final = b"driftd\x00\x01"
VERSION: Final = 1
"""Of this format. A reader takes all up to its own; a newer one it refuses."""
OLDEST: Final = 1
ARRAY: Final = 1
"""MessagePack's extension type of an array."""
DTYPES: Final = ("|b1", "|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4", "<i8", "<f4", "<f8")
"""All that arrays may be; their place is their number in the format, so the order never changes."""
DIMENSIONS_MAX: Final = 8
_HEADER: Final = struct.Struct("<8sIHQ")
"""Magic, checksum of all that follows, version, length of the body."""
_COVERED: Final = struct.Struct("<HQ")
HEADER_BYTES: Final = _HEADER.size
_ARRAY: Final = struct.Struct("<BB")


def encode(state: State) -> bytes:
    """Give a state as bytes. Raises TypeError or ValueError for what is no plain value (see kept).

    Text must be Unicode: lone surrogates, which no event that is let in can hold, are a ValueError.
    """
    body = _encoder.encode(state)
    return _HEADER.pack(MAGIC, _checksum(VERSION, body), VERSION, len(body)) + body


def decode(data: bytes, what: str) -> State:
    """Give the state that bytes hold; arrays are the caller's own. what: names it in errors.

    Raises StateError: no state, damaged, or of a version that this one can't read.
    """
    check(data, what)
    admit(data, what)
    try:
        state = _decoder.decode(memoryview(data)[_HEADER.size :])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StateError(f"{what}: can't be read: {error}") from None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise StateError(f"{what}: can't be read: it is no table of values")
    return state


def admit(data: bytes, what: str) -> None:
    """See that a state, which is one, is of a version that this one reads. Raises StateError."""
    version = int(_HEADER.unpack_from(data)[2])
    if version > VERSION:
        raise StateError(
            f"{what}: was written by a newer version of driftd (format {version}; this one reads up to {VERSION}):"
            " run that version, or one newer still"
        )
    if version < OLDEST:
        raise StateError(f"{what}: is of format {version}, which this version no longer reads")


def check(data: bytes, what: str) -> None:
    """See that data is a state, of whichever version, as it was written. Raises StateError."""
    length = body_bytes(data, what)
    _, checksum, version, _ = _HEADER.unpack_from(data)
    body = memoryview(data)[_HEADER.size :]
    if len(body) != length or _checksum(version, body) != checksum:
        raise StateError(f"{what}: is damaged: its checksum or length is not what was written")


def body_bytes(data: bytes, what: str) -> int:
    """Give how many bytes follow the header that data begins with. Raises StateError when it begins with none."""
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        raise StateError(f"{what}: is no state of driftd")
    return int(_HEADER.unpack_from(data)[3])


def checksum(data: bytes) -> int:
    """Give the checksum in the header of data, 32 bits."""
    return int(_HEADER.unpack_from(data)[1])


def _checksum(version: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(_COVERED.pack(version, len(body))))


def _to_ext(value: object) -> object:
    if isinstance(value, np.ndarray):
        return msgspec.msgpack.Ext(ARRAY, _packed(value))
    if isinstance(value, np.generic) and not isinstance(plain := value.item(), np.generic):
        return plain
    raise TypeError(f"{type(value).__name__} is no plain value")


def _packed(array: npt.NDArray[Any]) -> bytearray:
    name = array.dtype.newbyteorder("<").str
    if name not in DTYPES or array.ndim > DIMENSIONS_MAX:
        raise TypeError(f"arrays of {array.dtype} and {array.ndim} dimensions are no plain values")
    head = _ARRAY.pack(DTYPES.index(name), array.ndim) + struct.pack(f"<{array.ndim}Q", *array.shape)
    packed = bytearray(len(head) + array.nbytes)  # filled in place, since the numbers are nearly all of a state
    packed[: len(head)] = head
    np.ndarray(array.shape, name, packed, len(head))[...] = array
    return packed


def _from_ext(code: int, data: memoryview) -> npt.NDArray[Any]:
    if code != ARRAY:
        raise ValueError(f"unknown extension type {code}")
    try:
        kind, dimensions = _ARRAY.unpack_from(data)
        if kind >= len(DTYPES) or dimensions > DIMENSIONS_MAX:
            raise ValueError("unknown type of array")
        shape = struct.unpack_from(f"<{dimensions}Q", data, _ARRAY.size)
    except struct.error:
        raise ValueError("array cut short") from None
    raw = data[_ARRAY.size + 8 * dimensions :]
    dtype = np.dtype(DTYPES[kind])
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError("array of another length than its shape")
    return np.frombuffer(raw, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="))


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=_to_ext)
_decoder: Final = msgspec.msgpack.Decoder(ext_hook=_from_ext)
