"""Imports go downwards only. A new module needs a place in LAYERS; without one this test fails."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "monitor"

WORDS, PARTS, WHOLE, EDGES, LOOP, WIRING = range(6)
LAYERS: Final[Mapping[str, int]] = {
    "domain": WORDS,
    "errors": WORDS,
    "upkeep": WORDS,
    "versions": WORDS,
    "intake": WORDS,
    "quality": WORDS,
    "objectives": WORDS,
    "lineage": WORDS,
    "segment_hits": WORDS,
    "alert_state": PARTS,
    "absences": PARTS,
    "alerts": PARTS,
    "bins": PARTS,
    "braid": PARTS,
    "breakers": PARTS,
    "categories": PARTS,
    "claims": PARTS,
    "closed_table": PARTS,
    "codec": PARTS,
    "counting_state": PARTS,
    "counts": PARTS,
    "decode": PARTS,
    "deltas": PARTS,
    "detectors": PARTS,
    "drift_sorts": PARTS,
    "drills": PARTS,
    "duplicates": PARTS,
    "fields": PARTS,
    "fold": PARTS,
    "hits": PARTS,
    "harmless": PARTS,
    "freezing": PARTS,
    "join": PARTS,
    "joining": PARTS,
    "gate": PARTS,
    "releases": PARTS,
    "kept": PARTS,
    "learned": PARTS,
    "layouts": PARTS,
    "kpis": PARTS,
    "ledger": PARTS,
    "numbered": PARTS,
    "panes": PARTS,
    "probes": PARTS,
    "receipts": PARTS,
    "reference_rows": PARTS,
    "reference_state": PARTS,
    "references": PARTS,
    "river": PARTS,
    "rows": PARTS,
    "rules": PARTS,
    "scopes": PARTS,
    "segments": PARTS,
    "worst": PARTS,
    "sequential": PARTS,
    "silences": PARTS,
    "shapes": PARTS,
    "snapshot_writer": PARTS,
    "snapshots": PARTS,
    "series": PARTS,
    "streams": PARTS,
    "kept_rows": PARTS,
    "incomplete": PARTS,
    "observed": PARTS,
    "numbers": PARTS,
    "notes": PARTS,
    "table_state": PARTS,
    "totals": PARTS,
    "views": PARTS,
    "watermark": PARTS,
    "alert_json": WHOLE,
    "anomalies": WHOLE,
    "changes": WHOLE,
    "burns": WHOLE,
    "drifts": WHOLE,
    "histograms": WHOLE,
    "anomaly_blocks": WHOLE,
    "docket": WHOLE,
    "drift_looks": WHOLE,
    "users": PARTS,
    "reference_maker": WHOLE,
    "drift_watch": WHOLE,
    "judge_state": WHOLE,
    "posts": WHOLE,
    "verdicts": WHOLE,
    "judge": WHOLE,
    "court": WHOLE,
    "court_house": WHOLE,
    "estates": WHOLE,
    "work": WHOLE,
    "delta_court": WHOLE,
    "delta_fold": WHOLE,
    "fold_sources": WHOLE,
    "delta_join": WHOLE,
    "kpi_cells": WHOLE,
    "kpi_watch": WHOLE,
    "lines": WHOLE,
    "onsets": WHOLE,
    "metrics": WHOLE,
    "metric_readers": WHOLE,
    "pictures": WHOLE,
    "scorecard": WHOLE,
    "pipeline": WHOLE,
    "pipeline_terms": WHOLE,
    "segment_counts": WHOLE,
    "selfwatch": WHOLE,
    "status": WHOLE,
    "tables": WHOLE,
    "tracks": WHOLE,
    "watchmen": WHOLE,
    "collector": EDGES,
    "dead_letters": EDGES,
    "delivery": EDGES,
    "embedded": EDGES,
    "exporter": EDGES,
    "gate_watch": EDGES,
    "foreign": EDGES,
    "heartbeat": EDGES,
    "machine": EDGES,
    "reference_files": EDGES,
    "reports": EDGES,
    "sinks": EDGES,
    "relay": EDGES,
    "sources": EDGES,
    "store": EDGES,
    "stalls": EDGES,
    "web": EDGES,
    "aides": LOOP,
    "annotations": LOOP,
    "app": LOOP,
    "braids": LOOP,
    "braided_fold": LOOP,
    "fold_house": LOOP,
    "board": LOOP,
    "rejects": LOOP,
    "reloads": LOOP,
    "keeper": LOOP,
    "succession": LOOP,
    "__init__": WIRING,
    "__main__": WIRING,
    "acls": WIRING,
    "assembly": WIRING,
    "scaled": WIRING,
    "backtest": WIRING,
    "baseline": WIRING,
    "importing": WIRING,
    "baseline_cli": WIRING,
    "build": WIRING,
    "checking": WIRING,
    "cli": WIRING,
    "dlq_cli": WIRING,
    "commands": WIRING,
    "config": WIRING,
    "demo": WIRING,
    "drill": WIRING,
    "explain": WIRING,
    "gate_cli": WIRING,
    "scorecard_cli": WIRING,
    "logs": WIRING,
    "memory": WIRING,
    "plans": WIRING,
    "power": WIRING,
    "presets": WIRING,
    "redelivery": WIRING,
    "progress": WIRING,
    "reloading": WIRING,
    "replaying": WIRING,
    "running": WIRING,
    "scoring": WIRING,
    "sizing": WIRING,
    "segments_report": WIRING,
    "state_cli": WIRING,
    "topic_check": WIRING,
    "topics_cli": WIRING,
}
"""Module, or package with all that is in it, to layer."""

EDGE_PAIRS: Final = frozenset({("web", "exporter"), ("delivery", "sinks")})
"""Edges that may import another: the server shows the metrics; delivery holds sinks, through their protocol alone."""
PROTOCOLS: Final[Mapping[str, frozenset[str]]] = {
    "delivery": frozenset({"sinks.base", "sinks.worker"}),
    "app": frozenset({"sinks.base", "sources.base"}),
}
"""What may be imported of a package of products by those who must not know the products."""
IMPURE: Final = frozenset(
    {
        *(
            "asyncio",
            "http",
            "logging",
            "os",
            "queue",
            "random",
            "signal",
            "socket",
            "sqlite3",
            "subprocess",
            "threading",
        ),
        *(
            "time",
            "urllib",
            "confluent_kafka",
            "httpx2",
            "prometheus_client",
            "pydantic",
            "pydantic_settings",
            "requests",
        ),
        *("starlette", "structlog", "typer", "uvicorn", "yaml"),
    }
)
"""Never imported below the edges: clock, randomness, network, files and logs come in as arguments, or not at all."""


@cache
def modules() -> Mapping[str, Path]:
    """Give every module by its dotted name within the package; a package by its own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        is_package = parts[-1] == "__init__" and len(parts) > 1
        found[".".join(parts[:-1] if is_package else parts)] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """Give the dotted names that a module imports, for our own those of modules; imports for types alone count too."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    return frozenset(name for node in ast.walk(tree) for name in _imported(node))


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        assert node.module is not None
        inner = node.module.removeprefix("monitor").removeprefix(".")
        for alias in node.names if node.module.split(".")[0] == "monitor" else ():
            name = f"{inner}.{alias.name}".removeprefix(".")
            yield f"monitor.{name}" if name in modules() else node.module
        if node.module.split(".")[0] != "monitor":
            yield node.module


def own_imports(module: str) -> frozenset[str]:
    """Give the modules of ours that a module imports, by dotted name within the package."""
    found = (
        name.removeprefix("monitor").removeprefix(".") for name in imports(module) if name.split(".")[0] == "monitor"
    )
    return frozenset(name or "__init__" for name in found)


def room(module: str) -> str:
    """Give the module or package of the top level that a module is (in)."""
    return module.split(".", maxsplit=1)[0]


MODULES: Final = pytest.mark.parametrize("module", modules())


@MODULES
def test_module_has_a_place(module: str) -> None:
    assert room(module) in LAYERS, f"give {module} a layer in LAYERS"


def test_every_place_has_a_module() -> None:
    assert set(LAYERS) - {room(module) for module in modules()} <= {"demo", "baseline", "logs"}


@MODULES
def test_module_imports_its_own_layer_or_below(module: str) -> None:
    upwards = {name for name in own_imports(module) if LAYERS[room(name)] > LAYERS[room(module)]}
    if LAYERS[room(module)] < WIRING:
        upwards -= {"__init__"}  # the version, which is all that the package itself holds

    assert set() == upwards


@MODULES
def test_edges_do_not_import_each_other(module: str) -> None:
    own = room(module)
    if LAYERS[own] != EDGES:
        return

    others = {room(name) for name in own_imports(module) if LAYERS[room(name)] == EDGES} - {own}

    assert set() == {other for other in others if (own, other) not in EDGE_PAIRS}


@pytest.mark.parametrize("module", PROTOCOLS)
def test_products_are_known_by_their_protocol_alone(module: str) -> None:
    products = {name for name in own_imports(module) if room(name) in {"sinks", "sources"}}

    assert products <= PROTOCOLS[module]


@MODULES
def test_pure_layers_import_no_clock_no_network_no_log(module: str) -> None:
    if LAYERS[room(module)] > WHOLE:
        return

    assert set() == {name.split(".")[0] for name in imports(module)} & IMPURE


def test_kafka_is_known_to_its_source_and_the_tools_of_wiring_alone() -> None:
    users = {module for module in modules() if any(name.startswith("confluent_kafka") for name in imports(module))}

    assert {room(user) for user in users} <= {
        "sources",
        "sinks",
        "dead_letters",
        "embedded",
        "build",
        "checking",
        "config",
        "demo",
        "drill",
        "redelivery",
        "relay",
        "cli",
    }
    assert not {user for user in users if LAYERS[room(user)] < EDGES}


def test_imports_have_no_cycles() -> None:
    """A package's __init__ counts as the package; inside one, its registry may import its members."""
    state: dict[str, str] = {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert state.get(module) != "open", f"a cycle of imports: {' > '.join([*path[path.index(module) :], module])}"
        if module in state:
            return
        state[module] = "open"
        for name in sorted(own_imports(module) - {module, "__init__"}):
            visit(name, (*path, module))
        state[module] = "done"

    for module in modules():
        visit(module, ())


@MODULES
def test_members_do_not_import_their_package(module: str) -> None:
    if "." not in module:
        return

    assert module.rsplit(".", maxsplit=1)[0] not in own_imports(module)
