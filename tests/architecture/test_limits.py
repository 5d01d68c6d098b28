"""The house's limits on size, as ordinary tests: what outgrows them is split."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
LINES_MAX: Final = 400
TABLES: Final = frozenset({"monitor/metrics.py"})
"""Modules that are one long table, with nothing to split."""
OUTGROWN: Final[frozenset[str]] = frozenset()
"""Modules still to be split; the test fails when one no longer needs to be here."""
FUNCTION_LINES_MAX: Final = 70
ARGUMENTS_MAX: Final = 7
SUPPRESSIONS_PER_1000_LINES_MAX: Final = 4

SOURCES: Final = sorted((ROOT / "monitor").rglob("*.py"))
EVERY: Final = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


ALL: Final = pytest.mark.parametrize("path", EVERY, ids=name_of)
OWN: Final = pytest.mark.parametrize("path", SOURCES, ids=name_of)


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


@OWN
def test_module_is_short(path: Path) -> None:
    is_short = len(path.read_text(encoding="utf-8").splitlines()) <= LINES_MAX

    assert name_of(path) in TABLES or is_short == (name_of(path) not in OUTGROWN)


@OWN
def test_functions_are_short(path: Path) -> None:
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions(path) if f.end_lineno is not None}

    assert {} == {name: lines for name, lines in long.items() if lines > FUNCTION_LINES_MAX}


@OWN
def test_functions_take_few_arguments(path: Path) -> None:
    """Commands are left out: typer reads a command's options from its arguments."""
    if path.name == "cli.py" or path.name.endswith("_cli.py"):
        return
    found = {f.name: _arguments(f) for f in functions(path)}

    assert {} == {name: count for name, count in found.items() if count > ARGUMENTS_MAX}


def _arguments(function: Function) -> int:
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len([argument for argument in given if argument.arg not in {"self", "cls"}])


@OWN
def test_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert not tree.body or ast.get_docstring(tree)


@ALL
def test_nothing_is_left_to_do(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert [] == [word for word in ("TO" + "DO", "FIX" + "ME", "X" * 3) if word in text]


@ALL
def test_nothing_names_a_persons_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert [] == [word for word in ("/ho" + "me/", "/Us" + "ers/", "/wo" + "rk/", "C:" + "\\\\") if word in text]


@OWN
def test_suppressions_name_their_code(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()

    assert [] == [line for line in lines if line.rstrip().endswith(("# type: ignore", "# noqa"))]


def test_suppressions_are_few() -> None:
    lines = [line for path in SOURCES for line in path.read_text(encoding="utf-8").splitlines()]
    found = [line for line in lines if "# type: ignore[" in line or "# noqa:" in line]

    assert 1_000 * len(found) / len(lines) < SUPPRESSIONS_PER_1000_LINES_MAX
