"""The command line. Exit codes: 0 good, 1 failed, 2 wrong usage, 78 wrong configuration."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from monitor import __version__, assembly, build, logs, scaled
from monitor.acls import acls_of
from monitor.app import App, calm_the_collector
from monitor.baseline import Input, build_references, diff_text, kafka_range, show_text
from monitor.board import Board
from monitor.checking import report
from monitor.commands import BROKERS, FAILED, PORT, TOPICS, ConfigPath, Json, daemon_url, errors, settings_of
from monitor.config import Settings, settings_schema
from monitor.dlq_cli import dlq
from monitor.drill.incidents import INCIDENTS
from monitor.drill.report import Order
from monitor.errors import ConfigError
from monitor.explain import finding, words
from monitor.gate_cli import gate
from monitor.power.analysis import Traffic
from monitor.reference_files import SUFFIX, read_reference, read_references, write_reference
from monitor.replaying import Outputs, replay_files
from monitor.scorecard_cli import scorecard
from monitor.scoring import score_file
from monitor.state_cli import state
from monitor.web import WebServer

cli = typer.Typer(
    name="driftd",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Watches what your models serve: reads events from Kafka, and wakes the right person when it matters.",
    epilog="Exit codes: 0 good, 1 failed, 2 wrong usage, 78 wrong configuration.",
)
baseline = typer.Typer(no_args_is_help=True, help="Build, show and compare references: what is normal for a model.")
cli.add_typer(baseline, name="baseline")
cli.add_typer(state, name="state")
cli.add_typer(dlq, name="dlq")
cli.command()(gate)
cli.command()(scorecard)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"driftd {__version__}")
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Watches what your models serve: reads events from Kafka, and wakes the right person when it matters."""


@cli.command()
def run(
    config: ConfigPath = None,
    brokers: Annotated[str | None, typer.Option(help="Brokers, in place of kafka.bootstrap_servers.")] = None,
    topic: Annotated[list[str] | None, typer.Option(help="Topic, in place of kafka.topics; may be repeated.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of /metrics, in place of http.port.")] = None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT; a second signal ends it at once."""
    given = {BROKERS: brokers, TOPICS: ",".join(topic) if topic else None, PORT: None if port is None else str(port)}
    with errors():
        load = partial(settings_of, config, given)
        settings = load()
        logs.set_up(settings.log.level, settings.log.format)
        _run(assembly.app, settings, load)


@cli.command()
def fold(config: ConfigPath = None) -> None:
    """Count events for the judges, as one of as many as there are partitions; `run` does both in one process."""
    with errors():
        load = partial(settings_of, config)
        settings = load()
        logs.set_up(settings.log.level, settings.log.format)
        _run(scaled.fold_app, settings, load)


@cli.command()
def judge(config: ConfigPath = None) -> None:
    """Judge what the folds have counted, as one of as many as there are courts; `run` does both in one process."""
    with errors():
        load = partial(settings_of, config)
        settings = load()
        logs.set_up(settings.log.level, settings.log.format)
        _run(scaled.judge_app, settings, load)


def _run(make: Callable[..., tuple[App, WebServer]], settings: Settings, load: Callable[[], Settings]) -> None:
    build.check_kafka(settings)
    calm_the_collector()  # references and state are a million objects, none of them garbage
    app, server = make(settings, Board(), load=load)
    _on_signals(app.stop, app.reloads.signal)
    app.run(server)


def _on_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Stop in good order at the first signal, at once at the second; read the configuration anew at a hang-up."""

    def first(number: int, _: object) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda n, _: os._exit(128 + n))
        sys.stderr.write(f"driftd: {signal.Signals(number).name}: stopping in good order; once more to stop at once\n")
        stop()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, first)
    signal.signal(signal.SIGHUP, lambda _, __: reload())


