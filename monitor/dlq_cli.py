"""`driftd dlq`: messages that could not be used, and what to do with them."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from monitor import logs
from monitor.commands import ConfigPath, Json, errors, settings_of
from monitor.errors import ConfigError
from monitor.redelivery import REPLAYS_MAX, Replay, replay

dlq = typer.Typer(no_args_is_help=True, help="Put messages back that could not be used, once the cause is mended.")


@dlq.callback()
def about() -> None:
    """Put messages back that could not be used, once the cause is mended."""


@dlq.command("replay")
def replay_letters(  # noqa: PLR0913, PLR0917 - one parameter per option
    from_topic: Annotated[str | None, typer.Option(help="Topic of dead letters [default: dead_letters.topic].")] = None,
    to: Annotated[str, typer.Option(help="Topic to put them to [default: where each came from].")] = "",
    reason: Annotated[list[str] | None, typer.Option(help="Only those rejected so; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and put nothing back.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what an earlier run has put back.")] = False,
    replays_max: Annotated[int, typer.Option(help="Leave those that were put back so often.")] = REPLAYS_MAX,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Produce dead letters to their topics again, each once; a second run goes on where the first ended."""
    with errors():
        settings = settings_of(config)
        logs.set_up("warning", settings.log.format)
        source = from_topic or settings.dead_letters.topic
        if source is None:
            raise ConfigError("no topic of dead letters: name it with --from-topic or in dead_letters.topic")
        order = Replay(source, to, frozenset(reason or ()), dry_run, again, replays_max)
        found = replay(settings, order)
        typer.echo(json.dumps(found.to_dict()) if as_json else found.to_text())
