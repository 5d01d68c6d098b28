"""The JSON API: what is known, read from the last snapshot."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from monitor.gate.counts import counts_dict
from monitor.scorecard import scorecards
from monitor.status import alerts_dict, one_alert_dict, segments_dict, status_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from monitor.domain import Snapshot


def api_pages(
    latest: Callable[[], Snapshot | None],
) -> Mapping[str, Callable[[Request], Awaitable[Response]]]:
    """Give the pages by path. latest: gives the last snapshot, None before the first."""

    async def status(request: Request) -> Response:
        snapshot, model = latest(), request.query_params.get("model")
        told = {"ready": False, "not_ready_because": "starting"} if snapshot is None else status_of(snapshot, model)
        return json_answer(told)

    async def alerts(request: Request) -> Response:
        snapshot, model = latest(), request.query_params.get("model")
        return json_answer({"alerts_count": 0, "alerts": []} if snapshot is None else alerts_dict(snapshot, model))

    async def alert(request: Request) -> Response:
        snapshot, key = latest(), request.path_params["dedup_key"]
        told = None if snapshot is None else one_alert_dict(snapshot, key)
        if told is None:
            return json_answer({"error": "no such alert is active or ended lately"}, 404)
        return json_answer(told)

    async def segments(request: Request) -> Response:
        snapshot, model = latest(), request.query_params.get("model")
        if snapshot is None:
            return json_answer({"window": None, "compared": 0, "segments_count": 0, "segments": []})
        return json_answer(await run_in_threadpool(segments_dict, snapshot, model))

    async def counts(request: Request) -> Response:
        snapshot, model = latest(), request.query_params.get("model")
        models = [each for each in (snapshot.picture.releases if snapshot else ()) if model in {None, each.model}]
        return json_answer(counts_dict(models, snapshot.picture.watermark_s if snapshot else None))

    async def gates(_: Request) -> Response:
        snapshot = latest()
        return json_answer({"gates": [gate.details for gate in snapshot.gates] if snapshot else []})

    async def cards(request: Request) -> Response:
        snapshot, model = latest(), request.query_params.get("model")
        return json_answer({} if snapshot is None else await run_in_threadpool(scorecards, snapshot, model))

    pages = {"/api/v1/status": status, "/api/v1/alerts": alerts, "/api/v1/alerts/{dedup_key}": alert}
    return pages | {
        "/api/v1/segments": segments,
        "/api/v1/counts": counts,
        "/api/v1/gates": gates,
        "/api/v1/scorecards": cards,
    }


def json_answer(told: object, status: int = 200) -> Response:
    """Give an answer in JSON; what is not finite is null."""
    try:
        body = msgspec.json.encode(told)
    except UnicodeEncodeError:  # half a character in a name: JSON can tell of it, UTF-8 can't
        body = json.dumps(msgspec.to_builtins(told), allow_nan=False).encode("ascii")
    return Response(body, status, media_type="application/json")
