"""References: a file that reads back the same, groups with mass, and an identity of the content alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import errors
from monitor.bins import OTHER, UNSEEN, VALUE_BINS
from monitor.domain import CountArray
from monitor.lineage import UNKNOWN, Lineage
from monitor.reference_state import reference_of, reference_state
from monitor.references import (
    GROUPS,
    Reference,
    categorical_groups,
    from_text,
    numeric_groups,
    summary,
    to_text,
)
from tests.golden.traffic import finished, pipeline, steady


@pytest.fixture(scope="module")
def learned() -> Reference:
    (reference,) = finished(pipeline(learn_events=1_000, segments=["country"]), steady(1, 1_500)).references
    return reference


MASS = st.lists(st.integers(0, 3) | st.integers(0, 10_000), min_size=VALUE_BINS, max_size=VALUE_BINS)


def counts(mass: list[int]) -> CountArray:
    return np.array([*mass, 7, 7, 7, 7, 7], dtype=np.uint32)


# ---- groups


@given(MASS)
def test_numeric_groups_are_runs_that_all_have_mass(mass: list[int]) -> None:
    groups = numeric_groups(counts(mass))
    used = int(groups.max()) + 1

    summed = np.bincount(groups, weights=mass, minlength=used)

    assert np.all(np.diff(groups) >= 0)
    assert list(range(used)) == sorted(set(groups.tolist()))
    assert used <= GROUPS
    assert sum(mass) == 0 or summed.min() > 0


def test_numeric_groups_of_even_mass_are_even() -> None:
    groups = numeric_groups(counts([100] * VALUE_BINS))

    summed = np.bincount(groups, minlength=GROUPS)
    assert GROUPS == len(summed)
    assert set(summed.tolist()) <= {5, 6}


@given(MASS, st.integers(0, VALUE_BINS - 2))
def test_categorical_groups_give_the_commonest_each_their_own(mass: list[int], categories: int) -> None:
    groups = categorical_groups(counts(mass), categories)
    last = int(groups.max())

    own = [at for at in range(categories) if groups[at] < last]

    assert last < GROUPS
    assert len(own) == len({int(groups[at]) for at in own})
    assert {last} == {int(groups[OTHER]), int(groups[UNSEEN])}
    rest = [mass[at] for at in range(categories) if at not in own]
    assert not own or not rest or min(mass[at] for at in own) >= max(rest) or last < GROUPS - 1


# ---- the file


def test_text_reads_back_the_same(learned: Reference) -> None:
    again = from_text(to_text(learned))

    assert learned.identity == again.identity
    assert to_text(learned) == to_text(again)
    for before, after in zip(learned.streams, again.streams, strict=True):
        assert (before.field, before.segment, before.kind, before.grid) == (
            after.field,
            after.segment,
            after.kind,
            after.grid,
        )
        assert (before.categories, before.is_complete, before.exponent) == (
            after.categories,
            after.is_complete,
            after.exponent,
        )
        assert before.counts.tolist() == after.counts.tolist()
        assert before.groups.tolist() == after.groups.tolist()


def test_text_is_one_line_per_stream(learned: Reference) -> None:
    lines = [line for line in to_text(learned).splitlines() if '"field"' in line]

    assert len(learned.streams) == len(lines)


def test_identity_is_of_content_and_not_of_words(learned: Reference) -> None:
    assert learned.identity == replace(learned, source="elsewhere").identity
    assert learned.identity != replace(learned, events=learned.events + 1).identity
    assert learned.identity != replace(learned, model_version="2").identity
    assert learned.identity != replace(learned, streams=learned.streams[1:]).identity
    assert 12 == len(learned.identity)


def test_same_traffic_gives_the_same_identity(learned: Reference) -> None:
    (again,) = finished(pipeline(learn_events=1_000, segments=["country"]), steady(1, 1_500)).references

    assert learned.identity == again.identity


def other_than(value: object) -> object:
    """Give something else of the same form: a number one greater, a list with its first number so."""
    if isinstance(value, list):
        return [other_than(value[0]), *value[1:]]
    assert isinstance(value, int | float)
    return value + 1


def test_any_change_of_content_is_found(learned: Reference) -> None:
    found = json.loads(to_text(learned))
    for at, stream in enumerate(found["streams"]):
        for name in stream:
            changed = json.loads(to_text(learned))
            held = changed["streams"][at]
            value = held[name]
            if name == "samples":
                continue  # told for people, made from the counts
            if isinstance(value, bool):
                held[name] = not value
            elif isinstance(value, int):
                held[name] = value + 1
            elif name == "kind":
                held[name] = "volume" if value == "yes_no" else "yes_no"
            elif isinstance(value, str):
                held[name] = value[1:] + "9" if name == "groups" else value + "x"
            elif isinstance(value, list):
                held[name] = [*value[:-1], str(value[-1]) + "x" if isinstance(value[-1], str) else value[-1] * 2]
            elif isinstance(value, dict):
                first = next(iter(value))
                held[name] = {**value, first: other_than(value[first])}
            with pytest.raises(errors.BaselineError):
                from_text(json.dumps(changed))


DAMAGED = {
    "not JSON": ("hello", "not a reference"),
    "nothing": ("", "not a reference"),
    "a list": ("[]", "got `array`"),
    "another format": ('{"format": "driftd-reference/9"}', "driftd-reference/9"),
    "no streams": ('{"format": "driftd-reference/2", "identity": "x"}', "damaged"),
    "null": ("null", "got `null`"),
}


@pytest.mark.parametrize(("text", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_no_reference_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(errors.BaselineError, match=message):
        from_text(text)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_file_cut_short_is_refused(learned: Reference, share: float) -> None:
    text = to_text(learned)

    with pytest.raises(errors.BaselineError):
        from_text(text[: int(len(text) * share)])


STREAM_DAMAGE = {
    "a bin out of range": ("counts", {"64": 1}),
    "a negative bin": ("counts", {"-1": 1}),
    "a bin that is no number": ("counts", {"x": 1}),
    "a negative count": ("counts", {"1": -1}),
    "a count beyond 32 bits": ("counts", {"1": 2**32}),
    "counts as a list": ("counts", [1]),
    "an unknown kind": ("kind", "colour"),
    "groups too short": ("groups", "012"),
    "groups of letters": ("groups", "a" * VALUE_BINS),
    "a grid of three": ("grid", [1, 2, 3]),
    "a grid of width zero": ("grid", [0, 0, 0, 1]),
    "a grid without step": ("grid", [0, 1, 0, 0]),
    "a grid that is no list": ("grid", 5),
    "categories that are no list": ("categories", 5),
}


@pytest.mark.parametrize(("name", "value"), STREAM_DAMAGE.values(), ids=STREAM_DAMAGE.keys())
def test_damaged_stream_is_refused(learned: Reference, name: str, value: object) -> None:
    found = json.loads(to_text(learned))
    at = next(i for i, stream in enumerate(found["streams"]) if stream["kind"] == "numeric")
    found["streams"][at][name] = value

    with pytest.raises(errors.BaselineError):
        from_text(json.dumps(found))


def test_summary_tells_the_commonest_first(learned: Reference) -> None:
    channel = next(s for s in learned.streams if s.field == "features.channel" and not s.segment)

    named = summary(channel)

    assert "app" == named[0][0]
    assert sum(count for _, count in named) == int(channel.counts[:VALUE_BINS].sum())


def test_span_is_of_the_events(learned: Reference) -> None:
    assert 19 <= learned.span_s <= 22


# ---- lineage

NAMED = Lineage("mlflow", "9197a2255aa1", "fraud/7")


def test_lineage_reads_back_and_judges_nothing(learned: Reference) -> None:
    named = replace(learned, lineage=NAMED)

    assert NAMED == from_text(to_text(named)).lineage
    assert learned.identity == named.identity == from_text(to_text(named)).identity
    assert NAMED == reference_of(reference_state(named)).lineage


def test_references_made_before_there_was_lineage_are_read(learned: Reference) -> None:
    text = to_text(replace(learned, lineage=UNKNOWN))
    state = {name: value for name, value in reference_state(learned).items() if name != "lineage"}

    assert "run_id" not in text
    assert UNKNOWN == from_text(text).lineage
    assert UNKNOWN == reference_of(state).lineage


def test_lineage_of_what_was_learned_is_live(learned: Reference) -> None:
    assert Lineage("live") == learned.lineage


def test_overlong_lineage_is_damage(learned: Reference) -> None:
    text = to_text(replace(learned, lineage=Lineage("mlflow", "x" * 300)))

    with pytest.raises(errors.BaselineError, match="damaged"):
        from_text(text)
