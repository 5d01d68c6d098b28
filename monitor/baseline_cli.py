"""`driftd baseline`: references, out of history or out of what others have kept of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from monitor import logs
from monitor.baseline import Built, Input, build_references, diff_text, kafka_range, show_text
from monitor.commands import ConfigPath, Json, errors, settings_of
from monitor.errors import ConfigError
from monitor.foreign import FORMATS
from monitor.foreign.base import Wishes
from monitor.importing import AUTO, Order, import_references, renamed
from monitor.reference_files import SUFFIX, read_reference, read_references, write_reference

baseline = typer.Typer(no_args_is_help=True, help="Build, show and compare references: what is normal for a model.")

RunId = Annotated[str | None, typer.Option(help="Run that made the model, carried through to metrics and alerts.")]
RegistryVersion = Annotated[
    str | None, typer.Option(help="The model's version in its registry, for example fraud/7; carried through too.")
]
Rename = Annotated[
    list[str] | None,
    typer.Option(help="Field of events that a column holds, for example y_hat=prediction; may be repeated."),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the references.")]
TimeColumn = Annotated[str, typer.Option(help="Column that holds the event time (tables).")]


@baseline.command("build")
def baseline_build(  # noqa: PLR0913, PLR0917 - one parameter per option
    output: Output,
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", "-i", help="Events: .jsonl, .jsonl.gz, .csv or .parquet; may be repeated."),
    ] = None,
    config: ConfigPath = None,
    model: Annotated[str | None, typer.Option(help="Model of rows without a `model` column (CSV, Parquet).")] = None,
    model_version: Annotated[str, typer.Option(help="Version of rows without a `model_version` column.")] = "",
    time_column: TimeColumn = "event_time",
    every: Annotated[
        str | None,
        typer.Option(help="Space rows without a time evenly, for example 30m; volume is then learned as that rate."),
    ] = None,
    kafka_from: Annotated[
        str | None, typer.Option("--from", help="Read the configured topics from this time on (RFC 3339).")
    ] = None,
    kafka_to: Annotated[str | None, typer.Option("--to", help="... to this time, exclusive [default: now].")] = None,
    rename: Rename = None,
    run_id: RunId = None,
    registry_version: RegistryVersion = None,
    as_json: Json = False,
) -> None:
    """Build one reference per model and version found in recorded events, or in a time range of the topics."""
    with errors():
        if bool(inputs) == bool(kafka_from):
            raise typer.BadParameter("give either --input, or --from (and --to) to read from Kafka")
        settings = settings_of(config, topics_required=kafka_from is not None)
        logs.set_up("warning", settings.log.format)
        if inputs:
            given = Input.of_files(
                inputs,
                model=model,
                version=model_version,
                time_column=time_column,
                every=every,
                renamed=renamed(rename or ()),
            )
        else:
            given = kafka_range(settings, str(kafka_from), kafka_to)
        given = replace(given, lineage=given.lineage.told(run_id, registry_version))
        _write(build_references(settings, given), output, as_json=as_json)


@baseline.command("import")
def baseline_import(  # noqa: PLR0913, PLR0917 - one parameter per option
    path: Annotated[
        Path,
        typer.Argument(help="Run, model or artefact of MLflow or W&B; profile of whylogs; report of Evidently."),
    ],
    output: Output,
    kind: Annotated[str, typer.Option("--format", help=f"What it is: {', '.join((AUTO, *FORMATS))}.")] = AUTO,
    config: ConfigPath = None,
    model: Annotated[str | None, typer.Option(help="The served model's name [default: as registered].")] = None,
    model_version: Annotated[
        str | None, typer.Option(help="Its version, as events name it [default: as registered].")
    ] = None,
    table: Annotated[str, typer.Option(help="Part of the name of the table that is meant, of several.")] = "",
    time_column: TimeColumn = "event_time",
    every: Annotated[
        str | None, typer.Option(help="Space rows without a time evenly [default: leave out what time would tell].")
    ] = None,
    rename: Rename = None,
    current: Annotated[
        bool, typer.Option("--current", help="Of a report: the data it judges, not what it compares with.")
    ] = False,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Rows of the data set, where a report holds shares alone.")
    ] = None,
    run_id: RunId = None,
    registry_version: RegistryVersion = None,
    as_json: Json = False,
) -> None:
    """Make a reference of what others have kept: logged tables of a run, or a profile of each column.

    Reads files alone: no server is asked, and none of these packages is needed. Run and registry version are found if
    they are on disk, and carried through to metrics and alerts.
    """
    with errors():
        settings = settings_of(config, topics_required=False)
        logs.set_up("warning", settings.log.format)
        order = Order(
            path,
            kind,
            Wishes(table, current, rows),
            model,
            model_version,
            run_id,
            registry_version,
            time_column,
            every,
            renamed(rename or ()),
        )
        _write(import_references(settings, order), output, as_json=as_json)


def _write(found: Built, output: Path, *, as_json: bool) -> None:
    paths = [str(write_reference(output, reference)) for reference in found.references]
    typer.echo(json.dumps(found.to_dict(paths)) if as_json else found.to_text(paths))


@baseline.command("show")
def baseline_show(
    path: Annotated[Path, typer.Argument(help="A reference, or a folder of them.")], as_json: Json = False
) -> None:
    """Show what a reference holds."""
    with errors():
        found = read_references(path) if path.is_dir() else [read_reference(path)]
        if not found:
            raise ConfigError(f"{path}: no references (*{SUFFIX}) in this folder")
        typer.echo(
            json.dumps([show_text(r).to_dict() for r in found])
            if as_json
            else "\n\n".join(show_text(r).to_text() for r in found)
        )


@baseline.command("diff")
def baseline_diff(
    before: Annotated[Path, typer.Argument(help="A reference.")],
    after: Annotated[Path, typer.Argument(help="Another reference, of the same model or not.")],
    as_json: Json = False,
) -> None:
    """Compare two references stream by stream, the most different first."""
    with errors():
        found = diff_text(read_reference(before), read_reference(after))
        typer.echo(json.dumps(found.to_dict()) if as_json else found.to_text())
