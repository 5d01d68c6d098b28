"""The dashboard is what its script makes, and asks only for what there is."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from deploy.grafana.build_dashboard import ANNOTATIONS, DRIFT, PATH, ROWS, UID, VARIABLES, Panel, text
from monitor.config import BUILT_IN_RULES
from tests.deploy.promql import Selector, selectors, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

PANELS = [panel for row in ROWS for panel in row.panels]
EXPRESSIONS = [query.expr for panel in PANELS for query in panel.queries]


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def test_file_is_what_the_script_makes() -> None:
    assert PATH.read_text(encoding="utf-8") == text(), "run: python deploy/grafana/build_dashboard.py"


def test_identity_is_stable(written: dict[str, Any]) -> None:
    assert "driftd" == UID == written["uid"]
    assert "id" not in written, "Grafana gives it one of its own"


def test_panels_have_numbers_of_their_own_and_do_not_overlap(written: dict[str, Any]) -> None:
    panels = list(all_panels(written))
    numbers = [panel["id"] for panel in panels]

    assert len(numbers) == len(set(numbers))
    shown = [panel["gridPos"] for panel in written["panels"]]
    assert not [(a, b) for a, b in combinations(shown, 2) if overlap(a, b)]
    assert all(at["x"] + at["w"] <= 24 for at in shown)


def test_every_query_goes_through_the_datasource_variable(written: dict[str, Any]) -> None:
    sources = [target["datasource"]["uid"] for panel in all_panels(written) for target in panel.get("targets", ())]
    sources += [variable["datasource"]["uid"] for variable in written["templating"]["list"][1:]]
    sources += [annotation["datasource"]["uid"] for annotation in written["annotations"]["list"]]

    assert {"${datasource}"} == set(sources)
    assert "datasource" == written["templating"]["list"][0]["name"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_panel_says_which_question_it_answers(panel: Panel) -> None:
    assert panel.title
    assert panel.description
    assert panel.queries or panel.text


@pytest.mark.parametrize("expression", [*EXPRESSIONS, *(str(each["expr"]) for each in ANNOTATIONS)])
def test_metrics_and_labels_exist(expression: str) -> None:
    assert [] == unknown(expression)
    assert list(selectors(expression))


@pytest.mark.parametrize("name", VARIABLES)
def test_variable_has_values_and_is_used(name: str) -> None:
    _, query = VARIABLES[name]
    matched = re.fullmatch(r"label_values\((.+), (\w+)\)", query)

    assert matched
    assert [] == unknown(matched[1])
    assert name == matched[2]
    assert any(f"${name}" in expression for expression in EXPRESSIONS)


def test_variables_are_all_defined() -> None:
    used = {name for expression in EXPRESSIONS for name in re.findall(r"\$(\w+)", expression)}

    assert {*VARIABLES, "__rate_interval"} == used


def test_all_takes_in_models_without_a_version(written: dict[str, Any]) -> None:
    with_all = [each for each in written["templating"]["list"] if each.get("includeAll")]

    assert {"model", "model_version", "field"} == {each["name"] for each in with_all}
    assert {".*"} == {each["allValue"] for each in with_all}


def test_thresholds_of_psi_are_those_of_the_built_in_rule() -> None:
    rule = BUILT_IN_RULES["psi"]

    assert [rule["yellow"], rule["red"]] == [value for value, _ in DRIFT[1:]]


def test_quantiles_are_not_averaged() -> None:
    for expression in EXPRESSIONS:
        if "quantile" in expression:
            assert not re.search(r"\b(avg|sum)\b", expression), expression


def test_parser_finds_names_and_labels() -> None:
    expression = (
        'sum by (a, b) (rate(x_total{c="1{2}",d=~"e"}[5m])) / on (f) group_left (g) y offset 1d > 3'
        " or max(z) unless w{}"
    )

    found = list(selectors(expression))

    assert [
        Selector("x_total", frozenset({"c", "d"})),
        Selector("y", frozenset()),
        Selector("z", frozenset()),
        Selector("w", frozenset()),
    ] == found
    assert ["x_total", "y", "z", "w"] == unknown(expression)
    assert ["driftd_ready{model}"] == unknown('driftd_ready{model="m"}')


def all_panels(written: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in written["panels"]:
        yield panel
        yield from panel.get("panels", ())


def overlap(a: dict[str, int], b: dict[str, int]) -> bool:
    apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    return not (apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"])
