"""The hot routes without the framework: decode, run, encode. Everything unusual goes on to the framework.

A request takes this way only if all of it is as expected; whatever is not, from a wrong field to a form of query string
that nobody sends, is left to the routes behind, as it came. So errors are defined once, there, and ``/openapi.json``
describes both ways.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from slatewise.domain.errors import SlatewiseError
from slatewise.domain.query import Query
from slatewise.http import parsing
from slatewise.http.classes import (
    RECOMMEND,
    RECOMMEND_TO,
    RECORD,
    RECORD_MANY,
    SIMILAR,
    Route,
    classify,
    item_of,
    user_of,
)
from slatewise.http.door import Door
from slatewise.http.encoding import json_bytes
from slatewise.http.errors import answered
from slatewise.http.fields import decoded
from slatewise.http.messages import is_json, replayed, whole
from slatewise.http.overload import declared_bytes
from slatewise.http.quick import decoder
from slatewise.http.repeating import name_of
from slatewise.http.requests import EventsIn, RecommendationIn
from slatewise.http.routes_recommendations import told

_SIZE = re.compile(rb"size=([1-9][0-9]{0,4})")
_DEFAULT_SIZE = 10
_READ, _WITH_BODY = (RECOMMEND_TO, SIMILAR), (RECOMMEND, RECORD, RECORD_MANY)
_REFUSED = (msgspec.MsgspecError, ValueError, RecursionError)

_events = decoder(EventsIn)
_recommendation = decoder(RecommendationIn)


class HotPath:
    """Answers good requests to events, recommendations and similar; hands on all others."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work: Awaitable[object] | None = None
        if scope["type"] == "http" and not scope.get("root_path"):
            route = classify(scope["method"], scope["path"], declared_bytes(scope["headers"]))
            if route in _READ:
                work = self._read(route, scope)
            elif route in _WITH_BODY and is_json(scope["headers"]):
                body = await whole(receive)
                if body is None:
                    return
                receive = replayed(body, receive)
                work = self._recommend(body) if route is RECOMMEND else self._record(body, route)
        if work is None:
            return await self._app(scope, receive, send)
        scope["route"] = route
        try:
            content = json_bytes(await work)
        except SlatewiseError as error:
            return await answered(scope, error)(scope, receive, send)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(content)), (b"content-type", b"application/json")],
            }
        )
        await send({"type": "http.response.body", "body": content})

    def _read(self, route: Route | None, scope: Scope) -> Awaitable[object] | None:
        size = self._size(scope["query_string"])
        sent = user_of(scope["path"]) if route is RECOMMEND_TO else item_of(scope["path"])
        if size is None or sent is None:
            return None
        try:
            name = decoded(sent)
        except ValueError:
            return None
        if route is SIMILAR:
            return self._similar(name, size)
        door = self._door
        query = Query(request_id=door.home.new_request_id(), at=door.clock.now(), size=size, user_id=name)
        return self._slate(query, name_of(scope["path"].encode("latin-1"), scope["query_string"]))

    def _recommend(self, body: bytes) -> Awaitable[object] | None:
        try:
            sent = _recommendation(body)
        except _REFUSED:
            return None
        if sent.size > self._door.home.settings.serving.max_size:
            return None
        return self._slate(parsing.query(sent, self._door.home.new_request_id(), self._door.clock.now()), body)

    def _record(self, body: bytes, route: Route | None) -> Awaitable[object] | None:
        try:
            sent = _events(body)
        except _REFUSED:
            return None
        now, default = self._door.clock.now(), self._door.home.settings.ingest.default_action
        events = [parsing.interaction(event, now, default) for event in sent.events]
        overload = self._door.overload
        return self._door.record(events, overload.events if route is RECORD else overload.bulk)

    async def _slate(self, query: Query, name: bytes) -> object:
        answer = await self._door.answer(query)
        if answer.cached:
            self._door.home.encores.remember(name, query)
        return told(answer)

    async def _similar(self, item_id: str, size: int) -> object:
        return {"item_id": item_id, "items": await self._door.slate(self._door.home.similar, item_id, size)}

    def _size(self, query_string: bytes) -> int | None:
        if not query_string:
            return _DEFAULT_SIZE
        found = _SIZE.fullmatch(query_string)
        size = int(found[1]) if found else 0
        return size if 1 <= size <= self._door.home.settings.serving.max_size else None
