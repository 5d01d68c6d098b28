"""`driftd state`: what is stored, whether it is whole, and how to carry it elsewhere. Exit codes as of the rest."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from monitor.commands import FAILED, ConfigPath, Json, errors, settings_of
from monitor.errors import StateError
from monitor.store import Contents, damages, put_in_place, read_portable, reading, write_portable

ITEMS_MAX: Final = 8
"""Of a list, that `inspect` shows; of the rest it says how many."""
NAMES_MAX: Final = 100
"""Of a table, likewise."""
TEXT_MAX: Final = 200

state = typer.Typer(no_args_is_help=True, help="Look into the stored state, check it, and carry it elsewhere.")

Directory = Annotated[
    Path | None, typer.Option("--directory", "-d", help="Folder of the state [default: state.directory].")
]


def _folder(directory: Path | None, config: Path | None) -> Path:
    """Give the folder of the state: as named, else as configured."""
    if directory is not None:
        return directory
    return Path(settings_of(config, topics_required=False).state.directory)


@state.command("ls")
def ls(directory: Directory = None, config: ConfigPath = None, as_json: Json = False) -> None:
    """List what is stored: sections, the offsets they rest on, when they were saved and by which version."""
    with errors():
        with reading(_folder(directory, config)) as database:
            told = _told(database.contents(), database.what)
        typer.echo(json.dumps(told) if as_json else "\n".join(_listed(told)))


@state.command("inspect")
def inspect(
    section: Annotated[str, typer.Argument(help="A section, as `ls` names it.")],
    directory: Directory = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Show what is in a section: its plain values, and of each array its type, shape, sum, least and greatest."""
    with errors():
        with reading(_folder(directory, config)) as database:
            row = next((row for row in database.contents().rows if row.name == section), None)
            if row is None:
                raise StateError(f"{database.what}: has no section {section}: `driftd state ls` names those it has")
            found = summary(database.section(row))
        typer.echo(json.dumps(found) if as_json else "\n".join(_lines(found)))


@state.command("verify")
def verify(directory: Directory = None, config: ConfigPath = None, as_json: Json = False) -> None:
    """Compare every checksum, and have SQLite check the file. Exits with 1, naming what is damaged, unless all is well.

    May run beside a daemon; reads all of the state.
    """
    with errors():
        with reading(_folder(directory, config)) as database:
            found = damages(database)
            rows = [] if found else database.rows()
        size = sum(row.bytes for row in rows)
        whole = f"whole: {len(rows)} sections, {_size(size)}"
        typer.echo(json.dumps({"is_whole": not found, "damages": found}) if as_json else "\n".join(found) or whole)
        raise typer.Exit(FAILED if found else 0)


@state.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="File to write; must not be there yet.")],
    directory: Directory = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Write the state into one file, with checksums, also while a daemon runs; it holds one save, whole."""
    with errors():
        with reading(_folder(directory, config)) as database:
            contents = database.contents()
            length = write_portable(file, contents, map(database.data, contents.rows))
        told = {**_told(contents, str(file)), "file_bytes": length}
        line = (
            f"{file}: {_size(length)}, {len(contents.rows)} sections of {_size(contents.bytes)}, saved {told['saved']}"
        )
        typer.echo(json.dumps(told) if as_json else line)


@state.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="File that `export` wrote.")],
    is_replacing: Annotated[
        bool, typer.Option("--replace", help="Set a state that is there aside, under another name in its folder.")
    ] = False,
    directory: Directory = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Make an exported state the one to go on from. Refused while a daemon runs on it; whole, or not at all."""
    with errors():
        folder = _folder(directory, config)
        with read_portable(file) as (contents, data):
            aside = put_in_place(folder, contents, data, time.time(), is_replacing=is_replacing)
        told = {**_told(contents, str(folder)), "set_aside": None if aside is None else str(aside)}
        lines = [f"{folder}: {len(contents.rows)} sections of {_size(contents.bytes)}, saved {told['saved']}"]
        lines += [] if aside is None else [f"what was there is {aside}"]
        typer.echo(json.dumps(told) if as_json else "\n".join(lines))


