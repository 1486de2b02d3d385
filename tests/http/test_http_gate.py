"""Who is let in: every route, by every key, over every trick with paths that other servers fell for."""

import asyncio
import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import cycle, product
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import APIRouter, FastAPI

from slatewise.domain.keys import SCOPES
from slatewise.domain.settings import HttpSettings, Settings
from slatewise.http.app import create_app
from slatewise.http.scopes import SCOPE_OF, RouteTable
from slatewise.telemetry.clock import SystemClock
from slatewise.telemetry.metrics import Metrics
from slatewise.wiring.keys import KeyFile

NEEDS = {
    "answer": "serve",
    "similar": "serve",
    "record": "events",
    "put_users": "events",
    "put_items": "catalogue",
    "item": "catalogue",
    "delete_item": "catalogue",
    "user": "admin",
    "export_user": "admin",
    "delete_user": "admin",
    "promote": "admin",
    "bundles": "observe",
    "live_bundle": "observe",
}
"""What a call of the home takes, written down apart from the table that the gate decides by."""

SCOPES_ASKED = dict(SCOPE_OF)

SENT: dict[str, object] = {
    "/v1/recommendations": {},
    "/v1/events": {"events": [{"user_id": "u", "item_id": "a"}]},
    "/v1/items": {"items": [{"item_id": "a"}]},
    "/v1/users": {"users": [{"user_id": "u"}]},
}

TRICKS = {
    "as it is": lambda p: p,
    "slash behind": lambda p: p + "/",
    "two slashes": lambda p: "/" + p,
    "two slashes inside": lambda p: p.replace("/v1/", "/v1//"),
    "dot behind": lambda p: p + ".",
    "dot segment": lambda p: "/." + p,
    "up and down": lambda p: "/healthz/.." + p,
    "up and down, encoded": lambda p: "/healthz/%2e%2e" + p,
    "below what is open": lambda p: "/healthz" + p,
    "encoded letter": lambda p: p.replace("/v1/", "/%76%31/"),
    "encoded slash": lambda p: "/" + p[1:].replace("/", "%2F"),
    "encoded twice": lambda p: "/" + p[1:].replace("/", "%252F"),
    "backslash": lambda p: p.replace("/", "\\"),
    "upper case": str.upper,
    "parameter": lambda p: p + ";x=1",
    "parameter of what is open": lambda p: p + ";/healthz",
    "question mark, encoded": lambda p: p + "%3F/healthz",
    "end of text": lambda p: p + "%00",
    "end of text, then open": lambda p: p + "%00/healthz",
    "line end": lambda p: p + "%0A",
    "wide slash": lambda p: "/" + p[1:].replace("/", "%EF%BC%8F"),
    "other scheme": lambda p: "http://door" + p,
    "no slash at all": lambda p: p[1:],
}

OVERRIDES = [
    [],
    [(b"x-http-method-override", b"GET"), (b"x-original-url", b"/healthz"), (b"x-rewrite-url", b"/healthz")],
    [(b"x-forwarded-for", b"127.0.0.1"), (b"x-forwarded-prefix", b"/healthz"), (b"forwarded", b"for=127.0.0.1")],
]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    read: bool
    """Whether anybody asked for the request's body."""


