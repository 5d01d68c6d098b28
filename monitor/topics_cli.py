"""`driftd topics`: the topics by which folds and judges reach each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from monitor import build
from monitor.commands import FAILED, ConfigPath, Json, errors, settings_of
from monitor.relay.topics import Created, Wanted, create
from monitor.topic_check import wanted_topics

topics = typer.Typer(no_args_is_help=True, help="Make the topics of `fold` and `judge`.")


@topics.callback()
def about() -> None:
    """Make the topics of `fold` and `judge`."""


@topics.command("create")
def create_topics(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and make nothing.")] = False,
    replicas: Annotated[int | None, typer.Option(min=1, help="Copies of each [default: scaleout.replicas].")] = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Make the topics of deltas, layouts and states that are not there, with all that they need.

    What is there is never changed: it is told where it is other than it must be, with the cure, and the exit code is 1.
    """
    with errors():
        settings = settings_of(config)
        wanted = wanted_topics(settings, replicas)
        done = create(build.client_options(settings), wanted, is_dry=dry_run)
        told = _told(wanted, done, is_dry=dry_run)
        typer.echo(json.dumps(told) if as_json else "\n".join(_lines(wanted, done, is_dry=dry_run)))
        raise typer.Exit(FAILED if done.problems else 0)


def _told(wanted: Sequence[Wanted], done: Created, *, is_dry: bool) -> dict[str, Any]:
    return {
        "dry_run": is_dry,
        "topics": [
            {
                "name": each.name,
                "made": each.name in done.made,
                "partitions": each.partitions,
                "replicas": each.replication,
                "config": dict(each.config),
            }
            for each in wanted
        ],
        "problems": list(done.problems),
    }


def _lines(wanted: Sequence[Wanted], done: Created, *, is_dry: bool) -> Iterator[str]:
    for each in wanted:
        own = [text for text in done.problems if text.startswith(f"topic {each.name!r}")]
        if each.name in done.made:
            what = "would be made" if is_dry else "made"
            yield f"{what}: {each.name}, {each.partitions} partition(s), {each.replication} replica(s): {each.why}"
            if is_dry:
                yield from (f"    {name}={value}" for name, value in sorted(each.config.items()))
        elif own:
            yield f"is there, and is not as it must be; nothing was changed: {each.name}"
            yield from (f"    {text}" for text in own)
        else:
            yield f"is there, as it must be: {each.name}"
