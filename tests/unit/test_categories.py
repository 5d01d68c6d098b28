"""From values to bins, while learning and after."""

from __future__ import annotations

import pytest

from monitor.bins import CATEGORIES_MAX, NULL, OTHER, UNSEEN, WRONG_TYPE
from monitor.categories import CATEGORY_CHARS_MAX, Categories


def closed(names: list[str], *, is_complete: bool = True, numbers_are_names: bool = False) -> Categories:
    categories = Categories(numbers_are_names=numbers_are_names)
    categories.close(names, is_complete=is_complete)
    return categories


OPEN = {
    "the first string": ("a", 0),
    "null": (None, NULL),
    "a number": (5, WRONG_TYPE),
    "a fraction": (1.5, WRONG_TYPE),
    "NaN": (float("nan"), WRONG_TYPE),
    "a tuple": ((), WRONG_TYPE),
    "the longest name": ("x" * CATEGORY_CHARS_MAX, 0),
    "a text": ("x" * (CATEGORY_CHARS_MAX + 1), OTHER),
    "an empty string is a name": ("", 0),
    "true is a name": (True, 0),
}


@pytest.mark.parametrize(("value", "bin_"), OPEN.values(), ids=OPEN.keys())
def test_value_has_its_bin_while_learning(value: object, bin_: int) -> None:
    categories = Categories()

    assert [bin_, bin_] == [categories[value], categories[value]]


CLOSED = {
    "a known category": ("b", 1),
    "a new category": ("z", UNSEEN),
    "a new bool": (True, UNSEEN),
    "null": (None, NULL),
    "a number": (5, WRONG_TYPE),
    "a new text": ("x" * 500, UNSEEN),
}


@pytest.mark.parametrize(("value", "bin_"), CLOSED.values(), ids=CLOSED.keys())
def test_value_has_its_bin_after_learning(value: object, bin_: int) -> None:
    assert bin_ == closed(["a", "b"])[value]


def test_bools_and_their_names_are_one() -> None:
    categories = Categories()

    assert categories[True] == categories["true"] != categories[False] == categories["false"]


def test_numbers_are_names_where_configured() -> None:
    categories = Categories(numbers_are_names=True)

    assert [0, 1, 0, 2, 3] == [categories[value] for value in (1, 2, "1", True, 1.5)]


def test_categories_beyond_the_bound_are_other_and_new_ones_can_no_longer_be_told() -> None:
    categories = Categories()
    first = [categories[f"c{i}"] for i in range(CATEGORIES_MAX)]
    assert categories.is_complete

    beyond = categories["one more"]
    categories.is_open = False

    assert list(range(CATEGORIES_MAX)) == first
    assert OTHER == beyond == categories["never seen"]
    assert not categories.is_complete


def test_looking_up_keeps_nothing_that_is_not_a_category() -> None:
    """Memory is bounded: a million distinct texts leave nothing behind."""
    categories = closed(["a"])
    before = len(categories)

    for i in range(1_000):
        assert UNSEEN == categories[f"new{i}"]

    assert before == len(categories)


def test_names_are_in_bin_order() -> None:
    categories = Categories()
    for value in ("b", "a", None, "b", False):
        categories[value]

    assert ["b", "a", "false"] == categories.names


@pytest.mark.parametrize("value", [[], {}])
def test_unhashable_values_raise_as_said(value: object) -> None:
    with pytest.raises(TypeError):
        Categories()[value]
