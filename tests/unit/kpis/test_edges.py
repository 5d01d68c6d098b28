"""Where a KPI knows less than its value seems to say: nothing seen, too few seen, beyond the grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.bins import ARENA_OF, NULLS
from monitor.domain import Kind
from monitor.kpis import KPIS
from monitor.kpis.base import UNKNOWN, Estimate, StreamCounts
from monitor.kpis.calibration import CONFIDENCE, reliability_bins
from monitor.kpis.compare import GroupDifference, change_of, lift_of
from monitor.kpis.limits import complement, difference_of, mean_limits, moments_of, quotient_of, ratio_of, share_of
from monitor.kpis.shares import shares_by_category
from monitor.kpis.traffic import per_time
from tests.unit.kpis.cells import EXPONENT, binary, flags, logs, names, numbers, regression

ALPHA = 0.05
SHARES = st.builds(
    lambda hits, misses: share_of(hits, hits + misses, ALPHA), st.integers(0, 500), st.integers(0, 500)
).filter(lambda estimate: estimate.samples > 0)


def test_cost_per_success_without_a_success_is_infinite_and_has_a_least() -> None:
    cell = {"success_cost_usd": logs([1.0] * 50), "success": flags(0, 50)}
    value, low, high, samples = KPIS["cost_per_success"].estimate(cell, ALPHA)

    assert (math.inf, math.inf, 50) == (value, high, samples)
    assert 1.0 / share_of(0, 50, ALPHA).high * 0.97 < low < math.inf


def test_cost_without_outcomes_is_unknown_per_success() -> None:
    assert UNKNOWN.samples == KPIS["cost_per_success"].estimate({"success_cost_usd": logs([1.0])}, ALPHA).samples


def test_a_mean_of_one_value_is_not_bounded_above_unless_values_are() -> None:
    assert math.inf == KPIS["mae"].estimate({"abs_error": logs([2.0])}, ALPHA).high
    assert 1.0 == KPIS["brier"].estimate({"brier": logs([0.2])}, ALPHA).high


def test_amounts_that_were_all_nothing_are_bounded_by_their_ceiling_alone() -> None:
    brier = KPIS["brier"].estimate({"brier": logs([0.0] * 100)}, ALPHA)

    assert (0.0, 0.0) == brier[:2]
    assert share_of(0, 100, ALPHA).high == pytest.approx(brier.high)
    assert math.inf == KPIS["mae"].estimate({"abs_error": logs([0.0] * 100)}, ALPHA).high


@given(st.floats(0.001, 100.0))
def test_values_that_never_vary_are_told_within_the_grid(cost: float) -> None:
    value, low, high, _ = KPIS["cost_per_prediction"].estimate({"cost_usd": logs([cost] * 30)}, ALPHA)

    assert cost == pytest.approx(value, rel=0.01)
    assert low < cost < high < 1.025 * low


def test_values_beyond_the_grid_leave_no_upper_end() -> None:
    beyond = 2.0 ** (EXPONENT + 27) * 3
    cell = regression([beyond, 1.0, 2.0], [0.0, 0.0, 0.0])

    assert math.inf == KPIS["mae"].estimate(cell, ALPHA).high
    assert math.inf == KPIS["rmse"].estimate(cell, ALPHA).high
    assert math.inf == KPIS["bias"].estimate(cell, ALPHA).high
    assert math.isfinite(KPIS["bias"].estimate(cell, ALPHA).low)
    assert -math.inf == KPIS["bias"].estimate(regression([0.0, 1.0], [beyond, 1.0]), ALPHA).low


def test_bias_has_the_sign_of_prediction_less_label() -> None:
    low, high = ([1.0, 2.0, 3.0] * 20, [1.5, 2.5, 3.5] * 20)

    assert KPIS["bias"].estimate(regression(low, high), ALPHA).high < 0.0
    assert KPIS["bias"].estimate(regression(high, low), ALPHA).low > 0.0


def test_a_quantile_of_too_few_values_has_open_ends() -> None:
    few, enough = ({"latency_s": logs(np.linspace(1.0, 2.0, n))} for n in (367, 368))

    assert math.inf == KPIS["latency_p99"].estimate(few, ALPHA).high
    assert math.isfinite(KPIS["latency_p99"].estimate(enough, ALPHA).high)
    assert 0.0 == KPIS["latency_p50"].estimate({"latency_s": logs([1.0])}, ALPHA).low


def test_a_quantile_below_the_grid_ends_where_the_grid_starts() -> None:
    tiny = 2.0 ** (EXPONENT - 1)
    value, low, high, _ = KPIS["latency_p50"].estimate({"latency_s": logs([tiny] * 50)}, ALPHA)

    assert (0.0, 0.0) == (value, low)
    assert tiny < high < 4 * tiny


def test_an_evaluation_in_numbers_outside_of_its_grid_has_an_open_end() -> None:
    value, low, high, _ = KPIS["user_feedback"].estimate({"feedback": numbers([0.1, 0.2, 7.0])}, ALPHA)

    assert math.isfinite(low)
    assert low < value < high == math.inf


def test_f1_where_nothing_is_predicted_positive_is_zero_and_where_nothing_is_positive_unknown() -> None:
    missed = binary([0.1, 0.2], [1.0, 0.0])

    assert (0.0, 0.0) == KPIS["f1"].estimate(missed, ALPHA)[:2]
    assert math.isnan(KPIS["f1"].estimate(binary([0.1, 0.2], [0.0, 0.0]), ALPHA).value)


def test_f1_of_streams_that_count_different_rows_is_unknown() -> None:
    assert math.isnan(KPIS["f1"].estimate({"precision": flags(5, 1)}, ALPHA).value)


def test_pairs_beyond_those_told_are_left_out_of_macro_f1() -> None:
    cell = {"confusion": names(["a > a", "b > b", "c > c", "c > a"], ["a > a", "b > b"])}

    assert (1.0, 2) == KPIS["macro_f1"].estimate(cell, ALPHA)[::3]


def test_perfect_separation_is_not_certainty() -> None:
    value, low, high, _ = KPIS["auc"].estimate(binary([0.1] * 20 + [0.9] * 20, [0.0] * 20 + [1.0] * 20), ALPHA)

    assert 1.0 == value == high
    assert 0.8 < low < 0.95


def test_trust_is_what_is_not_overridden() -> None:
    cell = {"overridden": flags(3, 97)}
    trust, overrides = (KPIS[name].estimate(cell, ALPHA) for name in ("trust", "override_rate"))

    assert complement(overrides) == trust
    assert (0.97, 100) == trust[::3]


def test_rates_of_guardrails_have_a_denominator_each() -> None:
    cell = {"blocked": flags(5, 95), "bypassed": flags(1, 9), "delivered_unsafe": flags(2, 198)}
    found = {
        name: KPIS[name].estimate(cell, ALPHA)[::3]
        for name in ("blocked_rate", "bypassed_rate", "delivered_unsafe_rate")
    }

    assert {
        "blocked_rate": (0.05, 100),
        "bypassed_rate": (0.1, 10),
        "delivered_unsafe_rate": (0.01, 200),
    } == found


def test_reasons_of_bypasses_have_a_share_each_commonest_first() -> None:
    cell = {"bypass_reason": names(["timeout"] * 3 + ["crash"] + ["else"], ["crash", "timeout", "never"])}
    found = shares_by_category(cell, "bypass_reason", ALPHA)

    one = share_of(1, 5, ALPHA)
    assert {"timeout": share_of(3, 5, ALPHA), "crash": one, "(other)": one} == found
    assert ["timeout", "(other)", "crash"] == [*found]
    assert {} == shares_by_category({}, "bypass_reason", ALPHA)


def test_what_is_infinite_is_not_compared() -> None:
    without = {"success_cost_usd": logs([1.0] * 50), "success": flags(0, 50)}
    cells = {"a": without, "b": without | {"success": flags(10, 40)}, "c": without | {"success": flags(20, 30)}}
    kpi = KPIS["cost_per_success"]

    first, second = kpi.estimate(without, ALPHA), kpi.estimate(cells["b"], ALPHA)
    assert math.isnan(change_of(first, second).value)
    assert math.isnan(lift_of(first, second).value)
    assert math.isfinite(GroupDifference("gap", kpi).estimate_across(cells, ALPHA).value)


def test_a_feature_outside_is_counted_among_all_features_and_rests_on_events() -> None:
    cell = {
        "features.age": numbers([0.5] * 95 + [1.5] * 5),
        "features.place": names(["here"] * 100, ["here"]),
        "score": numbers([7.0] * 100),
    }
    value, low, high, samples = KPIS["ood_rate"].estimate(cell, ALPHA)

    assert (0.025, 100) == (value, samples)
    assert share_of(5, 200, ALPHA).high < high < 0.09
    assert low < 0.01


def test_events_per_hour() -> None:
    cell = {"events": StreamCounts(Kind.VOLUME, np.array([600, 0, 0, 0]))}
    value, low, high, samples = per_time(KPIS["throughput"].estimate(cell, ALPHA), 600.0, 3600.0)

    assert (3600.0, 600) == (value, samples)
    assert 3300.0 < low < high < 3920.0
    assert math.isnan(per_time(Estimate(600.0, 550.0, 650.0, 600), 0.0, 3600.0).value)


def test_values_that_were_not_logged_are_counted_among_all_that_should_be() -> None:
    def lacking(stream: StreamCounts, nulls: int) -> StreamCounts:
        counts = stream.counts.copy()
        counts[NULLS[ARENA_OF[stream.kind]]] += nulls
        return StreamCounts(stream.kind, counts, stream.grid, stream.exponent, stream.categories)

    cell = {
        "features.age": lacking(numbers([0.5] * 80), 20),
        "latency_s": lacking(logs([0.1] * 90), 10),
        "unsafe": lacking(flags(1, 9), 90),
        "label": numbers([1.0] * 5),
    }
    value, low, high, samples = KPIS["logging_completeness"].estimate(cell, ALPHA)

    assert (170 / 200, 100) == (value, samples)
    assert share_of(85, 100, ALPHA)[1:3] == pytest.approx((low, high))


def test_the_reliability_diagram_is_in_order_with_an_interval_each() -> None:
    found = reliability_bins(binary([0.2] * 50 + [0.9] * 50, [0.0] * 50 + [1.0] * 50, cut=0.0), CONFIDENCE, ALPHA)

    assert [0.0, 1.0] == [each.share.value for each in found]
    assert [50, 50] == [each.share.samples for each in found]
    assert found[0].high <= found[1].low


def test_change_is_of_now_less_before() -> None:
    before, now = (KPIS["accuracy"].estimate({"correct": flags(yes, 100 - yes)}, ALPHA) for yes in (80, 60))

    assert -0.2 == pytest.approx(change_of(before, now).value)


def test_two_groups_are_compared_as_two_shares_are() -> None:
    cells = {"a": {"correct": flags(80, 20)}, "b": {"correct": flags(60, 40)}}
    across = GroupDifference("gap", KPIS["accuracy"]).estimate_across(cells, ALPHA)
    pair = difference_of(share_of(80, 100, ALPHA), share_of(60, 100, ALPHA))

    assert tuple(pair) == pytest.approx(tuple(across))


@given(SHARES, SHARES)
def test_differences_and_ratios_turn_round_exactly(first: Estimate, second: Estimate) -> None:
    there, back = difference_of(first, second), difference_of(second, first)
    ratio, inverse = ratio_of(first, second), ratio_of(second, first)

    assert (-back.value, -back.high, -back.low) == pytest.approx((there.value, there.low, there.high))
    assert there.low <= there.value <= there.high
    if first.value > 0.0 and second.value > 0.0:
        assert ratio.low <= ratio.value <= ratio.high
        assert 1.0 == pytest.approx(ratio.value * inverse.value)
        assert ratio.low == (0.0 if math.isinf(inverse.high) else pytest.approx(1.0 / inverse.high))


@given(SHARES, SHARES)
def test_whatever_the_correlation_is_wider_than_independence(first: Estimate, second: Estimate) -> None:
    alone, any_ = ratio_of(first, second), quotient_of(first, second)

    if not math.isnan(alone.value):
        assert any_.low <= alone.low * (1.0 + 1e-9)
        assert any_.high >= alone.high * (1.0 - 1e-9)


@given(st.lists(st.floats(0.0, 1e6), min_size=2, max_size=30), st.sampled_from([0.2, 0.05, 0.001]))
def test_limits_of_a_mean_hold_it_and_mirror_with_its_sign(values: list[float], alpha: float) -> None:
    column, counts = np.array(values), np.ones(len(values))
    (low, high), mirrored = (mean_limits(moments_of(x, counts), alpha) for x in (column, -column))
    size = max(abs(column).max(), 1e-300)

    assert low <= column.mean() * (1.0 + 1e-12)
    assert high >= column.mean() * (1.0 - 1e-12)
    assert (-mirrored[1] / size, -mirrored[0] / size) == pytest.approx((low / size, high / size), rel=1e-6, abs=1e-6)
