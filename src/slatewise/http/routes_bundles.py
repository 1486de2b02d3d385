"""/v1/bundles: what was published, and which one is live."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from slatewise.http.door import Door
from slatewise.http.encoding import json_response
from slatewise.http.errors import described
from slatewise.http.fields import PathId
from slatewise.http.home_api import BundleSummary
from slatewise.http.responses import BundlesOut, PromotedOut

BundleId = Annotated[PathId, Path(description="The bundle's id.")]


def routes(door: Door) -> APIRouter:
    """Return the routes of bundles."""
    router = APIRouter(prefix="/v1/bundles", tags=["bundles"])

    @router.get("", summary="Published bundles", response_model=BundlesOut, responses=described(503))
    async def bundles() -> Response:
        """Return every published bundle with its offline metrics."""
        found = await door.read(door.home.bundles)
        return json_response({"bundles": [_told(bundle) for bundle in found]})

    @router.post(
        "/{bundle_id}/promote",
        summary="Make a bundle live",
        response_model=PromotedOut,
        responses=described(404, 409, 422, 503),
    )
    async def promote(bundle_id: BundleId) -> Response:
        """Make a bundle live, atomically; promoting an older one rolls back. If it does not fit, the live one stays."""
        return json_response({"bundle": await door.write(door.home.promote, bundle_id)})

    return router


def _told(bundle: BundleSummary) -> dict[str, object]:
    return {"id": bundle.id, "created_at": bundle.created_at, "live": bundle.live, "metrics": bundle.metrics}
