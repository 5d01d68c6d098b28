"""Maintenance windows in the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from monitor import build
from monitor.config import Settings, load_settings
from monitor.errors import ConfigError
from monitor.silences import Maintenance
from tests.unit.config.broken import TOPICS

if TYPE_CHECKING:
    from pathlib import Path


def load(window: str, tmp_path: Path) -> Settings:
    file = tmp_path / "config.yaml"
    file.write_text(f"{TOPICS}alerts:\n  maintenance:\n    - {window}\n", encoding="utf-8")
    return load_settings(file, {})


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-12-01T02:00:00Z", "2026-12-01T03:00:00Z"),
        ("2026-12-01 02:00", "2026-12-01 03:00"),
        ('"2026-12-01T03:00:00+01:00"', '"2026-12-01T04:00:00+01:00"'),
        ("1796090400", "1796094000"),
    ],
)
def test_times_are_taken_as_people_write_them(start: str, end: str, tmp_path: Path) -> None:
    settings = load(f"{{from: {start}, to: {end}, models: fraud-*, reason: upgrade}}", tmp_path)

    assert [Maintenance(1796090400.0, 1796094000.0, ("fraud-*",), "upgrade")] == build.maintenance(settings)


def test_without_models_it_is_for_all(tmp_path: Path) -> None:
    (found,) = build.maintenance(load("{from: 2026-12-01T02:00:00Z, to: 2026-12-02T02:00:00Z}", tmp_path))

    assert (("*",), "") == (found.models, found.reason)


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ("{from: tomorrow, to: 2026-12-01T03:00:00Z}", r"maintenance\[0\].from: found 'tomorrow', not a time; write a"),
        ("{from: 2026-12-01T02:00:00Z}", r"maintenance\[0\]: has no 'to'; write a time such as"),
        ("{to: 2026-12-01T02:00:00Z}", r"maintenance\[0\]: has no 'from'"),
        (
            "{from: 2026-12-01T02:00:00Z, to: 2026-12-01T02:00:00Z}",
            r"maintenance\[0\].to: is not after 'from'; write the later time",
        ),
        ("{from: 2026-12-01T02:00:00Z, until: 2026-12-01T03:00:00Z}", r"maintenance\[0\].until: unknown key"),
        ("{start: 2026-12-01T02:00:00Z, to: 2026-12-01T03:00:00Z}", r"maintenance\[0\].start: unknown key"),
        ("{from: 2026-12-01T02:00:00Z, to: 2026-12-01T03:00:00Z, models: []}", r"maintenance\[0\].models: "),
    ],
)
def test_what_is_none_is_refused(window: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        load(window, tmp_path)
