"""Protocol Buffers on the wire: fields by number, as https://protobuf.dev/programming-guides/encoding says.

A profile is read by the numbers of a few fields; that is no reason to generate classes for all of them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

Value = int | float | bytes
VARINT_BYTES_MAX: Final = 10


class Message(dict[int, list[Value]]):
    """The fields of one message, each with all of its values in order. Raises ValueError for what is none."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        at = 0
        while at < len(data):
            tag, at = varint(data, at)
            value, at = _value(data, at, tag & 7)
            self.setdefault(tag >> 3, []).append(value)

    def number(self, field: int, default: int = 0) -> int:
        """Give the last value of a whole-number field."""
        found = self[field][-1] if field in self else default
        if not isinstance(found, int):
            raise ValueError(f"field {field} is no whole number")  # noqa: TRY004 - of data, not of code
        return found

    def raw(self, field: int) -> bytes:
        """Give the last value of a field of bytes, text or a message, empty if there is none."""
        return self.raws(field)[-1] if field in self else b""

    def raws(self, field: int) -> Sequence[bytes]:
        """Give all values of a repeated field of bytes, text or messages."""
        found = self.get(field, [])
        if not all(isinstance(each, bytes) for each in found):
            raise ValueError(f"field {field} is not of bytes")
        return [each for each in found if isinstance(each, bytes)]

    def messages(self, field: int) -> Sequence[Message]:
        """Give all values of a repeated field of messages; a map is one of entries: 1 the key, 2 the value."""
        return [Message(each) for each in self.raws(field)]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Give the number that begins at a place, and where it ends. Raises ValueError where it does not."""
    value = 0
    for number, byte in enumerate(data[at : at + VARINT_BYTES_MAX]):
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return value, at + number + 1
    raise ValueError("cut short within a number")


def packed(data: bytes) -> list[int]:
    """Give the numbers of a packed field."""
    out, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        out.append(value)
    return out


def delimited(data: bytes, at: int) -> tuple[bytes, int]:
    """Give what stands behind its own length at a place, and where it ends."""
    length, at = varint(data, at)
    if at + length > len(data):
        raise ValueError(f"cut short: {length} bytes expected, {len(data) - at} left")
    return data[at : at + length], at + length


def _value(data: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return varint(data, at)
    if kind == 2:
        return delimited(data, at)
    size = {1: 8, 5: 4}.get(kind)
    if size is None or at + size > len(data):
        raise ValueError(f"no field of a known kind (found {kind})" if size is None else "cut short within a number")
    return float(struct.unpack_from("<d" if size == 8 else "<f", data, at)[0]), at + size
