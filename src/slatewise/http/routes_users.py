"""/v1/users: what is known of users beyond what they did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response, StreamingResponse

from slatewise.http import parsing
from slatewise.http.door import Door
from slatewise.http.encoding import json_response
from slatewise.http.errors import described
from slatewise.http.fields import PathId
from slatewise.http.requests import UsersIn
from slatewise.http.responses import ErasureOut, ReceiptOut, UserExportOut, UserOut

UserId = Annotated[PathId, Path(description="The user's id, percent-encoded; slashes may stand as they are.")]


def routes(door: Door) -> APIRouter:
    """Return the routes of users."""
    router = APIRouter(prefix="/v1/users", tags=["users"])

    @router.put(
        "",
        summary="Describe users",
        response_model=ReceiptOut,
        responses=described(400, 413, 415, 422, 503, 507),
    )
    async def put_users(sent: UsersIn) -> Response:
        """Store each user's whole new attributes. Users need not be described to be served."""
        now = door.clock.now()
        users = [parsing.user_change(user, now) for user in sent.users]
        return json_response(await door.write_batch("users", door.home.put_users, users))

    @router.get(
        "/{user_id:path}/export",
        summary="All that is known of a user",
        response_model=UserExportOut,
        responses=described(404, 422, 503),
    )
    async def export_user(user_id: UserId) -> Response:
        """Return attributes, interactions and impressions, as one JSON object that is sent while it is read."""
        parts = await door.read(door.home.export_user, user_id)

        async def sent() -> AsyncIterator[bytes]:
            # The first part was let in; the rest must not be refused once the answer has begun.
            while part := await door.operate(next, parts, b""):
                yield part

        return StreamingResponse(sent(), media_type="application/json")

    @router.get(
        "/{user_id:path}",
        summary="A user's attributes",
        response_model=UserOut,
        responses=described(404, 422, 503),
    )
    async def user(user_id: UserId) -> Response:
        """Return the user's attributes as last told."""
        found = await door.read(door.home.user, user_id)
        return json_response({"user_id": found.user_id, "attributes": found.attributes, "changed_at": found.at})

    @router.delete(
        "/{user_id:path}",
        summary="Erase a user",
        response_model=ErasureOut,
        responses=described(404, 422, 503, 507),
    )
    async def delete_user(user_id: UserId) -> Response:
        """Destroy all that is known of the user, down to the bytes, and say what it was. Backups are not touched."""
        return json_response(await door.remove(door.home.delete_user, user_id))

    return router
