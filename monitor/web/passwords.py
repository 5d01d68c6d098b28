"""Basic authentication against bcrypt hashes, so that guessing is slow and costs us little.

A hash takes some 0.05 to 4 s of a processor. So they are computed on a thread, one at a time; what was found is
remembered; after a wrong guess the next hash waits, so that guesses take at most a quarter of one processor however
many come; and of each client's guesses few may wait. An unknown name takes as long as a known one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

import bcrypt
from starlette.concurrency import run_in_threadpool

REMEMBERED_MAX: Final = 128  # of right ones, and as many wrong ones
WAITING_MAX: Final = 16
WAITING_PER_CLIENT_MAX: Final = 4
REST: Final = 3.0  # after a wrong guess, times what the guess took
PASSWORD_BYTES_MAX: Final = 72  # bcrypt looks at no more, and the library refuses more
_SALT_AND_HASH: Final = "." * 53
_KEY_BYTES: Final = 32


class Verdict(Enum):
    """What came of asking. BUSY: too many others are being asked."""

    YES = "yes"
    NO = "no"
    BUSY = "busy"


class Passwords:
    """Checks credentials. For one event loop."""

    def __init__(self, checked: Callable[[bytes, bytes], bool] = bcrypt.checkpw) -> None:
        self._checked = checked
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()
        self._waiting: Counter[str] = Counter()

    async def ask(self, users: Mapping[str, str], header: str, client: str) -> Verdict:
        """Tell whether the Authorization header names one of the users (name -> hash) with the right password."""
        found = credentials(header)
        if found is None:
            return Verdict.NO
        name, password = found
        hashed = users.get(name) or _decoy(users)
        # Keyed, so that what is remembered is no store of passwords; with the hash, so that a new one forgets the old.
        mark = hmac.digest(self._key, repr((name, hashed, password)).encode(), "sha256")
        known = self._known(mark)
        if known is not None:
            return known
        if self._waiting[client] >= WAITING_PER_CLIENT_MAX or self._waiting.total() >= WAITING_MAX:
            return Verdict.BUSY
        self._waiting[client] += 1
        try:
            async with self._one_at_a_time:
                return self._known(mark) or await self._compute(mark, password, hashed, is_known=name in users)
        finally:
            self._waiting[client] -= 1
            self._waiting += Counter()  # drops those at zero

    async def _compute(self, mark: bytes, password: bytes, hashed: str, *, is_known: bool) -> Verdict:
        began_s = time.monotonic()
        matches = await run_in_threadpool(self._checked, password[:PASSWORD_BYTES_MAX], hashed.encode())
        is_right = matches and is_known and len(password) <= PASSWORD_BYTES_MAX
        remembered = self._right if is_right else self._wrong
        remembered[mark] = None
        if len(remembered) > REMEMBERED_MAX:
            remembered.popitem(last=False)
        if not is_right:
            await asyncio.sleep(REST * (time.monotonic() - began_s))
        return Verdict.YES if is_right else Verdict.NO

    def _known(self, mark: bytes) -> Verdict | None:
        for remembered, verdict in ((self._right, Verdict.YES), (self._wrong, Verdict.NO)):
            if mark in remembered:
                remembered.move_to_end(mark)
                return verdict
        return None


def credentials(header: str) -> tuple[str, bytes] | None:
    """Give name and password of a header for basic authentication; None where it is none."""
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
        name, colon, password = decoded.partition(b":")
        return (name.decode("utf-8"), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def cost_of(hashed: str) -> int:
    """Give the cost of a bcrypt hash: each step doubles the time."""
    return int(hashed[4:6])


def _decoy(users: Mapping[str, str]) -> str:
    """Give a hash that no password has, as costly as the costliest, so that time does not tell which names exist."""
    return f"$2b${max(map(cost_of, users.values()), default=10):02d}${_SALT_AND_HASH}"
