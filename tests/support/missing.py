"""What a test does where a real part, or data beside the repository, is not there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def is_ci() -> bool:
    """Tell whether this is CI, where every part must be there."""
    return os.environ.get("CI") == "true"


def missing(reason: str) -> NoReturn:
    """Skip the test on a person's machine, fail it in CI."""
    if is_ci():
        pytest.fail(f"CI needs every real part: {reason}", pytrace=False)
    pytest.skip(reason)
