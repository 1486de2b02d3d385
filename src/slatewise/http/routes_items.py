"""/v1/items: the catalogue, one item at a time or in batches, and what is similar to an item."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from slatewise.domain.events import ItemChange
from slatewise.http import parsing
from slatewise.http.door import Door
from slatewise.http.encoding import json_response
from slatewise.http.errors import described
from slatewise.http.fields import MANY, PathId
from slatewise.http.requests import ItemsIn
from slatewise.http.responses import ItemOut, ReceiptOut, SimilarOut

ItemId = Annotated[PathId, Path(description="The item's id, percent-encoded; slashes may stand as they are.")]
Size = Annotated[int, Query(ge=1, le=MANY, description="Items wanted; serving.max_size at most.")]


def routes(door: Door) -> APIRouter:
    """Return the routes of items."""
    router = APIRouter(prefix="/v1/items", tags=["items"])

    @router.put(
        "",
        summary="Add or replace items",
        response_model=ReceiptOut,
        responses=described(400, 413, 415, 422, 503, 507),
    )
    async def put_items(sent: ItemsIn) -> Response:
        """Store each item's whole new state. A new item with attributes alone can be recommended at once."""
        now = door.clock.now()
        items = [parsing.item_change(item, now) for item in sent.items]
        return json_response(await door.write_batch("items", door.home.put_items, items))

    # Before the item itself, whose id may hold slashes and would take this path for its own.
    @router.get(
        "/{item_id:path}/similar",
        summary="Items most like one",
        response_model=SimilarOut,
        responses=described(404, 422, 503),
    )
    async def similar(item_id: ItemId, size: Size = 10) -> Response:
        """Return the items most like this one, best first."""
        door.check_size(size)
        items = await door.slate(door.home.similar, item_id, size)
        return json_response({"item_id": item_id, "items": items})

    @router.get(
        "/{item_id:path}",
        summary="An item as it stands",
        response_model=ItemOut,
        responses=described(404, 422, 503),
    )
    async def item(item_id: ItemId) -> Response:
        """Return the item's current state."""
        return json_response(_told(await door.read(door.home.item, item_id)))

    @router.delete(
        "/{item_id:path}",
        summary="Remove an item",
        response_model=ReceiptOut,
        responses=described(404, 422, 503, 507),
    )
    async def delete_item(item_id: ItemId) -> Response:
        """Remove the item from the catalogue: no answer asked for after this one shows it."""
        return json_response(await door.remove(door.home.delete_item, item_id))

    return router


def _told(item: ItemChange) -> dict[str, object]:
    return {
        "item_id": item.item_id,
        "title": item.title,
        "categories": item.categories,
        "attributes": item.attributes,
        "available": item.available,
        "created_at": item.created_at,
        "changed_at": item.at,
    }