@cli.command()
def check(
    config: ConfigPath = None,
    as_json: Json = False,
    events_per_s: Annotated[
        float | None, typer.Option(help="Traffic of each model, in place of that of its reference.")
    ] = None,
    within: Annotated[str, typer.Option(help="Time in which the smallest changes told are to be detected.")] = "1h",
    acls: Annotated[bool, typer.Option("--acls", help="Print the rights that driftd needs on the brokers.")] = False,
) -> None:
    """Check the configuration; print what would be watched and what that can detect. Connects to nothing."""
    with errors():
        settings, traffic = settings_of(config), Traffic.of(events_per_s, within)
        if acls:
            needed = acls_of(settings)
            typer.echo(json.dumps(needed.to_dict()) if as_json else needed.to_text())
            return
        build.check_kafka(settings)
        found = report(settings, build.references(settings), traffic)
        assembly.app(settings, Board())
        typer.echo(json.dumps(found.to_dict()) if as_json else found.to_text())


@cli.command()
def score(
    input_path: Annotated[
        Path, typer.Option("--input", "-i", help="Series: CSV with the columns timestamp and value.")
    ],
    output_path: Annotated[
        Path, typer.Option("--output", "-o", help="Where to write it with anomaly_score and alarm.")
    ],
    as_json: Json = False,
) -> None:
    """Score a recorded metric series: how surprising each point is, and one alarm per incident."""
    with errors():
        summary = score_file(input_path, output_path)
        typer.echo(json.dumps(summary.to_dict()) if as_json else summary.to_text())


