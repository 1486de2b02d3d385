"""Which requests matter more when not all can be served, told from method and path alone. Reads no body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["slates", "events", "bulk"]

BIG_BODY_BYTES = 65_536
"""Events in a larger body are an import, not what users do now."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route by its template, and its class. ``path_format`` is what Starlette calls the template."""

    path_format: str
    kind: Kind


RECORD = Route("/v1/events", "events")
RECORD_MANY = Route("/v1/events", "bulk")
RECOMMEND = Route("/v1/recommendations", "slates")
RECOMMEND_TO = Route("/v1/recommendations/{user_id}", "slates")
SIMILAR = Route("/v1/items/{item_id}/similar", "slates")
EXPORT = Route("/v1/users/{user_id}/export", "bulk")

_USER = len("/v1/recommendations/")
_ITEM = len("/v1/items/")
_SIMILAR = len("/similar")
_SHORTEST_EXPORT = len("/v1/users//export")

_WHOLE = {
    ("POST", "/v1/events"): RECORD,
    ("POST", "/v1/recommendations"): RECOMMEND,
    ("PUT", "/v1/items"): Route("/v1/items", "bulk"),
    ("PUT", "/v1/users"): Route("/v1/users", "bulk"),
    ("GET", "/v1/bundles"): Route("/v1/bundles", "bulk"),
}
_BELOW = (
    ("/v1/items/", Route("/v1/items/{item_id}", "bulk"), Route("/v1/items/{item_id}", "events")),
    ("/v1/users/", Route("/v1/users/{user_id}", "bulk"), Route("/v1/users/{user_id}", "events")),
    ("/v1/bundles/", Route("/v1/bundles/{bundle_id}/promote", "bulk"), None),
)
"""Prefix, what reads or changes one thing below it, and what removes it: a removal is as urgent as an event."""


def classify(method: str, path: str, body_bytes: int = 0) -> Route | None:
    """Return the route and class of a request with a percent-encoded path; None for what is always answered.

    That is /healthz, /readyz, /metrics, the documents, and what meets no route.
    """
    route = _WHOLE.get((method, path))
    if route is not None:
        return RECORD_MANY if route is RECORD and body_bytes > BIG_BODY_BYTES else route
    if method == "GET":
        if path.startswith("/v1/recommendations/"):
            return RECOMMEND_TO
        if item_of(path) is not None:
            return SIMILAR
        if path.startswith("/v1/users/") and path.endswith("/export") and len(path) >= _SHORTEST_EXPORT:
            return EXPORT
    for prefix, touched, removed in _BELOW:
        if path.startswith(prefix):
            return removed if method == "DELETE" else touched
    return None


def user_of(path: str) -> str:
    """Return the user id of a `RECOMMEND_TO` path, as it was sent."""
    return path[_USER:]


def item_of(path: str) -> str | None:
    """Return the item id of a `SIMILAR` path, as it was sent; None for other paths."""
    if path.endswith("/similar") and path.startswith("/v1/items/") and len(path) >= _ITEM + _SIMILAR:
        return path[_ITEM:-_SIMILAR]
    return None