class Raw:
    """Calls an application with paths as no client would send them."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def __call__(self, *request: Any, **more: Any) -> Answer:
        return asyncio.run(self.send(*request, **more))

    async def send(
        self,
        method: str,
        path: str,
        token: str | None = None,
        sent: object = None,
        headers: Iterable[tuple[bytes, bytes]] = (),
        query: bytes = b"",
    ) -> Answer:
        told: list[Any] = []
        is_read = False
        own = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
        raw = path.encode("latin-1")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": raw,
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"door"), (b"content-type", b"application/json"), *own, *headers],
            "server": ("door", 80),
            "client": ("10.0.0.9", 5),
        }

        async def receive() -> dict[str, object]:
            nonlocal is_read
            is_read = True
            return {"type": "http.request", "body": json.dumps(sent).encode(), "more_body": False}

        async def send(message: Any) -> None:
            told.append(message)

        await self._app(scope, receive, send)
        names = {name.decode().lower(): value.decode() for name, value in told[0]["headers"]}
        return Answer(told[0]["status"], names, b"".join(m.get("body", b"") for m in told[1:]), is_read)


def spied(home: Any) -> list[str]:
    """Note every call of the home that a scope stands for."""
    called: list[str] = []
    kind = type(home)

    def noting(name: str) -> Any:
        def noted(self: Any, *arguments: Any) -> Any:
            if not called:  # not what a call makes itself
                called.append(name)
            return getattr(kind, name)(self, *arguments)

        return noted

    members = {name: noting(name) for name in NEEDS if name != "live_bundle"}

    def live_bundle(self: Any) -> Any:
        if not called:
            called.append("live_bundle")
        return kind.live_bundle.fget(self)

    home.__class__ = type("Spied", (kind,), {**members, "live_bundle": property(live_bundle)})
    return called


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path, SystemClock())


@pytest.fixture
def raw(home: Any, keys: KeyFile) -> Raw:
    home.keys = keys
    return Raw(create_app(home, Metrics(), SystemClock()))


def filled(template: str) -> str:
    return template.replace("{bundle_id}", "b1").replace("{name}", "swagger-ui.css").replace("{", "x").replace("}", "")


def matrix(raw: Raw, home: Any, keys: KeyFile, tricks: Iterable[str]) -> tuple[list[Any], int]:
    """Ask for every route with every key over every trick; return what nobody expects, and how many were let in."""
    tokens: dict[str, tuple[str | None, frozenset[str]]] = {
        "none": (None, frozenset()),
        "made up": ("sw_0123456789_" + "A" * 43, frozenset()),
        "empty": ("", frozenset()),
    }
    for scope in SCOPES:
        held = frozenset(SCOPES) if scope == "admin" else frozenset({scope})
        tokens[scope] = (keys.create(scope, [scope])[1], held)
    gone, token = keys.create("gone", ["admin"])
    keys.revoke(gone.id)
    tokens["revoked"] = (token, frozenset())
    called = spied(home)
    surprises: list[Any] = []

    async def one(method: str, template: str, trick: str, name: str) -> bool:
        path = TRICKS[trick](filled(template))
        token, scopes = tokens[name]
        called.clear()
        answer = await raw.send(method, path, token, SENT.get(template), next(overrides))
        is_let_in, is_open = 200 <= answer.status < 300, path == "/healthz"
        is_wrong = {
            "a call beyond the key's scopes": any(NEEDS[call] not in scopes for call in called),
            "let in without a key": is_let_in and not scopes and not is_open,
            "refused a live key": answer.status == 401 and bool(scopes),
            "read the body first": answer.status in (401, 403) and answer.read,
            "server error": answer.status >= 500,
            "told the key": bool(token) and token.encode() in answer.body + repr(answer.headers).encode(),
            "not what the table says": trick == "as it is"
            and (answer.status in (401, 403)) == (is_open or SCOPES_ASKED[method, template] in scopes),
        }
        surprises.extend((why, method, path, name, answer.status, list(called)) for why in is_wrong if is_wrong[why])
        return is_let_in

    async def everything() -> int:
        asked = product(SCOPES_ASKED, tricks, tokens)
        return sum([await one(method, template, trick, name) for (method, template), trick, name in asked])

    overrides = cycle(OVERRIDES)
    return surprises, asyncio.run(everything())


def test_no_key_gets_further_than_its_scopes_by_any_path(raw: Raw, home: Any, keys: KeyFile) -> None:
    surprises, admitted = matrix(raw, home, keys, TRICKS)
    assert surprises == []
    assert admitted >= 2 * len(SCOPES_ASKED)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (("slatewise.domain.keys.ApiKey.allows", lambda key, scope: True), "a call beyond the key's scopes"),
        (("slatewise.http.gate.OPEN", "serve"), "let in without a key"),
        (("slatewise.wiring.keys.KeyFile.find", lambda keys, token: None), "refused a live key"),
    ],
)
def test_matrix_is_red_where_the_gate_does_not_ask(
    raw: Raw, home: Any, keys: KeyFile, fault: tuple[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*fault)
    surprises, _ = matrix(raw, home, keys, ["as it is"])
    assert why in {surprise[0] for surprise in surprises}


def test_refusals_say_what_is_missing_and_nothing_else(raw: Raw, keys: KeyFile) -> None:
    _, token = keys.create("web", ["serve"])
    answer = raw("POST", "/v1/events", None, {})
    assert (answer.status, answer.read) == (401, False)
    assert answer.headers["www-authenticate"] == 'Bearer realm="slatewise"'
    assert answer.headers["content-type"] == "application/problem+json"
    answer = raw("POST", "/v1/events", token, {})
    assert (answer.status, answer.read) == (403, False)
    assert 'scope="events"' in answer.headers["www-authenticate"]
    assert token.encode() not in answer.body
    for path in ("/v1/events", "/nothing", "/v1/users/known"):
        assert raw("PATCH", path, "wrong").status == 401
    assert raw("PATCH", "/v1/events", token).status == 405
    assert raw("GET", "/nothing", token).status == 404


def test_key_may_come_in_either_header_and_never_in_the_url(raw: Raw, keys: KeyFile) -> None:
    _, token = keys.create("web", ["serve"])
    sent = token.encode()
    assert raw("GET", "/v1/recommendations/u", token).status == 200
    assert raw("GET", "/v1/recommendations/u", headers=[(b"x-api-key", sent)]).status == 200
    assert raw("GET", "/v1/recommendations/u", headers=[(b"authorization", b"bEaReR  " + sent)]).status == 200
    for query in (b"api_key=" + sent, b"key=" + sent, b"access_token=" + sent, b"authorization=Bearer%20" + sent):
        assert raw("GET", "/v1/recommendations/u", query=query).status == 401
    twice = [(b"authorization", b"Bearer wrong"), (b"authorization", b"Bearer " + sent)]
    assert raw("GET", "/v1/recommendations/u", headers=twice).status == 401


def test_browser_may_send_the_key_as_a_password_for_pages_alone(raw: Raw, keys: KeyFile) -> None:
    _, token = keys.create("me", ["observe", "serve"])
    basic = [(b"authorization", b"Basic " + base64.b64encode(b"me:" + token.encode()))]
    assert raw("GET", "/docs", headers=basic).status == 200
    assert raw("GET", "/openapi.json", headers=basic).status == 200
    assert raw("GET", "/v1/recommendations/u", headers=basic).status == 401
    assert "Basic" in raw("GET", "/docs").headers["www-authenticate"]
    for wrong in (b"Basic !!", b"Basic", b"Basic " + base64.b64encode(b"me")):
        assert raw("GET", "/docs", headers=[(b"authorization", wrong)]).status == 401


def test_revoked_key_is_refused_within_a_second_by_every_worker(home: Any, keys: KeyFile, tmp_path: Path) -> None:
    key, token = keys.create("web", ["serve"])
    workers = []
    for _ in range(2):
        home.keys = KeyFile(tmp_path, SystemClock())
        workers.append(Raw(create_app(home, Metrics(), SystemClock())))
    assert [worker("GET", "/v1/recommendations/u", token).status for worker in workers] == [200, 200]
    keys.revoke(key.id)
    begun, clock = SystemClock().elapsed_ms(), SystemClock()
    while any(worker("GET", "/v1/recommendations/u", token).status != 401 for worker in workers):
        assert clock.elapsed_ms() - begun < 1_000
    assert keys.is_used


def test_without_keys_a_name_from_the_dns_is_refused(home: Any) -> None:
    raw = Raw(create_app(home, Metrics(), SystemClock()))
    for host in (
        b"door",
        b"localhost:8080",
        b"127.0.0.1:80",
        b"[::1]:80",
        b"10.1.2.3",
        b"app.localhost",
        b"LOCALHOST.",
    ):
        assert raw("GET", "/v1/bundles", headers=[]).status == 200
        answer = _as_host(raw, host)
        assert answer.status == 200, host
    for host in (b"evil.example", b"127.0.0.1.evil.example", b"evil.example:80", b"localhost.evil.example"):
        answer = _as_host(raw, host)
        assert (answer.status, answer.read) == (421, False), host


def _as_host(raw: Raw, host: bytes) -> Answer:
    class Named(Raw):
        def __init__(self) -> None:
            async def app(scope: Any, receive: Any, send: Any) -> None:
                headers = [(n, host if n == b"host" else v) for n, v in scope["headers"]]
                await raw._app({**scope, "headers": headers}, receive, send)

            super().__init__(app)  # type: ignore[arg-type]

    return Named()("GET", "/v1/bundles")


def test_route_without_a_scope_keeps_the_application_from_being_made(home: Any, monkeypatch: Any) -> None:
    app = create_app(home, Metrics(), SystemClock())
    router = APIRouter()

    @router.get("/v1/secret")
    async def secret() -> None: ...

    app.include_router(router)
    with pytest.raises(ValueError, match=r"GET /v1/secret declares no scope"):
        RouteTable(app.routes)
    app.mount("/sub", FastAPI())
    with pytest.raises(ValueError, match="scope"):
        RouteTable(app.routes)
    monkeypatch.setattr("slatewise.http.scopes.SCOPE_OF", {**SCOPE_OF, ("GET", "/v1/bundles"): None})
    with pytest.raises(ValueError, match="/v1/bundles declares no scope"):
        create_app(home, Metrics(), SystemClock())


def test_every_scope_in_the_table_exists_and_every_route_in_it_too(home: Any) -> None:
    app = create_app(home, Metrics(), SystemClock())
    assert set(SCOPE_OF.values()) <= {*SCOPES, "open"}
    table = RouteTable(app.routes)
    for method, template in SCOPE_OF:
        assert table.match(method, filled(template)).path_format == template


def test_gate_and_router_agree_on_the_route(raw: Raw, home: Any) -> None:
    """What is decided on is what is done: the router's own choice has the same template."""
    table = RouteTable(raw._app.routes)
    for _, template in SCOPE_OF:
        for bent in TRICKS.values():
            path = bent(filled(template))
            for method in ("GET", "PUT", "POST", "DELETE"):
                scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
                matches = [(route.matches(scope), route) for route in raw._app.router.routes]
                full = [child for (match, child), _ in matches if match.value == 2]
                found = table.match(method, path)
                assert bool(full) == hasattr(found, "scope"), (method, path)


def test_too_many_requests_with_one_key_are_429_and_leave_others_alone(home: Any, keys: KeyFile) -> None:
    home.settings = replace(Settings(), http=HttpSettings(rate=0.5, burst=3))
    home.keys = keys
    raw = Raw(create_app(home, Metrics(), SystemClock()))
    one, other, free = (keys.create(n, ["serve"], rate=r)[1] for n, r in (("a", None), ("b", 100.0), ("c", 0.0)))
    answers = [raw("GET", "/v1/recommendations/u", one) for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[0].headers["ratelimit-policy"] == '"key";q=3;w=6'
    assert answers[0].headers["ratelimit"].startswith('"key";r=2')
    assert 1 <= int(answers[4].headers["retry-after"]) <= 2
    assert not answers[4].read
    assert {raw("GET", "/v1/recommendations/u", other).status for _ in range(20)} == {200}
    assert "ratelimit" not in raw("GET", "/v1/recommendations/u", free).headers
    assert {raw("GET", "/healthz").status for _ in range(10)} == {200}


def test_headers_beyond_any_use_are_431(raw: Raw) -> None:
    answer = raw("GET", "/healthz", headers=[(b"x-long", b"x" * 40_000)])
    assert answer.status == 431
