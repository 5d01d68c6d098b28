"""`driftd gate`: may a candidate version take the incumbent's place? Exit codes for pipelines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import typer

from monitor.commands import FAILED, ConfigPath, Json, daemon_url, errors, settings_of
from monitor.config import load_settings
from monitor.config.releases import ReleaseSettings
from monitor.errors import ConfigError, SourceError
from monitor.explain.finding import ask as ask_daemon
from monitor.gate.counts import NEWEST, PREVIOUS, model_of, pair_of, totals_of
from monitor.gate.findings import Verdict
from monitor.gate.report import ask
from monitor.versions import ModelTotals

NOT_YET: Final = 3
EXITS: Final = {Verdict.PASS: 0, Verdict.FAIL: FAILED, Verdict.INSUFFICIENT: NOT_YET}


def gate(  # noqa: PLR0913, PLR0917 - one parameter per option
    model: Annotated[str, typer.Option(help="Served model.")],
    incumbent: Annotated[str, typer.Option(help="Version in charge; previous: the one before.")] = PREVIOUS,
    candidate: Annotated[str, typer.Option(help="Version that would take its place; newest: seen last.")] = NEWEST,
    segment: Annotated[
        str | None, typer.Option(help="Name of a watched segment, in place of releases.segment; '' for none.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Configuration file whose section `releases` is the policy [default: --config].")
    ] = None,
    counts: Annotated[
        Path | None, typer.Option(help="File of `replay --counts-out`, to read in place of asking a daemon.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where the daemon listens [default: as configured].")] = None,
    config: ConfigPath = None,
    as_json: Json = False,
) -> None:
    """Judge a candidate version against the incumbent: pass, fail, or insufficient evidence. Ask as often as you like.

    Exits with 0 for pass, 1 for fail, 3 for insufficient evidence.
    """
    with errors():
        policies = _policy(policy) if policy else settings_of(config, topics_required=False).releases
        models = from_file(counts) if counts else from_daemon(url or daemon_url(config), model)
        found = ask(model, pair_of(model_of(models, model), incumbent, candidate), policies.policy(segment))
        typer.echo(json.dumps(found.to_dict(), allow_nan=False) if as_json else found.to_text())
        raise typer.Exit(EXITS[found.release.verdict])


def _policy(path: Path) -> ReleaseSettings:
    settings = load_settings(path, {}, topics_required=False)
    if "releases" not in settings.model_fields_set:
        raise ConfigError(f"{path}: has no section 'releases', so there is no policy in it")
    return settings.releases


def from_daemon(url: str, model: str) -> list[ModelTotals]:
    """Give what a running daemon has counted of a model's versions. Raises DriftdError."""
    path = f"/api/v1/counts?model={quote(model, safe='')}"
    return totals_of(ask_daemon(url, path), url.rstrip("/") + path)


def from_file(path: Path) -> list[ModelTotals]:
    """Give what `replay --counts-out` wrote. Raises DriftdError."""
    try:
        return totals_of(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from None
