"""/v1/recommendations: the slate, in the long form and the short."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from slatewise.domain.answer import Answer
from slatewise.domain.query import Query
from slatewise.http import parsing
from slatewise.http.door import Door
from slatewise.http.encoding import json_response
from slatewise.http.errors import described
from slatewise.http.requests import RecommendationIn
from slatewise.http.responses import RecommendationOut
from slatewise.http.routes_items import Size
from slatewise.http.routes_users import UserId


def routes(door: Door) -> APIRouter:
    """Return the routes of recommendations."""
    router = APIRouter(prefix="/v1/recommendations", tags=["recommendations"])

    @router.post(
        "",
        summary="Recommend items",
        response_model=RecommendationOut,
        response_model_exclude_none=True,
        responses=described(400, 410, 413, 415, 422, 503),
    )
    async def recommend(sent: RecommendationIn) -> Response:
        """Return the best items for a user, a history or a vector. An unknown user gets a sensible slate too."""
        door.check_size(sent.size)
        return await answer(parsing.query(sent, door.home.new_request_id(), door.clock.now()))

    @router.get(
        "/{user_id:path}",
        summary="Recommend items to a user",
        response_model=RecommendationOut,
        responses=described(404, 422, 503),
    )
    async def recommend_to(user_id: UserId, size: Size = 10) -> Response:
        """Return the best items for a user: the short form."""
        door.check_size(size)
        request_id = door.home.new_request_id()
        return await answer(Query(request_id=request_id, at=door.clock.now(), size=size, user_id=user_id))

    async def answer(query: Query) -> Response:
        return json_response(told(await door.answer(query)))

    return router


def told(answer: Answer) -> dict[str, object]:
    """Return what is told of a slate."""
    document: dict[str, object] = {
        "request_id": answer.request_id,
        "items": answer.items,
        "cached": answer.cached,
        "as_of": answer.as_of,
        "bundle": answer.bundle,
        "degraded": answer.degraded,
        "timing_ms": answer.timing_ms,
        "cursor": answer.cursor,
    }
    if answer.explanation is not None:
        document["explanation"] = answer.explanation
    return document
