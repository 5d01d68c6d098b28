"""The programs that check what is deployed. Missing: the tests that need them skip, and fail in CI."""

from __future__ import annotations

from tests.support.missing import missing
from tests.support.process import Unavailable
from tests.support.prometheus import find_program


def program(*names: str) -> str:
    """Give the path of the first of these that is installed; else skip the test, or fail it in CI."""
    try:
        return find_program(*names)
    except Unavailable as reason:
        missing(str(reason))
