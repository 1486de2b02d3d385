"""Which scope each route asks for, and which route a request is meant for. Decides on templates, never on prefixes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

OPEN = "open"
"""Scope of what anyone may ask: it tells nothing."""

SCOPE_OF: Mapping[tuple[str, str], str] = {
    ("POST", "/v1/recommendations"): "serve",
    ("GET", "/v1/recommendations/{user_id}"): "serve",
    ("GET", "/v1/items/{item_id}/similar"): "serve",
    ("POST", "/v1/events"): "events",
    ("PUT", "/v1/users"): "events",
    ("PUT", "/v1/items"): "catalogue",
    ("GET", "/v1/items/{item_id}"): "catalogue",
    ("DELETE", "/v1/items/{item_id}"): "catalogue",
    ("GET", "/v1/users/{user_id}"): "admin",
    ("GET", "/v1/users/{user_id}/export"): "admin",
    ("DELETE", "/v1/users/{user_id}"): "admin",
    ("POST", "/v1/bundles/{bundle_id}/promote"): "admin",
    ("GET", "/v1/bundles"): "observe",
    ("GET", "/readyz"): "observe",
    ("GET", "/metrics"): "observe",
    ("GET", "/openapi.json"): "observe",
    ("GET", "/docs"): "observe",
    ("GET", "/docs/{name}"): "observe",
    ("GET", "/healthz"): OPEN,
}
"""By method and template. A route that is not listed keeps the application from being made."""

BROWSED = frozenset({"/docs", "/docs/{name}", "/openapi.json"})
"""Pages for browsers, which ask for a password but send no headers of ours: the key may come as one."""


@dataclass(frozen=True, slots=True)
class Matched:
    """The route a request is meant for; ``path_format`` is its template, as the library's own routes call it."""

    path_format: str
    scope: str
    is_browsed: bool


@dataclass(frozen=True, slots=True)
class Unmatched:
    """No route. ``allowed`` holds the methods offered at this path; empty where there is nothing at all."""

    allowed: tuple[str, ...]
    path_format: str | None
    """The template of the path, None where there is nothing."""


@dataclass(frozen=True, slots=True)
class _Route:
    pattern: re.Pattern[str]
    methods: frozenset[str]
    template: str
    by_method: Mapping[str, Matched] = field(default_factory=dict)


class RouteTable:
    """Every route of an application in the order in which its router tries them, by the router's own patterns.

    Raises ValueError for a route without a scope: whoever adds a route decides who may call it.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        found = [_declared(route) for route in iter_route_contexts(routes)]
        self._fixed = {r.template: self._search(found, r.template) for r in found if "{" not in r.template}
        self._open_ended = [r for r in found if "{" in r.template]

    def match(self, method: str, path: str) -> Matched | Unmatched:
        """Return the route for a path as it was sent, percent-encoded: nothing is decoded, joined or cleaned up."""
        by_method = self._fixed.get(path)
        if by_method is None:
            by_method = self._search(self._open_ended, path)
        template = next((matched.path_format for matched in by_method.values()), None)
        return by_method.get(method) or Unmatched(tuple(sorted(by_method)), template)

    @staticmethod
    def _search(routes: Sequence[_Route], path: str) -> Mapping[str, Matched]:
        found: dict[str, Matched] = {}
        for route in routes:
            if route.pattern.match(path):
                found = {**route.by_method, **found}
        return found


def _declared(route: object) -> _Route:
    template = getattr(route, "path_format", None)
    methods = frozenset(getattr(route, "methods", None) or ())
    pattern = getattr(route, "path_regex", None)
    if template is None or pattern is None or not methods:
        raise ValueError(f"{route!r} is no plain route: who may call it cannot be told (http/scopes.py)")
    by_method = {}
    for method in methods:
        scope = SCOPE_OF.get(("GET" if method == "HEAD" else method, template))
        if scope is None:
            raise ValueError(f"{method} {template} declares no scope: add it to SCOPE_OF in http/scopes.py")
        by_method[method] = Matched(template, scope, template in BROWSED)
    return _Route(pattern, methods, template, by_method)
