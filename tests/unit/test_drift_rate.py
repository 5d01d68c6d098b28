"""Model drift rate: windows in which a drift test was beyond its threshold, by all windows that were judged."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.domain import AlertState
from monitor.pipeline import Pipeline
from monitor.rules import KPI, Level
from tests.golden.traffic import SOURCE, START_S, feed, finished, pipeline, rule, steady
from tests.unit.state.keeping import Kept

PSI = rule("psi", "psi", ["features.amount"], windows_s=(60.0,))
EVERY_S = 3
"""How often a window of a minute is looked at."""
PER_S = 50
SHIFTED_S, END_S = 120, 300


def shifted(number: int, content: dict[str, Any]) -> None:
    if number >= SHIFTED_S * PER_S:
        content["features"]["amount"] += 1.5


def counted(made: Pipeline) -> tuple[int, int]:
    """Give yes and no of the stream `drifted`, of the longest window."""
    rows = {key.field: row for row, key in enumerate(made._table.flags.keys)}
    total = made._ladders[2].windows[-1].total(made._table.flags.size).reshape(-1, 4)
    return (int(total[rows["drifted"], 1]), int(total[rows["drifted"], 0])) if "drifted" in rows else (0, 0)


def test_looks_at_windows_are_counted_as_drifted_or_not() -> None:
    made = pipeline(rules=[PSI])
    step = finished(made, steady(5, END_S * PER_S, PER_S, shifted))
    fired_s = next(t.time_s for t in step.transitions if t.alert.state is AlertState.FIRING) - START_S
    yes, no = counted(made)
    learned_s = 2_000 // PER_S

    assert yes + no == pytest.approx((END_S - learned_s) / EVERY_S, abs=2)
    assert yes == pytest.approx((END_S - fired_s) / EVERY_S, abs=1)
    assert SHIFTED_S < fired_s < SHIFTED_S + 40


def test_rate_is_a_kpi_and_rules_can_be_put_on_it() -> None:
    rules = [
        PSI,
        rule("drift_rate", "yes_rate", ["drifted"], yellow=Level(0.1), red=Level(0.5), samples_min=20),
        rule("same", KPI, ["model_drift_rate"], yellow=Level(0.1), red=None, samples_min=20),
        rule("all", "yes_rate", ["*"], yellow=Level(0.9), red=None),
    ]
    made = pipeline(rules=rules)
    step = finished(made, steady(5, END_S * PER_S, PER_S, shifted))
    yes, no = counted(made)
    (kpi,) = [each for each in made.picture().kpis if (each.name, each.window) == ("model_drift_rate", "1h")]

    assert (yes / (yes + no), yes + no) == (kpi.value, kpi.samples)
    assert {"drift_rate", "same"} <= {t.alert.rule for t in step.transitions if t.alert.state is AlertState.FIRING}
    assert "all" not in {t.alert.rule for t in step.transitions}


def test_what_was_seen_and_not_counted_yet_outlives_a_restart() -> None:
    messages = steady(5, 150 * PER_S, PER_S)
    whole = pipeline(rules=[PSI])
    finished(whole, messages)
    first, kept = pipeline(rules=[PSI]), Kept()
    for stop in range(3_000, 3_200, 50):
        feed(first, messages[stop - 50 if stop > 3_000 else 0 : stop])
        kept.save(first.sections())
        first = pipeline(rules=[PSI])
        first.restore(kept.states())
        first.assign(SOURCE)
    finished(first, messages[3_150:])

    assert counted(whole) == counted(first)
    assert sum(counted(whole)) > 30
