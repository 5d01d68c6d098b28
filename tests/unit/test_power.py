"""The power analysis: predicted delays are those that simulation has, and what can't work is told with its cure."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from scipy.special import ndtr

from monitor import build
from monitor.bins import NULL, UNSEEN, VALUE_BINS, WIDTHS, WRONG_TYPE, YES, Arena
from monitor.config import Settings, load_settings
from monitor.detectors import DETECTORS
from monitor.domain import CountArray, FloatArray, Kind
from monitor.errors import ConfigError
from monitor.plans import Plans
from monitor.power.analysis import Analysis, Traffic, analysis
from monitor.power.assumed import assumed_reference
from monitor.power.cautions import duration
from monitor.power.changes import change_of, shares_of
from monitor.power.delays import delays_s, race_of_drift, race_of_rates
from monitor.power.lines import Bench, Line
from monitor.power.models import ModelPower
from monitor.references import Reference, StreamReference
from monitor.rules import Level, Rule
from monitor.sequential.engine import Engine
from monitor.sequential.fluctuation import LEVELS
from monitor.sequential.normal import Normal
from monitor.sequential.rates import ABOVE, RateTracks, temper_of, weights_of
from monitor.sequential.scores import CLASSES, class_shares, classes_by_frequency, classes_by_value
from monitor.sequential.terms import terms_of

NATS: Final = 17.0
STREAMS: Final = 120
EVENTS: Final = 10_000
WARM_S: Final = 200
TOLERANCE: Final = 0.35
EDGES: Final = np.linspace(-4.0, 4.0, VALUE_BINS - 1)
TOPICS: Final = "kafka: {topics: [a]}\nalerts: {owner: a, runbook: b}\n"


# ---- delays, against simulation


def normal_shares(shift: float) -> FloatArray:
    return np.diff(np.concatenate([[0.0], ndtr(EDGES - shift), [1.0]]))


def category_shares(new: float) -> FloatArray:
    shares = np.zeros(VALUE_BINS)
    shares[:5] = np.array([0.4, 0.25, 0.2, 0.1, 0.05]) * (1.0 - new)
    shares[UNSEEN] = new
    return shares


def simulated_drift(
    shares: tuple[FloatArray, FloatArray], counts: CountArray, normals: list[Normal], per_s: float
) -> float:
    """Give the mean seconds from a change until the engine has the nats, over many streams."""
    rng, rows = np.random.default_rng(2), np.arange(STREAMS)
    engine = Engine(WIDTHS[Arena.VALUES])
    engine.watch(rows, counts, normals, np.full(STREAMS, NATS), 0.0)
    found = np.full(STREAMS, np.nan)
    second = 0
    while np.isnan(found).any():
        second += 1
        pane = np.zeros((STREAMS, WIDTHS[Arena.VALUES]), dtype=np.uint32)
        values = rng.poisson(per_s, size=STREAMS)
        pane[:, :VALUE_BINS] = rng.multinomial(values, shares[0] if second <= WARM_S else shares[1])
        flat = np.flatnonzero(pane)
        engine.observe(flat, pane.reshape(-1)[flat], float(second))
        is_reached = (second > WARM_S) & (engine.evidence[:STREAMS] >= NATS) & np.isnan(found)
        found[is_reached] = second - WARM_S
    return float(found.mean())


def predicted_drift(
    shares: tuple[FloatArray, FloatArray], counts: CountArray, normals: list[Normal], per_s: float
) -> float:
    nats = np.full(STREAMS, NATS)
    known, _ = class_shares(counts, np.stack([normal.classes for normal in normals]))
    changed = np.zeros((STREAMS, CLASSES))
    for own, normal in zip(changed, normals, strict=True):
        np.add.at(own, normal.classes, shares[1])
    race = race_of_drift(terms_of(counts, normals, nats), known, changed)
    return float(delays_s(race, nats, np.full(STREAMS, per_s), 1.0).mean())


@pytest.mark.parametrize(
    ("shift", "per_s", "inflation"),
    [(0.25, 8.0, 1.0), (0.5, 4.0, 1.0), (1.0, 4.0, 1.0), (0.5, 100.0, 1.0), (0.5, 0.5, 1.0), (0.5, 8.0, 4.0)],
    ids=["small", "medium", "large", "much traffic", "little traffic", "fluctuating"],
)
def test_delay_of_a_shift_is_that_of_the_engine(shift: float, per_s: float, inflation: float) -> None:
    shares = normal_shares(0.0), normal_shares(shift)
    counts = np.random.default_rng(1).multinomial(EVENTS, shares[0], size=STREAMS).astype(np.uint32)
    learned = (None, None) if inflation == 1.0 else (2.0 ** np.arange(LEVELS), np.full((4, LEVELS), inflation))
    normals = [Normal(classes, *learned) for classes in classes_by_value(counts)]

    simulated = simulated_drift(shares, counts, normals, per_s)

    assert simulated == pytest.approx(predicted_drift(shares, counts, normals, per_s), rel=TOLERANCE)


@pytest.mark.parametrize(("new", "per_s"), [(0.05, 4.0), (0.02, 4.0), (0.2, 1.0)])
def test_delay_of_a_new_category_is_that_of_the_engine(new: float, per_s: float) -> None:
    shares = category_shares(0.0), category_shares(new)
    counts = np.random.default_rng(1).multinomial(EVENTS, shares[0], size=STREAMS).astype(np.uint32)
    normals = [Normal(classes) for classes in classes_by_frequency(counts)]

    simulated = simulated_drift(shares, counts, normals, per_s)

    assert simulated == pytest.approx(predicted_drift(shares, counts, normals, per_s), rel=TOLERANCE)


@pytest.mark.parametrize(
    ("limit", "before", "after", "per_s", "power"),
    [
        (0.01, 0.005, 0.025, 10.0, 1.0),
        (0.01, 0.005, 0.05, 10.0, 1.0),
        (0.01, 0.002, 0.05, 1.0, 1.0),
        (0.05, 0.04, 0.1, 5.0, 1.0),
        (0.05, 0.02, 0.12, 100.0, 1.0),
        (0.05, 0.04, 0.2, 5.0, 0.33),
    ],
    ids=["x5", "x10", "little traffic", "near the limit", "much traffic", "fluctuating"],
)
def test_delay_of_a_rate_is_that_of_its_track(
    limit: float, before: float, after: float, per_s: float, power: float
) -> None:
    limits, nats, rows = np.full(STREAMS, limit), np.full(STREAMS, NATS), np.arange(STREAMS)
    temper, direction = power * temper_of(limits, nats), np.full(STREAMS, ABOVE)
    rng, tracks = np.random.default_rng(3), RateTracks()
    tracks.watch(rows, limits, direction, temper, 0.0)
    found = np.full(STREAMS, np.nan)
    second = 0
    while np.isnan(found).any():
        second += 1
        events = rng.poisson(per_s, size=STREAMS)
        hits = rng.binomial(events, before if second <= WARM_S else after)
        tracks.observe(rows, hits.astype(np.float64), events.astype(np.float64), float(second))
        found[(second > WARM_S) & (tracks.evidence[:STREAMS] >= NATS) & np.isnan(found)] = second - WARM_S

    race = race_of_rates(limits, weights_of(direction), temper, np.full(STREAMS, before), np.full(STREAMS, after))
    predicted = delays_s(race, nats, np.full(STREAMS, per_s), 1.0)[0]

    assert found.mean() == pytest.approx(predicted, rel=TOLERANCE)


def test_what_stays_on_the_good_side_of_its_limit_is_never_told() -> None:
    one = np.ones(1)
    temper = temper_of(0.01 * one, NATS * one)
    race = race_of_rates(0.01 * one, weights_of(np.array([ABOVE])), temper, 0.005 * one, 0.008 * one)

    assert np.isinf(delays_s(race, NATS * one, 1e3 * one, 1.0)[0])


def test_no_traffic_tells_nothing() -> None:
    one = np.ones(1)
    temper = temper_of(0.01 * one, NATS * one)
    race = race_of_rates(0.01 * one, weights_of(np.array([ABOVE])), temper, 0.005 * one, one * 0.5)

    assert np.isinf(delays_s(race, NATS * one, 0.0 * one, 1.0)[0])


# ---- changes


def rule(statistic: str, field: str = "*", yellow: float = 0.1, *, is_above: bool = True) -> Rule:
    return Rule(statistic, statistic, (field,), Level(yellow), None, (60.0,), is_above=is_above)


EVERY: Final = rule("drift")
REFERENCE: Final = assumed_reference("m", [EVERY], EVENTS, 10.0)


def stream(field: str) -> StreamReference:
    return next(stream for stream in REFERENCE.streams if stream.field == field)


@pytest.mark.parametrize(
    ("statistic", "field"),
    [
        ("drift", "features.number_1"),
        ("drift", "features.category_1"),
        ("drift", "latency_s"),
        ("p95", "latency_s"),
        ("yes_rate", "unsafe"),
        ("null_rate", "features.number_1"),
        ("unseen_rate", "features.category_1"),
    ],
)
def test_a_change_of_no_size_changes_nothing_and_any_keeps_the_whole(statistic: str, field: str) -> None:
    change = change_of(rule(statistic), stream(field))

    assert change is not None
    known = shares_of(stream(field))
    assert change.apply(change.nothing) == pytest.approx(known, abs=1e-3)
    assert change.apply(change.size).sum() == pytest.approx(known.sum())


def test_changes_put_values_where_their_statistic_looks() -> None:
    def applied(statistic: str, field: str, size: float) -> FloatArray:
        change = change_of(rule(statistic), stream(field))
        assert change is not None
        return change.apply(size)

    assert applied("null_rate", "features.number_1", 0.05)[NULL] == pytest.approx(0.05)
    assert applied("invalid_rate", "features.number_1", 0.05)[WRONG_TYPE] == pytest.approx(0.05)
    assert applied("drift", "features.category_1", 0.05)[UNSEEN] == pytest.approx(0.05)
    assert applied("yes_rate", "unsafe", 0.05)[YES] == pytest.approx(0.05)


def test_a_named_change_is_beyond_the_limit_if_any_is() -> None:
    own = 2.0
    sizes = [change_of(rule("p99"), stream("latency_s"), limit, own) for limit in (2.5, 3.0, 9.0, 1000.0)]

    assert [1.5, 2.0, 5.0, 1.5] == [change.size for change in sizes if change]


# ---- models


def settings(folder: Path, text: str = "") -> Settings:
    path = folder / "driftd.yaml"
    path.write_text(TOPICS + text, encoding="utf-8")
    return load_settings(path, {})


def reference_of(given: Settings, events: int = EVENTS, per_s: float = 10.0) -> Reference:
    """Give a reference as if it were a real one, named m 1."""
    made = assumed_reference("m", Plans(given)("m", "1").rules, events, per_s)
    return replace(made, model_version="1")


def one(found: Analysis) -> ModelPower:
    (model,) = found.models
    return model


def delay_of(model: ModelPower, name: str) -> float:
    return next(power for power in model.powers if power.rule == name).typical.delay_s


def line_of(reference: Reference, given: Settings, name: str, field: str, per_s: float = 10.0) -> Line:
    lines = Bench(reference, build.pipeline_terms(given), per_s).lines()
    return next(line for line in lines if line.rule.name == name and line.stream.field == field)


def test_without_reference_or_traffic_it_says_what_is_needed(tmp_path: Path) -> None:
    found = analysis(settings(tmp_path), (), Traffic())

    assert not found.models
    assert [
        ("models *", "they have no reference: build a baseline (driftd baseline build), or give --events-per-s")
    ] == (list(found.unknown))


def test_given_traffic_stands_in_for_a_reference_and_says_so(tmp_path: Path) -> None:
    model = one(analysis(settings(tmp_path), (), Traffic(events_per_s=5.0)))

    assert model.assumed
    assert 5.0 == model.events_per_s
    assert 0.0 < delay_of(model, "unsafe_rate") < 3600.0


def test_traffic_is_that_of_the_reference_unless_given(tmp_path: Path) -> None:
    given = settings(tmp_path)
    reference = reference_of(given)

    own, more = (one(analysis(given, [reference], traffic)) for traffic in (Traffic(), Traffic(events_per_s=100.0)))

    assert 10.0 == pytest.approx(own.events_per_s)
    assert 100.0 == more.events_per_s
    for name in ("drift", "unsafe_rate", "latency_p95"):
        assert 4.0 < delay_of(own, name) / delay_of(more, name) < 15.0


def test_reference_without_times_needs_the_traffic(tmp_path: Path) -> None:
    given = settings(tmp_path)
    reference = replace(reference_of(given), to_s=0.0)

    found = analysis(given, [reference], Traffic())

    assert ("m 1", "its reference covers no time: give --events-per-s") in found.unknown


def test_budget_is_split_over_all_lines(tmp_path: Path) -> None:
    given = settings(tmp_path)
    model = one(analysis(given, [reference_of(given)], Traffic()))

    assert 1.0 == pytest.approx(model.drift_pages + model.line_pages)
    assert 1.0 == pytest.approx(sum(power.pages for power in model.powers))
    drifts = {"drift", "sampling"}  # the rules of that statistic have the other half
    assert model.lines == sum(power.streams for power in model.powers if power.rule not in drifts)


def test_smallest_change_is_told_just_within_the_time(tmp_path: Path) -> None:
    given = settings(tmp_path)
    line = line_of(reference_of(given), given, "unsafe_rate", "unsafe")
    model = one(analysis(given, [reference_of(given)], Traffic(within_s=600.0)))
    smallest = next(power for power in model.powers if power.rule == "unsafe_rate").typical.smallest

    assert smallest is not None
    assert line.change is not None
    assert line.delay_of(line.change.apply(smallest)) == pytest.approx(600.0, rel=0.02)


def test_a_shift_too_small_to_matter_is_never_told(tmp_path: Path) -> None:
    given = settings(tmp_path)
    line = line_of(reference_of(given), given, "drift", "features.number_1", 1e6)

    assert line.change is not None
    assert np.isinf(line.delay_of(line.change.apply(0.1)))
    assert line.delay_of(line.change.apply(0.2)) < 10.0


def test_silence_takes_its_limit_or_as_long_as_traffic_may_be_absent(tmp_path: Path) -> None:
    given = settings(tmp_path)
    reference = reference_of(given)

    busy, quiet = (line_of(reference, given, "silence", "events", per_s) for per_s in (10.0, 0.001))

    assert 300.0 == busy.delay_of(np.zeros(0))
    assert quiet.nats / 0.001 == pytest.approx(quiet.delay_of(np.zeros(0)))


# ---- cautions


def cautions(given: Settings, reference: Reference, traffic: Traffic | None = None) -> list[str]:
    return list(one(analysis(given, [reference], traffic or Traffic())).cautions)


def test_a_limit_that_the_reference_passes_fires_at_once(tmp_path: Path) -> None:
    reference = reference_of(settings(tmp_path))
    rules = "models: [{match: m, thresholds: {latency_p95: {red: 2}, unsafe_rate: {red: 0.005}, p50: {red: 9}}}]\n"

    found = [text for text in cautions(settings(tmp_path, rules), reference) if "fires at once" in text]

    assert 2 == len(found)
    assert any(text.startswith("latency_p95 fires at once and stays: latency_s has p95 2.6") for text in found)
    assert any(text.startswith("unsafe_rate fires at once and stays: unsafe has yes_rate 0.01") for text in found)


def test_a_limit_within_the_hourly_swing_fires_often(tmp_path: Path) -> None:
    reference = reference_of(settings(tmp_path))
    given = settings(tmp_path, "models: [{match: m, thresholds: {unsafe_rate: {red: 0.012}}}]\n")
    blocks = 10.0 * 2.0 ** np.arange(LEVELS, dtype=np.float64)
    learned = Normal(np.array([0, 1], dtype=np.uint8), blocks, np.full((1, LEVELS), 20.0))
    streams = tuple(replace(s, normal=learned) if s.field == "unsafe" else s for s in reference.streams)

    found = cautions(given, replace(reference, streams=streams))

    assert any(text.startswith("unsafe_rate will fire often: an hour of unsafe differs by itself") for text in found)


def test_too_little_traffic_is_told_with_what_would_help(tmp_path: Path) -> None:
    given = settings(tmp_path)
    reference = reference_of(given)

    found = cautions(given, reference, Traffic(events_per_s=0.001))

    late = next(text for text in found if text.startswith("latency_p95: p95 +50 % of latency_s is never told"))
    assert late.endswith("fewer than samples_min (100) values come in a day: lower it, or more traffic")
    assert any(
        text.startswith("psi: ") and "longest window holds 4 values and samples_min is 100" in text for text in found
    )


def test_a_reference_too_small_is_told_with_the_size_that_would_do(tmp_path: Path) -> None:
    given = settings(tmp_path)

    found = cautions(given, reference_of(given, events=100), Traffic(events_per_s=0.01))

    drift = next(text for text in found if text.startswith("drift: a shift of 0.5 sd"))
    assert "a reference of " in drift
    assert drift.endswith(" events")


def test_a_feature_that_never_changed_is_named(tmp_path: Path) -> None:
    given = settings(tmp_path)
    reference = reference_of(given)
    counts = np.zeros(WIDTHS[Arena.VALUES], dtype=np.uint32)
    counts[30] = EVENTS
    streams = tuple(
        replace(s, counts=counts, groups=np.zeros(VALUE_BINS, dtype=np.int64)) if s.field == "features.number_3" else s
        for s in reference.streams
    )

    found = cautions(given, replace(reference, streams=streams))

    assert any(text.startswith("features.number_3 never changed in the reference") for text in found)


def test_a_rule_that_keeps_to_no_budget_is_named(tmp_path: Path) -> None:
    given = settings(tmp_path, "models: [{match: m, thresholds: {anomaly: {enabled: true}}}]\n")

    assert any(text.startswith("anomaly (anomaly) keeps to no budget") for text in cautions(given, reference_of(given)))


def test_enough_of_everything_has_no_cautions(tmp_path: Path) -> None:
    given = settings(tmp_path)
    reference = reference_of(given, events=2_000_000, per_s=20.0)

    assert not cautions(given, reference)


# ---- words


def test_text_is_a_table_with_a_line_for_each_rule(tmp_path: Path) -> None:
    given = settings(tmp_path)
    lines = analysis(given, [reference_of(given)], Traffic()).to_lines()

    assert lines[1].startswith("power of m 1 at 10 events/s (reference ")
    assert lines[2].startswith("  false pages in 30d: 1 at most, 0.5 of drift (")
    assert lines[3].split() == ["rule", "streams", "change", "typical", "slowest", "smallest", "in", "1h"]
    assert any(line.startswith("  drift ") and "a shift of 0.5 sd" in line for line in lines)
    assert any(line.startswith("  drift ") and "5 % of a new category" in line for line in lines)
    assert max(len(line) for line in lines if "warning" not in line) < 140


def test_json_has_numbers_and_null_for_never(tmp_path: Path) -> None:
    given = settings(tmp_path)
    found = analysis(given, [reference_of(given)], Traffic(events_per_s=0.001)).to_dict()
    (model,) = found["models"]
    by_rule = {power["rule"]: power for power in model["powers"]}

    assert 3600.0 == found["within_s"]
    assert by_rule["latency_p95"]["typical"]["delay_s"] is None
    assert by_rule["unsafe_rate"]["typical"]["unit"] == "share"
    assert 0.05 == pytest.approx(by_rule["unsafe_rate"]["typical"]["size"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1s"), (45.0, "45s"), (119.0, "2m"), (740.0, "12m"), (5400.0, "1.5h"), (3e5, "3.5d"), (math.inf, "never")],
)
def test_durations_are_told_to_two_digits(seconds: float, text: str) -> None:
    assert text == duration(seconds)


@pytest.mark.parametrize(
    ("given", "said"),
    [((None, "soon"), "--within: 'soon'"), ((None, "0s"), "--within"), ((0.0, "1h"), "--events-per-s: found 0")],
)
def test_options_that_make_no_sense_are_named(given: tuple[float | None, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Traffic.of(*given)


def test_every_statistic_has_a_named_change_or_says_that_it_has_none() -> None:
    # A new statistic must not silently go without.
    streams = {s.kind: s for s in REFERENCE.streams}
    for name, detector in DETECTORS.items():
        changes = [change_of(rule(name), streams[kind]) for kind in detector.kinds if kind in streams]
        assert name == "silence" or any(change is not None for change in changes), name
    assert set(Kind) == set(streams)
