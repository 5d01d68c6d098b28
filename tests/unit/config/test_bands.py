"""Bands as people write them: a budget and a margin, windows in a row, and what a person should do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import Settings, load_settings
from monitor.config.units import Limit
from monitor.errors import ConfigError
from monitor.plans import Plans
from tests.unit.config.broken import PEOPLE, TOPICS

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.rules import Rule


def load(thresholds: str, tmp_path: Path, alerts: str = PEOPLE) -> Settings:
    file = tmp_path / "config.yaml"
    file.write_text(f"{TOPICS}{alerts}models:\n  - thresholds:\n      {thresholds}\n", encoding="utf-8")
    return load_settings(file, {})


def rule(settings: Settings, name: str) -> Rule:
    (found,) = (rule for rule in Plans(settings)("m", "").rules if rule.name == name)
    return found


def levels(found: Rule) -> list[float | None]:
    return [None if level is None else level.value for level in (found.yellow, found.red)]


@pytest.mark.parametrize(
    ("text", "value", "told"),
    [
        ("1.5s + 15%", 1.725, "1500ms + 15%"),
        ("1.5s+15%", 1.725, "1500ms + 15%"),
        ("2x + 10%", 2.2, "2x + 10%"),
        ("0.9 - 5%", 0.855, "0.9 - 5%"),
        ("100 + 12.5 %", 112.5, "100 + 12.5%"),
    ],
)
def test_limit_may_have_a_margin(text: str, value: float, told: str) -> None:
    found = Limit.parse(text)

    assert pytest.approx(value) == found.value
    assert told == str(found)


@given(st.floats(0.001, 1e6), st.floats(0.1, 99.0), st.sampled_from("+-"))
def test_limit_that_is_written_out_and_read_again_is_the_same(base: float, percent: float, sign: str) -> None:
    found = Limit.parse(f"{base:.3f} {sign} {percent:.1f}%")

    assert pytest.approx(found.value, rel=1e-5) == Limit.parse(str(found)).value


def test_margin_of_a_rule_lies_beyond_both_bands_on_their_bad_side(tmp_path: Path) -> None:
    slow = "slow: {statistic: p95, fields: [latency_s], yellow: 2s, red: 4s, margin: 15%}"
    lost = "lost: {statistic: yes_rate, fields: [success], direction: below, yellow: 0.9, red: 0.5, margin: 0.1}"
    settings = load(f"{slow}\n      {lost}", tmp_path)

    assert [pytest.approx(2.3), pytest.approx(4.6)] == levels(rule(settings, "slow"))
    assert [pytest.approx(0.81), pytest.approx(0.45)] == levels(rule(settings, "lost"))


def test_margin_that_a_limit_has_itself_stays(tmp_path: Path) -> None:
    settings = load('latency_p95: {yellow: "2s + 5%", red: 3s, margin: 10%}', tmp_path)

    assert [pytest.approx(2.1), pytest.approx(3.3)] == levels(rule(settings, "latency_p95"))
    assert ["2s + 5%", "3s + 10%"] == [
        str(rule(settings, "latency_p95").yellow),
        str(rule(settings, "latency_p95").red),
    ]


def test_margin_alone_widens_a_built_in_rule(tmp_path: Path) -> None:
    found = rule(load("latency_p95: {margin: 20%}", tmp_path), "latency_p95")

    assert [pytest.approx(1.5), pytest.approx(1.8)] == levels(found)
    assert found.is_relative


def test_relative_limit_with_a_margin_replaces_no_relative_one(tmp_path: Path) -> None:
    found = rule(load('latency_p95: {yellow: "1.25x + 15%"}', tmp_path), "latency_p95")

    assert [pytest.approx(1.4375), 1.5] == levels(found)


def test_response_comes_from_the_nearest_that_has_one(tmp_path: Path) -> None:
    people = "alerts: {owner: me, runbook: book, response: look}\n"
    settings = load("psi: {response: retrain}\n      ks: {red: 0.3}", tmp_path, people)

    assert ("retrain", "look") == (rule(settings, "psi").response, rule(settings, "ks").response)


@pytest.mark.parametrize(
    ("thresholds", "told"),
    [
        ('psi: {red: "0.2 + x%"}', r"red: found '0.2 \+ x%', not a limit; write a number"),
        ('psi: {red: "0.2 - 100%"}', r"red: found '0.2 - 100%', which leaves nothing; take off less than 100%"),
        ("psi: {margin: wide}", "margin: found 'wide', not a share; write a share such as 0.15"),
        ("unsafe_rate: {yellow: 0.5, red: 0.95, margin: 10%}", r"red: found 0.95 \+ 10%; yes_rate is at most 1"),
        ('psi: {yellow: "0.25 + 50%", red: 0.3}', r"red: yellow 0.25 \+ 50% is above red 0.3"),
        ("drift: {for_windows: 2}", "for_windows: drift is not judged in windows; leave it out, or write for_s"),
        ("silence: {for_windows: 2}", "for_windows: silence is not judged in windows"),
        ("psi: {for_windows: 0}", "for_windows: "),
    ],
)
def test_bands_that_make_no_sense_are_refused_with_the_cure(thresholds: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        load(thresholds, tmp_path)


def test_windows_in_a_row_that_reach_back_beyond_what_is_kept_are_refused(tmp_path: Path) -> None:
    settings = load("psi: {windows: [12h], for_windows: 3}", tmp_path)

    with pytest.raises(ConfigError, match=r"3 windows of 12h reach back further than the 1d that counts are kept for"):
        Plans(settings)


def test_check_says_the_bands_as_they_were_written(tmp_path: Path) -> None:
    from monitor.checking import _rule_text  # noqa: PLC0415 - the words of one line

    slow = 'slow: {statistic: p95, fields: [latency_s], yellow: "1.5s + 15%", windows: [5m], for_windows: 2}'

    assert _rule_text(rule(load(slow, tmp_path), "slow")).endswith(
        "yellow > 1500ms + 15% (sev4); windows 5m, 2 in a row"
    )
