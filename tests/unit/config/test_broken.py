from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from monitor.config import load_settings
from monitor.errors import ConfigError
from tests.unit.config.broken import BROKEN, SECRET, Case

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name.replace(" ", "_"))
def test_message_names_place_and_cure_and_no_secret(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(case.yaml, encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        load_settings(file, case.env)

    message = str(caught.value)
    assert any(case.place in line and case.cure in line for line in message.splitlines()), message
    assert all(line.startswith((f"{file}", "environment ")) for line in message.splitlines()), message
    assert SECRET not in message
    assert SECRET not in repr(caught.value.__context__)


def test_there_are_at_least_thirty_and_each_has_a_name_of_its_own() -> None:
    assert len(BROKEN) >= 30
    assert len({case.name for case in BROKEN}) == len(BROKEN)
