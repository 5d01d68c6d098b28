"""What the commands of the command line share: options, where settings come from, and how trouble ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer

from monitor.config import Settings, load_settings
from monitor.errors import ConfigError, DriftdError

FAILED: Final = 1
USAGE: Final = 2
CONFIG: Final = 78
DEFAULT_CONFIG: Final = "driftd.yaml"
BROKERS: Final = "DRIFTD_KAFKA__BOOTSTRAP_SERVERS"
TOPICS: Final = "DRIFTD_KAFKA__TOPICS"
PORT: Final = "DRIFTD_HTTP__PORT"
OPTIONS: Final = {BROKERS: "--brokers", TOPICS: "--topic", PORT: "--port"}
"""What the options of `run` stand in for, as variables of the environment would."""

ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", "-c", help=f"Configuration file [default: $DRIFTD_CONFIG, or {DEFAULT_CONFIG} if there]."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]


@contextmanager
def errors() -> Iterator[None]:
    """Turn our exceptions into a message and an exit code; a bug keeps its traceback."""
    try:
        yield
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG) from None
    except DriftdError as error:
        typer.echo(f"driftd: {error}", err=True)
        raise typer.Exit(FAILED) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(FAILED) from None


def settings_of(
    path: Path | None, given: Mapping[str, str | None] = MappingProxyType({}), *, topics_required: bool = True
) -> Settings:
    """Load the settings. given: what the command line says in place of the environment, None: nothing."""
    found = path or (Path(os.environ["DRIFTD_CONFIG"]) if os.environ.get("DRIFTD_CONFIG") else None)
    if found is None and Path(DEFAULT_CONFIG).exists():
        found = Path(DEFAULT_CONFIG)
    overrides = {name: value for name, value in given.items() if value is not None}
    try:
        return load_settings(found, {**os.environ, **overrides}, topics_required=topics_required)
    except ConfigError as error:
        text = str(error)
        for name in overrides:
            text = text.replace(f"environment {name}:", f"{OPTIONS[name]}:")
        if found is None:
            text += f"\nno file was read: name one with --config or $DRIFTD_CONFIG, or put {DEFAULT_CONFIG} here"
        raise ConfigError(text) from None


def daemon_url(config: Path | None) -> str:
    """Give where the configured daemon is asked from the machine it runs on."""
    http = settings_of(config, topics_required=False).http
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(http.host, http.host)  # noqa: S104 - told apart, not listened on
    return f"http://{host}:{http.port}"