def _told(contents: Contents, path: str) -> dict[str, Any]:
    account = contents.account
    return {
        "path": path,
        "format": account.format,
        "driftd": account.driftd,
        "created": _time(account.created_wall_s),
        "saved": _time(account.saved_wall_s),
        "saves": account.saves,
        "bytes": contents.bytes,
        "sections": [{"name": row.name, "mark": row.mark, "bytes": row.bytes} for row in contents.rows],
        "positions": [
            {"topic": key.topic, "partition": key.partition, "next_offset": offset}
            for key, offset in contents.positions.items()
        ],
    }


def _listed(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{told['path']}: format {told['format']}, {_size(told['bytes'])}"
    saved = "nothing saved yet" if told["saved"] is None else f"saved {told['saved']} by driftd {told['driftd']}"
    yield f"{saved}, {told['saves']} saves since {told['created']}"
    yield ""
    sections = [(_shown(each["name"]), _size(each["bytes"]), _shown(each["mark"] or "-")) for each in told["sections"]]
    yield from _table(("SECTION", "SIZE", "MARK"), sections)
    yield ""
    positions = [(_shown(p["topic"]), str(p["partition"]), str(p["next_offset"])) for p in told["positions"]]
    yield from _table(("TOPIC", "PARTITION", "NEXT OFFSET"), positions)


def _table(heads: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for first, second, third in (heads, *rows):
        yield f"{first:<{widths[0]}}  {second:>{widths[1]}}  {third}"


def summary(value: object) -> object:
    """Give a plain value as JSON has it: an array as its type, shape, sum, least and greatest; the long cut short."""
    if isinstance(value, np.ndarray):
        return {"array": str(value.dtype), "shape": list(value.shape), **_extent(value)}
    if isinstance(value, dict):
        shown_by_name = {str(name): summary(each) for name, each in islice(value.items(), NAMES_MAX)}
        more = len(value) - len(shown_by_name)
        return {**shown_by_name, "...": f"{more} more"} if more else shown_by_name
    if isinstance(value, list):
        shown = [summary(each) for each in value[:ITEMS_MAX]]
        return [*shown, f"... {len(value) - ITEMS_MAX} more"] if len(value) > ITEMS_MAX else shown
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str) and len(value) > TEXT_MAX:
        return f"{value[:TEXT_MAX]}..."
    return value


def _extent(array: np.ndarray[Any, Any]) -> dict[str, object]:
    if array.size == 0:
        return {"sum": 0, "min": None, "max": None}
    plain = array.astype(np.uint8) if array.dtype == np.bool_ else array
    with np.errstate(all="ignore"):
        found = (plain.sum(dtype=np.float64), plain.min(), plain.max())
    return {name: _number(each.item()) for name, each in zip(("sum", "min", "max"), found, strict=True)}


def _number(value: float) -> float | str:
    """Give a number; JSON has no word for one that is none, or without end."""
    return value if math.isfinite(value) else str(value)


def _lines(value: object, place: str = "") -> Iterator[str]:
    """Give what `summary` gave as lines: where, and what."""
    if isinstance(value, dict) and value and "array" not in value and "bytes" not in value:
        for name, each in value.items():
            yield from _lines(each, f"{place}.{_shown(name)}".lstrip("."))
    elif isinstance(value, list) and value:
        for index, each in enumerate(value):
            yield from _lines(each, f"{place}[{index}]")
    else:
        yield f"{place}: {_leaf(value)}"


def _leaf(value: object) -> str:
    if isinstance(value, dict) and "array" in value:
        shape = " x ".join(map(str, value["shape"])) or "one"
        return f"{value['array']}, {shape}: sum {value['sum']}, min {value['min']}, max {value['max']}"
    return json.dumps(value)


def _shown(text: str) -> str:
    """Give foreign text as it can't move a terminal's cursor or break a line."""
    return text if text.isprintable() else json.dumps(text)


def _size(count: int) -> str:
    for unit, bytes_ in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= bytes_:
            return f"{count / bytes_:.1f} {unit}"
    return f"{count} B"


def _time(wall_s: float | None) -> str | None:
    return None if wall_s is None else datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="seconds")
