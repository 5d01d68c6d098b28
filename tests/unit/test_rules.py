"""Which rule is for which field, and how sure a look must be."""

from __future__ import annotations

import math

import pytest

from monitor.rules import DRIFT_SHARE, LOOKS_PER_WINDOW, Budget, Level, Rule
from monitor.sequential.budget import OVERSHOOT


def rule(*fields: str, yellow: Level | None = None, red: Level | None = None) -> Rule:
    return Rule("r", "psi", fields, yellow, red, (60.0,))


WATCHED = {
    "a name": (("score",), "score", True),
    "another name": (("score",), "scores", False),
    "a glob": (("features.*",), "features.age", True),
    "a glob over dots": (("features.*",), "features.user.age", True),
    "a glob of another prefix": (("features.*",), "feature.age", False),
    "everything": (("*",), "latency_s", True),
    "the second of two": (("score", "prediction"), "prediction", True),
    "case matters": (("Score",), "score", False),
    "no fields": ((), "score", False),
}


@pytest.mark.parametrize(("fields", "name", "is_watched"), WATCHED.values(), ids=WATCHED.keys())
def test_rule_watches_its_fields(fields: tuple[str, ...], name: str, *, is_watched: bool) -> None:
    assert is_watched == rule(*fields).watches(name)


@pytest.mark.parametrize(
    ("yellow", "red", "is_relative"),
    [
        (None, None, False),
        (Level(1), Level(2), False),
        (Level(1), Level(2, is_relative=True), True),
        (Level(1, is_relative=True), None, True),
    ],
)
def test_rule_is_relative_if_any_level_is(yellow: Level | None, red: Level | None, *, is_relative: bool) -> None:
    assert is_relative == rule("x", yellow=yellow, red=red).is_relative


def test_level_is_written_as_in_the_configuration() -> None:
    assert ["0.25", "1.5x", "300"] == [str(x) for x in (Level(0.25), Level(1.5, is_relative=True), Level(300.0))]


def test_evidence_needed_shares_the_budget_over_lines_windows_and_looks() -> None:
    budget = Budget(pages=2.0, period_s=86_400.0)

    needed = budget.evidence_needed(50, (60.0, 600.0))

    looks = LOOKS_PER_WINDOW * (86_400 / 60 + 86_400 / 600)
    assert pytest.approx(math.log(50 * looks / (2.0 * (1.0 - DRIFT_SHARE)))) == needed


def test_budget_is_shared_between_drift_and_the_other_rules() -> None:
    """The mean time to a false alarm of each is the period over its pages; both together cost all of them."""
    budget = Budget(pages=2.0, period_s=1e6)

    times_s = [OVERSHOOT * math.exp(nats) for nats in (budget.drift_nats(1), budget.line_nats(1))]

    assert pytest.approx(2.0) == sum(budget.period_s / time_s for time_s in times_s)


def test_each_stream_and_each_line_has_an_equal_share() -> None:
    budget = Budget()

    assert pytest.approx(math.log(200)) == budget.drift_nats(200) - budget.drift_nats(1)
    assert pytest.approx(math.log(200)) == budget.line_nats(200) - budget.line_nats(1)


def test_more_lines_and_fewer_pages_need_more_evidence() -> None:
    windows_s = (60.0, 600.0)

    assert Budget().evidence_needed(10, windows_s) < Budget().evidence_needed(1_000, windows_s)
    assert Budget(pages=5).evidence_needed(10, windows_s) < Budget(pages=1).evidence_needed(10, windows_s)


def test_evidence_needed_is_never_nothing() -> None:
    assert pytest.approx(math.log(2)) == Budget(pages=1e12).evidence_needed(1, (3600.0,))
    assert 1.0 == Budget(pages=1e12).drift_nats(1) == Budget(pages=1e12).line_nats(1)
    assert pytest.approx(math.log(2)) == Budget().evidence_needed(0, ())
