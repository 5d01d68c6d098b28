"""The compiled reader of templates, where it was built: templates.c as a shared library, called through ctypes.

It is built when driftd is installed where there is a C compiler (see hatch_build.py). Without it everything is read by
msgspec, to the same result: only slower. Its name carries the hash of its source, so that an old one is never called.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SOURCE: Final = Path(__file__).with_name("templates.c")
EXPONENT_MIN, EXPONENT_MAX = -342, 308
ROUNDED_UP_FROM: Final = -27
PLACES: Final = 512
CODES: Final = 254
NO_TEXT: Final = 254
UNKNOWN: Final = 255
PADDING: Final = b"\0" * 8
REAL, WHOLE, NO_NUMBER = range(3)

Reader = Callable[[Any, Any, Any, Any, Any, int], int]
"""Takes a TemplateStruct and an OutputStruct, the batch, ends, messages, and how many; gives how many fit."""


class TemplateStruct(ctypes.Structure):
    """A template, as templates.c has it."""

    _fields_ = (
        ("slots", ctypes.c_int64),
        *(
            (name, ctypes.c_void_p)
            for name in ("literals", "literal_ends", "kinds", "columns", "places", "text_starts", "text_sizes", "texts")
        ),
        ("powers", ctypes.c_void_p),
    )


class OutputStruct(ctypes.Structure):
    """Where to write to, as templates.c has it."""

    _fields_ = (
        ("stride", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("numbers", "written", "codes", "starts", "sizes", "ids")),
        ("ids_size", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("atoms", "fitted", "left")),
    )


def library_path(folder: Path, source: bytes) -> Path:
    """Give where the library made of a source is."""
    return folder / f"templates-{hashlib.sha256(source).hexdigest()[:12]}.so"


def load(path: Path) -> Reader:
    """Give the reader in a library. Raises OSError where it can't be loaded here, AttributeError where it has none."""
    found = ctypes.CDLL(str(path)).driftd_read
    found.restype = ctypes.c_int64
    pointer = ctypes.c_void_p
    found.argtypes = [pointer, pointer, ctypes.c_char_p, pointer, pointer, ctypes.c_int64]
    read: Reader = found
    return read


@cache
def reader() -> Reader | None:
    """Give the compiled reader; None where it was not built, or can't be loaded here."""
    if not SOURCE.is_file():
        return None
    try:
        return load(library_path(SOURCE.parent, SOURCE.read_bytes()))
    except (OSError, AttributeError):
        return None


@cache
def powers_of_five() -> NDArray[np.uint64]:
    """Give 5**q in 128 bits for each exponent q, high half first: cut, but small inverses rounded up (Lemire 2021)."""
    found = []
    for q in range(EXPONENT_MIN, EXPONENT_MAX + 1):
        power = 5 ** abs(q)
        if q >= 0:
            bits = power.bit_length()
            value = power << (128 - bits) if bits <= 128 else power >> (bits - 128)
        else:
            value = (1 << (power.bit_length() + 127)) // power + (q >= ROUNDED_UP_FROM)
        found += [value >> 64, value & (2**64 - 1)]
    return np.array(found, dtype=np.uint64)


def hash_of(text: bytes) -> int:
    """Give the hash of a text, as templates.c has it."""
    found, mask = len(text), 2**64 - 1
    for at in range(0, len(text), 8):
        found = (found ^ int.from_bytes(text[at : at + 8], "little")) * 0x9E3779B97F4A7C15 & mask
        found ^= found >> 32
    return found