@cli.command()
def replay(  # noqa: PLR0913, PLR0917 - one parameter per option
    inputs: Annotated[
        list[Path], typer.Option("--input", "-i", help="Events, JSON lines, plain or gzip; may be repeated.")
    ],
    config: ConfigPath = None,
    references: Annotated[
        Path | None, typer.Option(help="Folder with references, in place of reference.directory.")
    ] = None,
    alerts_out: Annotated[
        Path | None, typer.Option(help="Where to write transitions, one JSON object per line.")
    ] = None,
    metrics_out: Annotated[
        Path | None, typer.Option(help="Where to write the metrics as they stand at the end.")
    ] = None,
    counts_out: Annotated[
        Path | None, typer.Option(help="Where to write what versions have counted, for `driftd gate --counts`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run recorded events through the whole pipeline on their own time: what would have fired, and when."""
    with errors():
        settings = settings_of(config, topics_required=False)
        logs.set_up("warning", settings.log.format)
        loaded = build.references(settings, None if references is None else str(references))
        summary = replay_files(settings, loaded, inputs, Outputs(alerts_out, metrics_out, counts_out))
        typer.echo(json.dumps(summary.to_dict()) if as_json else summary.to_text())


@cli.command()
def explain(
    alert: Annotated[
        str | None,
        typer.Argument(help="dedup_key or incident, or its beginning, or words of rule, stream, model; none: a list."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where the daemon listens [default: as configured].")] = None,
    alerts: Annotated[
        Path | None, typer.Option(help="File of `replay --alerts-out`, to read in place of asking a daemon.")
    ] = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Say in words what an alert found and why it fired, with reference and current values side by side."""
    with errors():
        known = finding.from_file(alerts) if alerts else finding.from_daemon(url or daemon_url(config))
        if alert is None and not as_json:
            typer.echo("\n".join(finding.listed(known) or ["no alert is active, and none ended lately"]))
            return
        found = known if alert is None else finding.select(known, alert)
        typer.echo(words.to_json(found) if as_json else words.to_text(found))


@cli.command()
def demo(
    seconds: Annotated[float, typer.Option(min=30, help="How long it takes, with set-up.")] = 90,
    forever: Annotated[bool, typer.Option("--forever", help="Go on until Ctrl-C, incident after incident.")] = False,
    as_json: Json = False,
    port: Annotated[int, typer.Option(help="Port of /metrics; 0 takes a free one.")] = 0,
) -> None:
    """Show driftd at work: an embedded broker, two models, the real daemon, and planted incidents.

    Exits with 0 only if every incident was detected and delivered, and nothing else fired.
    """
    from monitor.demo import run_demo  # noqa: PLC0415 - only this command needs a broker

    with errors():
        is_good = run_demo(None if forever else seconds, as_json=as_json, port=port)
        raise typer.Exit(0 if is_good else FAILED)


@cli.command()
def drill(  # noqa: PLR0913, PLR0917 - one parameter per option
    incident: Annotated[str, typer.Option(help=f"What goes wrong: {', '.join(INCIDENTS)}.")] = next(iter(INCIDENTS)),
    is_twin: Annotated[
        bool, typer.Option("--twin", help="Replay instead of live: no Kafka, no daemon, but the real receivers.")
    ] = False,
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", "-i", help="Healthy events for the twin [default: generated]; may be repeated."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Whose events go wrong in the twin [default: the first fit].")
    ] = None,
    field: Annotated[str | None, typer.Option(help="Feature that goes wrong [default: the first fit].")] = None,
    size: Annotated[float | None, typer.Option(help="How wrong: sd, times or share [default: the incident's].")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for each step.")] = 120.0,
    topic: Annotated[str | None, typer.Option(help="Topic to write to [default: the first of kafka.topics].")] = None,
    url: Annotated[str | None, typer.Option(help="Where the daemon listens [default: as configured].")] = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Plant an incident, and prove that it is detected and that every receiver hears of it. Alerts say [DRILL].

    Live, unless `--twin` or `--input` is given: events of a made-up model go to the configured topic, which takes the
    right to write. Exits with 0 only if the alert fired and every receiver accepted it.
    """
    from monitor.drill import live, twin  # noqa: PLC0415 - only this command needs a producer

    with errors():
        if incident not in INCIDENTS:
            raise typer.BadParameter(f"{incident}: not an incident; these are: {', '.join(INCIDENTS)}")
        is_twin = is_twin or bool(inputs)
        settings = settings_of(config, topics_required=not is_twin)
        logs.set_up("warning", settings.log.format)
        order = Order(incident, model, field, size, timeout)
        if is_twin:
            given = twin.recorded(inputs, model) if inputs else twin.generated()
            result = twin.drill(settings, given, order, _say)
        else:
            result = live.drill(settings, order, (url or daemon_url(config), topic), _say)
        typer.echo(json.dumps(result.to_dict()) if as_json else result.to_text())
        raise typer.Exit(0 if result.is_good else FAILED)


def _say(text: str) -> None:
    """Tell how the work goes on, beside what it gives."""
    typer.echo(text, err=True)


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    typer.echo(json.dumps(settings_schema(), indent=2))


@cli.command()
def version(as_json: Json = False) -> None:
    """Print the version."""
    typer.echo(json.dumps({"version": __version__}) if as_json else f"driftd {__version__}")


@baseline.command("build")
def baseline_build(  # noqa: PLR0913, PLR0917 - one parameter per option
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the references.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", "-i", help="Events: .jsonl, .jsonl.gz, .csv or .parquet; may be repeated."),
    ] = None,
    config: ConfigPath = None,
    model: Annotated[str | None, typer.Option(help="Model of rows without a `model` column (CSV, Parquet).")] = None,
    model_version: Annotated[str, typer.Option(help="Version of rows without a `model_version` column.")] = "",
    time_column: Annotated[str, typer.Option(help="Column that holds the event time (CSV, Parquet).")] = "event_time",
    every: Annotated[
        str | None,
        typer.Option(help="Space rows without a time evenly, for example 30m; volume is then learned as that rate."),
    ] = None,
    kafka_from: Annotated[
        str | None, typer.Option("--from", help="Read the configured topics from this time on (RFC 3339).")
    ] = None,
    kafka_to: Annotated[str | None, typer.Option("--to", help="... to this time, exclusive [default: now].")] = None,
    as_json: Json = False,
) -> None:
    """Build one reference per model and version found in recorded events, or in a time range of the topics."""
    with errors():
        if bool(inputs) == bool(kafka_from):
            raise typer.BadParameter("give either --input, or --from (and --to) to read from Kafka")
        settings = settings_of(config, topics_required=kafka_from is not None)
        logs.set_up("warning", settings.log.format)
        if inputs:
            given = Input.of_files(inputs, model=model, version=model_version, time_column=time_column, every=every)
        else:
            given = kafka_range(settings, str(kafka_from), kafka_to)
        found = build_references(settings, given)
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


def main() -> None:
    """Entry point of the command `driftd`."""
    cli()


if __name__ == "__main__":
    main()
