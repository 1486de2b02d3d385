"""/healthz, /readyz and /metrics: what whoever runs the server asks."""

from __future__ import annotations

import logging

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from slatewise.domain.errors import NotReady, SlatewiseError
from slatewise.http.door import Door
from slatewise.http.encoding import json_response
from slatewise.http.errors import described
from slatewise.http.home_api import HomeApi
from slatewise.http.responses import HealthOut, ReadyOut

_log = logging.getLogger(__name__)


def routes(door: Door) -> APIRouter:
    """Return the routes of operation."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", summary="Is the process alive?", response_model=HealthOut)
    async def healthz() -> Response:
        """Return 200 while the process answers at all."""
        return json_response({"status": "alive"})

    @router.get("/readyz", summary="Can it recommend?", response_model=ReadyOut, responses=described(503))
    async def readyz() -> Response:
        """Return 200 once a bundle is live, 503 before. A store that refuses writes is named; reads go on meanwhile."""
        bundle = await door.operate(_live, door.home)
        if bundle is None:
            raise NotReady("no bundle is live; train one, or promote one")
        trouble = await door.operate(lambda: door.home.trouble)
        return json_response({"status": "ready", "bundle": bundle, "version": door.home.version, "trouble": trouble})

    @router.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Return counters and timings in Prometheus' text format, summed over all workers."""
        door.overload.tell()
        door.metrics.state(door.home.version, await door.operate(_live, door.home))
        door.metrics.writable(await door.operate(lambda: door.home.trouble is None))
        # In a thread: other workers may have to be asked.
        return Response(await door.operate(door.metrics.exposition), media_type=door.metrics.exposition_type)

    return router


def _live(home: HomeApi) -> str | None:
    """Return the bundle that answers, None also where the one that should cannot be opened."""
    try:
        return home.live_bundle
    except SlatewiseError as error:
        _log.warning("the live bundle cannot be opened: %s", error)
        return None
