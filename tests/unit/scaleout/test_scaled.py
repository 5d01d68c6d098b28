"""What folds and judges refuse before they begin."""

from __future__ import annotations

import pytest

from monitor.board import Board
from monitor.config import Settings
from monitor.errors import ConfigError
from monitor.scaled import fold_app, judge_app


@pytest.mark.parametrize("make", [fold_app, judge_app])
def test_outcomes_of_several_topics_are_refused_with_the_cure(make: object) -> None:
    settings = Settings.model_validate({"kafka": {"topics": ["asked", "told"]}, "outcomes": {"join": "always"}})

    with pytest.raises(ConfigError, match=r"always with 2 topics.*to the topic of their inferences.*request_id"):
        make(settings, Board())  # type: ignore[operator]
