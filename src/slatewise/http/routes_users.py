"""/v1/users: what is known of users beyond what they did."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from slatewise.http import parsing
from slatewise.http.door import Door
from slatewise.http.encoding import json_response
from slatewise.http.errors import described
from slatewise.http.fields import PathId
from slatewise.http.requests import UsersIn
from slatewise.http.responses import ReceiptOut, UserOut

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
        summary="Forget a user",
        response_model=ReceiptOut,
        responses=described(404, 422, 503, 507),
    )
    async def delete_user(user_id: UserId) -> Response:
        """Forget the user: history and attributes no longer count in any answer or training."""
        return json_response(await door.remove(door.home.delete_user, user_id))

    return router
