"""The command line. Exit codes: 0 good, 1 failed, 2 wrong usage, 78 wrong configuration.

What one command alone needs is imported there: a daemon that comes back need not wait for the other ones.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from monitor import __version__, build, logs
from monitor import presets as ready
from monitor.baseline_cli import baseline
from monitor.board import Board
from monitor.commands import BROKERS, FAILED, PORT, TOPICS, ConfigPath, Json, daemon_url, errors, settings_of
from monitor.config import settings_schema
from monitor.config.guess import did_you_mean
from monitor.dlq_cli import dlq
from monitor.drill.incidents import INCIDENTS
from monitor.gate_cli import gate
from monitor.running import run_daemon
from monitor.scorecard_cli import scorecard
from monitor.state_cli import state
from monitor.topics_cli import topics as topics_commands

cli = typer.Typer(
    name="driftd",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Watches what your models serve: reads events from Kafka, and wakes the right person when it matters.",
    epilog="Exit codes: 0 good, 1 failed, 2 wrong usage, 78 wrong configuration.",
)
cli.add_typer(baseline, name="baseline")
cli.add_typer(state, name="state")
cli.add_typer(dlq, name="dlq")
cli.add_typer(topics_commands, name="topics")
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
    from monitor import assembly

    given = {BROKERS: brokers, TOPICS: ",".join(topic) if topic else None, PORT: None if port is None else str(port)}
    with errors():
        load = partial(settings_of, config, given)
        settings = load()
        logs.set_up(settings.log.level, settings.log.format)
        run_daemon(assembly.app, settings, load)


@cli.command()
def fold(config: ConfigPath = None) -> None:
    """Count events for the judges, as one of as many as there are partitions; `run` does both in one process."""
    from monitor import scaled

    with errors():
        load = partial(settings_of, config)
        settings = load()
        logs.set_up(settings.log.level, settings.log.format)
        run_daemon(scaled.fold_app, settings, load)


@cli.command()
def judge(config: ConfigPath = None) -> None:
    """Judge what the folds have counted, as one of as many as there are courts; `run` does both in one process."""
    from monitor import scaled

    with errors():
        load = partial(settings_of, config)
        settings = load()
        logs.set_up(settings.log.level, settings.log.format)
        run_daemon(scaled.judge_app, settings, load)


@cli.command()
def check(
    config: ConfigPath = None,
    as_json: Json = False,
    events_per_s: Annotated[
        float | None, typer.Option(help="Traffic of each model, in place of that of its reference.")
    ] = None,
    within: Annotated[str, typer.Option(help="Time in which the smallest changes told are to be detected.")] = "1h",
    acls: Annotated[bool, typer.Option("--acls", help="Print the rights that driftd needs on the brokers.")] = False,
    topics: Annotated[
        bool, typer.Option("--topics", help="Connect: are topics and rights as `fold` and `judge` need them?")
    ] = False,
) -> None:
    """Check the configuration; print what would be watched and what that can detect. Connects only with --topics."""
    from monitor import assembly
    from monitor.acls import acls_of
    from monitor.checking import report
    from monitor.power.analysis import Traffic
    from monitor.topic_check import check_topics

    with errors():
        settings, traffic = settings_of(config), Traffic.of(events_per_s, within)
        if acls:
            needed = acls_of(settings)
            typer.echo(json.dumps(needed.to_dict()) if as_json else needed.to_text())
            return
        build.check_kafka(settings)
        assembly.app(settings, Board())
        on_brokers = check_topics(settings) if topics else None
        shares = on_brokers.shares if on_brokers else None
        found = report(settings, build.references(settings), traffic, shares or None)
        if as_json:
            typer.echo(json.dumps({**found.to_dict(), "brokers": on_brokers and on_brokers.to_dict()}))
        else:
            typer.echo("\n".join([found.to_text(), *(["", *on_brokers.to_lines()] if on_brokers else [])]))
        raise typer.Exit(FAILED if on_brokers and on_brokers.problems else 0)


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
    from monitor.scoring import score_file

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
    from monitor.replaying import Outputs, replay_files

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
    from monitor.explain import finding, words

    with errors():
        known = finding.from_file(alerts) if alerts else finding.from_daemon(url or daemon_url(config))
        if alert is None and not as_json:
            typer.echo("\n".join(finding.listed(known) or ["no alert is active, and none ended lately"]))
            return
        found = known if alert is None else finding.select(known, alert)
        typer.echo(words.to_json(found) if as_json else words.to_text(found))


@cli.command()
def segments(
    model: Annotated[str | None, typer.Argument(help="The model that is meant [default: all].")] = None,
    url: Annotated[str | None, typer.Option(help="Where the daemon listens [default: as configured].")] = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Say which segments are worse than the rest of their model's traffic, beyond what chance makes of so many."""
    from monitor import segments_report

    with errors():
        told = segments_report.from_daemon(url or daemon_url(config), model)
        typer.echo(json.dumps(told) if as_json else segments_report.to_text(told))


@cli.command()
def demo(
    seconds: Annotated[float, typer.Option(min=30, help="How long it takes, with set-up.")] = 90,
    forever: Annotated[bool, typer.Option("--forever", help="Go on until Ctrl-C, incident after incident.")] = False,
    as_json: Json = False,
    port: Annotated[int, typer.Option(help="Port of /metrics; 0 takes a free one.")] = 0,
    is_scaled: Annotated[
        bool, typer.Option("--scaled", help="Two folds and two judges, of which one each is killed on stage.")
    ] = False,
) -> None:
    """Show driftd at work: an embedded broker, two models, the real daemon, and planted incidents.

    Exits with 0 only if every incident was detected and delivered, and nothing else fired; with --scaled also only if
    the others took over from those that were killed.
    """
    from monitor.demo import run_demo

    with errors():
        is_good = run_demo(None if forever else seconds, as_json=as_json, port=port, is_scaled=is_scaled)
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
    from monitor.drill import live, twin
    from monitor.drill.report import Order

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
def presets(name: Annotated[str | None, typer.Argument(help="The one to print; none: a list.")] = None) -> None:
    """List the rules that are ready for a kind of deployment, or print one of them, to be read or changed."""
    with errors():
        if name is not None and name not in ready.names():
            raise typer.BadParameter(f"{name}: not a preset; {did_you_mean(name, ready.names())}")
        listed = (f"{each:<22} {ready.summary(each)}" for each in ready.names())
        typer.echo("\n".join(listed) if name is None else ready.text(name).rstrip())


@cli.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    typer.echo(json.dumps(settings_schema(), indent=2))


@cli.command()
def version(as_json: Json = False) -> None:
    """Print the version."""
    typer.echo(json.dumps({"version": __version__}) if as_json else f"driftd {__version__}")


def main() -> None:
    """Run the command that the arguments name."""
    cli()
