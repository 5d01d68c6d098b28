"""`driftd scorecard`: model versions on a page, from a running daemon or from what was saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from markdown_it import MarkdownIt

from monitor.commands import ConfigPath, daemon_url, errors, settings_of
from monitor.config import Settings
from monitor.errors import DriftdError, SourceError
from monitor.explain.finding import ask
from monitor.scorecard import FORMAT, VERSION, Card, markdown, reconciliation

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>driftd</title>
<style>
body { font-family: sans-serif }
table { border-collapse: collapse }
td, th { border: 1px solid #ccc; padding: 0.3em 0.6em; text-align: left }
</style>
"""


class Form(StrEnum):
    """How a scorecard is written."""

    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


def scorecard(  # noqa: PLR0913, PLR0917 - one parameter per option
    model: Annotated[str, typer.Option(help="Served model.")],
    version: Annotated[list[str] | None, typer.Option(help="Version; may be repeated [default: all].")] = None,
    form: Annotated[Form, typer.Option("--format", help="How it is written.")] = Form.MARKDOWN,
    offline: Annotated[
        Path | None, typer.Option(help='JSON object of metrics by KPI that were measured offline: {"accuracy": 0.93}.')
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="What --format json wrote earlier, last week for instance: tells the changes.")
    ] = None,
    reconcile: Annotated[
        bool,
        typer.Option("--reconcile", help="Offline, canary (newest version) and live (oldest) side by side."),
    ] = False,
    url: Annotated[str | None, typer.Option(help="Where the daemon listens [default: as configured].")] = None,
    config: ConfigPath = None,
) -> None:
    """Write the scorecard of model versions: quality, latency, cost, violations, drift, failures and release status."""
    with errors():
        told = ask(url or daemon_url(config), f"/api/v1/scorecards?model={quote(model, safe='')}")
        settings = settings_of(config, topics_required=False)
        measured = _object(offline) if offline else {}
        cards = [_with_people(card, settings, measured) for card in _cards(told, "the daemon")]
        cards = [card for card in cards if version is None or card["model_version"] in version]
        if not cards:
            raise DriftdError(f"model {model!r} has no such version there; see /api/v1/status for those that were seen")
        before = _cards(_object(against), str(against)) if against else []
        if form is Form.JSON:
            typer.echo(json.dumps({**told, "scorecards": cards}))
            return
        text = reconciliation(cards) if reconcile else markdown(cards, before)
        typer.echo(_html(text) if form is Form.HTML else text)


def _html(text: str) -> str:
    return f"{_PAGE}{MarkdownIt('commonmark', {'html': False}).enable('table').render(text)}</html>"


def _with_people(card: Card, settings: Settings, offline: Mapping[str, Any]) -> dict[str, Any]:
    """Add what the configuration knows of a model, and what was measured offline."""
    entry = next((each for each in settings.models if fnmatchcase(card["model"], each.match)), None)
    owner = (entry.owner if entry else None) or settings.alerts.owner
    return {**card, "owner": owner, "use_case": entry.use_case if entry else None, "offline": dict(offline)}


def _cards(document: object, where: str) -> list[Card]:
    if not isinstance(document, Mapping) or (document.get("format"), document.get("version")) != (FORMAT, VERSION):
        raise DriftdError(f"{where}: no scorecards of this version; make them with `driftd scorecard --format json`")
    return list(document["scorecards"])


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(found, dict):
        raise SourceError(f"{path}: holds no JSON object")
    return found
