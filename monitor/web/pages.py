"""The pages, each made from the last snapshot, and the one thing that can be asked for: a reload."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from monitor.harmless import escaped
from monitor.web.api import api_pages, json_answer
from monitor.web.probes import readiness
from monitor.web.terms import NOTES, Notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from monitor.domain import Snapshot
    from monitor.exporter import Encoding, Exporter
    from monitor.web.probes import Liveness, Probe

TEXT_FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
REASON_CHARACTERS_MAX: Final = 2_000

log = structlog.get_logger()


def application(
    latest: Callable[[], Snapshot | None],
    exporter: Exporter,
    liveness: Liveness,
    reload: Callable[[], str | None] | None = None,
    notes: Notes | None = None,
) -> Starlette:
    """Give the ASGI application.

    exporter: called on another thread, by one request at a time. reload, notes: see WebServer. Pages are made on one
    more thread, so a probe never waits for a scrape.
    """
    scraping = asyncio.Lock()

    async def metrics(request: Request) -> Response:
        encoding: Encoding = "gzip" if _accepts_gzip(request.headers.get("accept-encoding", "")) else "identity"
        async with scraping:
            page = await run_in_threadpool(exporter.page, encoding)
        headers = {"content-type": TEXT_FORMAT, "vary": "accept-encoding"}
        return Response(page, headers=headers | ({"content-encoding": encoding} if encoding != "identity" else {}))

    async def livez(_: Request) -> Response:
        return _answer(liveness.probe(latest()))

    async def readyz(_: Request) -> Response:
        snapshot = latest()
        return _answer(readiness(snapshot, liveness.probe(snapshot)))

    async def index(_: Request) -> Response:
        return HTMLResponse(_INDEX)

    pages = {"/": index, "/metrics": metrics, "/livez": livez, "/readyz": readyz, **api_pages(latest)}
    routes = [Route(path, page, methods=["GET"]) for path, page in pages.items()]  # GET brings HEAD along
    routes += [Route("/-/reload", _reloading(reload), methods=["POST"])]
    routes += [Route(path, _noting(notes), methods=["GET", "POST"]) for path in NOTES]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False  # /metrics/ is a mistake to be told, not to be followed
    return app


def _reloading(reload: Callable[[], str | None] | None) -> Callable[[Request], object]:
    one_at_a_time = asyncio.Lock()

    async def page(_: Request) -> Response:
        if reload is None:
            return PlainTextResponse("admin verbs are off; http.admin turns them on\n", 403)
        try:
            async with one_at_a_time:
                fault = await run_in_threadpool(reload)
        except Exception:  # whatever it was, the daemon goes on as it was, and whoever asked is told
            log.exception("reload failed unexpectedly")
            fault = "failed unexpectedly; see the log"
        return PlainTextResponse("reloaded\n" if fault is None else f"{fault}\n", 200 if fault is None else 500)

    return page


def _noting(notes: Notes | None) -> Callable[[Request], object]:
    async def page(request: Request) -> Response:
        if request.method != "POST":
            model = request.query_params.get("model")
            return json_answer({"annotations": [] if notes is None else notes.latest(model)})
        if notes is None or not notes.is_open:
            return PlainTextResponse("annotations are off; http.admin turns them on\n", 403)
        try:
            return json_answer(notes.add(json.loads(await request.body())), 201)
        except (ValueError, RecursionError) as error:
            why = "not JSON in UTF-8" if not isinstance(error, ValueError) or _is_syntax(error) else str(error)
            return PlainTextResponse(f"{escaped(why)}\n", 400)

    return page


def _is_syntax(error: ValueError) -> bool:
    return isinstance(error, json.JSONDecodeError | UnicodeDecodeError)


def _answer(probe: Probe) -> Response:
    text = escaped(probe.reason[:REASON_CHARACTERS_MAX])  # it may name a topic, which came from outside
    return PlainTextResponse(f"{text}\n", 200 if probe.is_good else 503)


def _accepts_gzip(header: str) -> bool:
    for each in header.lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        if name == "gzip":
            return not any(part.replace(" ", "").rstrip("0.") == "q=" for part in parameters)
    return False


_INDEX: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>driftd</title>
<h1>driftd</h1>
<ul>
<li><a href="/metrics">/metrics</a>: all numbers, for Prometheus
<li><a href="/api/v1/status">/api/v1/status</a>: models, alerts and partitions, as JSON
<li><a href="/api/v1/alerts">/api/v1/alerts</a>: alerts in full, those that ended lately too, as JSON
<li><a href="/api/v1/counts">/api/v1/counts</a>: what versions of a model have counted side by side, as JSON
<li><a href="/api/v1/gates">/api/v1/gates</a>: what the configured gates say, as JSON
<li><a href="/api/v1/segments">/api/v1/segments</a>: segments that are worse than the rest, as JSON
<li><a href="/livez">/livez</a>: whether it runs
<li><a href="/readyz">/readyz</a>: whether its numbers may be relied upon
</ul>
</html>
"""
