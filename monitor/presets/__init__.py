"""Presets: the rules that a kind of deployment is told to have, as YAML beside this module.

A preset is an entry of `models` without `match`, owner and runbook, which are the user's. Its first comment says what
it is for. A new one is one file here, and one section in docs/presets.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

SUFFIX: Final = ".yaml"


@cache
def names() -> tuple[str, ...]:
    """Give the names of all presets, in alphabetical order."""
    found = (each.name for each in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX)))


def text(name: str) -> str:
    """Give a preset as it is written. Raises KeyError where there is none of this name."""
    if name not in names():
        raise KeyError(name)
    return (resources.files(__name__) / f"{name}{SUFFIX}").read_text(encoding="utf-8")


def summary(name: str) -> str:
    """Give what a preset is for, in a sentence. Raises KeyError."""
    return text(name).partition("\n")[0].removeprefix("# ")


def entry(name: str) -> Mapping[str, Any]:
    """Give a preset as an entry of `models`. Raises KeyError."""
    found: Mapping[str, Any] = yaml.safe_load(text(name))
    return found
