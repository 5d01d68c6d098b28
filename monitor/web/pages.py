"""The pages, each made from the last snapshot, and the one thing that can be asked for: a reload."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from monitor.harmless import escaped
from monitor.status import alerts_dict, one_alert_dict, segments_dict, status_of
from monitor.web.probes import readiness

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
) -> Starlette:
    """Give the ASGI application. exporter: called on another thread, by one request at a time. reload: see WebServer.

    Pages are made on one more thread, so a probe never waits for a scrape.
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

    async def status(request: Request) -> Response:
        snapshot, model = latest(), request.query_params.get("model")
        told = {"ready": False, "not_ready_because": "starting"} if snapshot is None else status_of(snapshot, model)
        return _json(told)

    async def alerts(request: Request) -> Response:
        snapshot, model = latest(), request.query_params.get("model")
        return _json({"alerts_count": 0, "alerts": []} if snapshot is None else alerts_dict(snapshot, model))

    async def alert(request: Request) -> Response:
        snapshot, key = latest(), request.path_params["dedup_key"]
        told = None if snapshot is None else one_alert_dict(snapshot, key)
        return _json({"error": "no such alert is active or ended lately"}, 404) if told is None else _json(told)

    async def segments(request: Request) -> Response:
        snapshot, model = latest(), request.query_params.get("model")
        if snapshot is None:
            return _json({"window": None, "compared": 0, "segments_count": 0, "segments": []})
        return _json(await run_in_threadpool(segments_dict, snapshot, model))

    async def index(_: Request) -> Response:
        return HTMLResponse(_INDEX)

    pages = {"/": index, "/metrics": metrics, "/livez": livez, "/readyz": readyz, "/api/v1/status": status}
    pages |= {"/api/v1/alerts": alerts, "/api/v1/alerts/{dedup_key}": alert, "/api/v1/segments": segments}
    routes = [Route(path, page, methods=["GET"]) for path, page in pages.items()]  # GET brings HEAD along
    app = Starlette(routes=[*routes, Route("/-/reload", _reloading(reload), methods=["POST"])])
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


def _json(told: object, status: int = 200) -> Response:
    try:
        body = msgspec.json.encode(told)
    except UnicodeEncodeError:  # half a character in a name: JSON can tell of it, UTF-8 can't
        body = json.dumps(msgspec.to_builtins(told), allow_nan=False).encode("ascii")
    return Response(body, status, media_type="application/json")


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
<li><a href="/api/v1/segments">/api/v1/segments</a>: segments that are worse than the rest, as JSON
<li><a href="/livez">/livez</a>: whether it runs
<li><a href="/readyz">/readyz</a>: whether its numbers may be relied upon
</ul>
</html>
"""
