"""Error budgets in the configuration: what they mean, and what is refused with the cure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from monitor import build
from monitor.checking import _rule_text
from monitor.errors import ConfigError
from monitor.plans import Plans
from monitor.rules import Burn
from tests.unit.config.test_bands import load, rule

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400.0


def test_objective_alone_is_told_by_the_workbooks_burns(tmp_path: Path) -> None:
    found = rule(load("availability: {statistic: burn, objective: 99.9%}", tmp_path), "availability")

    assert found.objective is not None
    assert [pytest.approx(0.999), 30 * DAY_S] == [found.objective.share, found.objective.period_s]
    assert ("error",) == found.fields
    assert (
        Burn(14.4, 3600.0, 300.0, is_red=True),
        Burn(6.0, 21_600.0, 1800.0, is_red=True),
        Burn(1.0, 3 * DAY_S, 21_600.0, is_red=False),
    ) == found.objective.burns


def test_burns_of_ones_own_take_their_place(tmp_path: Path) -> None:
    burns = "burns: [{factor: 5, windows: [1m, 2h]}]"
    own = f"safe: {{statistic: burn, fields: [unsafe], objective: 0.99, period_s: 7d, {burns}}}"
    found = rule(load(own, tmp_path), "safe").objective

    assert found is not None
    assert ((Burn(5.0, 7200.0, 60.0, is_red=True),), (60.0, 7200.0, 7 * DAY_S)) == (found.burns, found.windows_s)


def test_its_windows_are_kept_for_yes_and_no_alone(tmp_path: Path) -> None:
    terms = build.pipeline_terms(load("availability: {statistic: burn, objective: 99.9%}", tmp_path))

    assert (60.0, 600.0, 3600.0) == terms.windows_s
    assert (300.0, 1800.0, 3600.0, 21_600.0, 3 * DAY_S, 30 * DAY_S) == terms.burn_windows_s
    assert terms.budget.has_burn


def test_without_an_error_budget_nothing_is_kept_for_it(tmp_path: Path) -> None:
    terms = build.pipeline_terms(load("psi: {red: 1}", tmp_path))

    assert ((), False) == (terms.burn_windows_s, terms.budget.has_burn)


def test_check_says_when_it_is_told(tmp_path: Path) -> None:
    found = rule(load("availability: {statistic: burn, objective: 99.9%}", tmp_path), "availability")

    assert _rule_text(found).endswith(
        "burn of error: yellow > 1x in 3d and 6h (sev4), red > 14.4x in 1h and 5m or 6x in 6h and 30m (sev3)"
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{statistic: burn}", "availability: has no objective; add the share of good events"),
        ("{statistic: burn, objective: 100%}", "objective: found '100%'; less than 1 is allowed"),
        ("{statistic: burn, objective: most}", "objective: found 'most', not a share"),
        ("{statistic: burn, objective: 0.9, red: 2}", "red: burn's bands are its burns; leave it out"),
        ("{statistic: burn, objective: 0.9, windows: [1h]}", "windows: burn's bands are its burns"),
        ("{statistic: burn, objective: 0.9, for_windows: 2}", "for_windows: burn has a short window for that"),
        (
            "{statistic: burn, objective: 0.9, burns: [{factor: 2, windows: [1h, 5m]}]}",
            r"burns\[0\].windows: 1h is not shorter than 5m; write the short window first",
        ),
        (
            "{statistic: burn, objective: 0.9, period_s: 1h, burns: [{factor: 2, windows: [1m, 2h]}]}",
            r"burns\[0\].windows: 2h is longer than the period, 1h",
        ),
        (
            "{statistic: burn, objective: 0.9, burns: [{factor: 2, windows: [1500ms, 1h]}]}",
            r"burns\[0\].windows\[0\]: found 1500ms, not a multiple of time.pane_s",
        ),
        ("{statistic: yes_rate, fields: [error], red: 0.1, objective: 0.9}", "objective: yes_rate has none"),
        ("{statistic: burn, objective: 0.9, burns: []}", "burns: "),
    ],
)
def test_what_makes_no_sense_is_refused(given: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        load(f"availability: {given}", tmp_path)


def test_field_that_has_no_yes_is_refused(tmp_path: Path) -> None:
    settings = load("slow: {statistic: burn, fields: [latency_s], objective: 0.9}", tmp_path)

    with pytest.raises(ConfigError, match="'burn' can't judge the field 'latency_s'"):
        Plans(settings)
