"""POST /v1/events: what users did."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from slatewise.http import parsing
from slatewise.http.door import Door
from slatewise.http.encoding import json_response
from slatewise.http.errors import described
from slatewise.http.requests import EventsIn
from slatewise.http.responses import ReceiptOut


def routes(door: Door) -> APIRouter:
    """Return the routes of events."""
    router = APIRouter(prefix="/v1", tags=["events"])

    @router.post(
        "/events",
        summary="Record what users did",
        response_model=ReceiptOut,
        responses=described(400, 409, 413, 415, 422, 503, 507),
    )
    async def record(sent: EventsIn) -> Response:
        """Store interactions, all or none. Once answered, they are durable and every later slate reflects them.

        An event_id that came before counts once; with another user, item, action or value it is refused with 409.
        """
        now, default = door.clock.now(), door.home.settings.ingest.default_action
        events = [parsing.interaction(event, now, default) for event in sent.events]
        return json_response(await door.record(events, door.overload.events))

    return router
