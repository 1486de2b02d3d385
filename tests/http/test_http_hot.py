"""Two ways to one answer: the hot path and the framework's routes behind it, asked the same."""

import json
import random
from copy import deepcopy
from dataclasses import replace

import pytest

from slatewise.http.hot import HotPath

EVENT = {
    "user_id": "u1",
    "item_id": "a",
    "action": "click",
    "timestamp": 1767225600.5,
    "value": 2.5,
    "event_id": "e1",
    "request_id": "r9",
}
QUERY = {
    "user_id": "u1",
    "history": ["a", {"item_id": "b", "action": "buy", "timestamp": "2026-01-01T00:00:00Z"}],
    "vector": [0.5, 1],
    "size": 4,
    "exclude": ["c"],
    "where": {"price": {"lt": 50, "in": [1, "x"]}, "categories": ["s", "t"], "brand": "Acme", "new": True},
    "context": {"device": "phone", "hour": 7, "app": True, "tests": ["a", "b"], "none": None},
    "weights": {"buy": 10, "view": 0.5},
    "min_version": 3,
    "deadline_ms": 60_000,
    "explain": False,
}
ODD = [
    *(None, True, False, 0, -1, 1, 7, 1.5, 1e300, 2**70, "", "a", "ü", "\ud800", "x" * 2000, [], {}, [None], [[]]),
    *(["a"], ["a", "a"], [1, "a"], [1.0] * 3, {"a": 1}, {"lt": [1]}, {"in": 1}, {"near": 1}, {"item_id": "a"}),
    *("2026-01-01", "1767225600", 1767225600000, {"item_id": "a", "more": 1}, {"": 1}, {"a": {"eq": None}}),
]
PATHS = [
    "/v1/recommendations/u1",
    "/v1/recommendations/u1?size=3",
    "/v1/recommendations/u1?size=0",
    "/v1/recommendations/u1?size=1001",
    "/v1/recommendations/u1?size=03",
    "/v1/recommendations/u1?size=%33",
    "/v1/recommendations/u1?size=3&size=4",
    "/v1/recommendations/u1?other=1",
    "/v1/recommendations/u1?size=",
    "/v1/recommendations/",
    "/v1/recommendations/a%2Fb/c",
    "/v1/recommendations/%FF",
    "/v1/recommendations/%C3%BC",
    "/v1/recommendations/" + "x" * 1025,
    "/v1/items/a/similar",
    "/v1/items/a/similar?size=2",
    "/v1/items/a/similar?size=-1",
    "/v1/items/unknown/similar",
    "/v1/items//similar",
    "/v1/items/similar",
    "/v1/items/a%2Fsimilar",
    "/v1/items/a/similar/similar",
    "/v1/items/%FF/similar",
]
LATELY = 1_767_225_601.0
"""Later than any time that these tests send, and past."""


@pytest.fixture
def both(open_door, memory_home, passed_on):
    """The hot path, the routes alone, and their homes, which hold the same."""
    found = []
    for is_hot in (True, False):
        home = memory_home()
        home.record([])
        call = open_door(home)
        call("POST", "/v1/events", {"events": [{"user_id": "v", "item_id": i, "action": "view"} for i in "abcdef"]})
        if not is_hot:
            # Rebuilt at the next call, without it.
            call.app.user_middleware = [part for part in call.app.user_middleware if part.cls is not HotPath]
            call.app.middleware_stack = None
        found.append((call, home))
    return found


@pytest.fixture
def passed_on(monkeypatch):
    """What the hot path left to the routes behind it."""
    left = []
    before = HotPath.__init__

    def spied(self, app, door):
        async def behind(scope, receive, send):
            left.append(scope.get("path"))
            await app(scope, receive, send)

        before(self, behind, door)

    monkeypatch.setattr(HotPath, "__init__", spied)
    return left


def same(both, method, path, **sent):
    """Ask both ways and return the status, after comparing all there is to see."""
    (hot, hot_home), (slow, slow_home) = both
    one, other = (call(method, path, **sent) for call in (hot, slow))
    told = [(a.status_code, a.headers["content-type"], a.headers.get("retry-after"), a.content) for a in (one, other)]
    assert told[0] == told[1], (method, path, sent)
    asked = [[replace(q, at=0.0, deadline_ms=None) for q in home.queries] for home in (hot_home, slow_home)]
    assert repr(asked[0]) == repr(asked[1])
    # What named no time happened now, and now is never the same twice.
    stored = [[replace(e, at=min(e.at, LATELY)) for e in home.events] for home in (hot_home, slow_home)]
    assert stored[0] == stored[1]
    for home in (hot_home, slow_home):
        home.queries.clear()
    return one.status_code


def mutants(whole, rng, count):
    """Yield copies of a body with a field left out, replaced by something odd, or made up."""
    for _ in range(count):
        body = deepcopy(whole)
        for _ in range(rng.choice((1, 1, 2, len(body) - 1))):
            name = rng.choice(sorted(whole))
            if rng.random() < 0.4:
                body.pop(name, None)
            else:
                body[name if rng.random() < 0.95 else "made_up"] = deepcopy(rng.choice(ODD))
        yield body


def sendable(body):
    return {"content": json.dumps(body).encode(), "headers": {"content-type": "application/json"}}


def test_paths_are_answered_the_same(both):
    statuses = [same(both, "GET", path) for path in PATHS]
    assert {200, 404, 422} == set(statuses)


@pytest.mark.parametrize("path", ["/v1/recommendations/u1", "/v1/items/a/similar"])
@pytest.mark.parametrize("query", ["size=3&size=4", "size=3&size=3", "size=3&%73ize=3", "size=3&size="])
def test_a_parameter_that_is_given_twice_is_refused_by_name_on_both_ways(both, path, query):
    assert same(both, "GET", f"{path}?{query}") == 422
    assert both[0][0]("GET", f"{path}?{query}").json()["errors"] == [{"field": "size", "message": "expected one value"}]
    assert [home.queries for _, home in both] == [[], []]


@pytest.mark.parametrize(("path", "wrap", "whole"), [
    ("/v1/recommendations", lambda body: body, QUERY),
    ("/v1/events", lambda body: {"events": [EVENT, body]}, EVENT),
])  # fmt: skip
def test_bodies_are_answered_the_same(both, passed_on, path, wrap, whole):
    rng = random.Random(0)
    statuses = [same(both, "POST", path, **sendable(wrap(body))) for body in mutants(whole, rng, 100)]
    assert statuses.count(200) > 20, "good ones are among them"
    assert statuses.count(422) > 20, "and wrong ones"
    assert 20 < len(passed_on) < len(statuses), "the hot path answered some itself"


@pytest.mark.parametrize("content", [
    b"", b"null", b"[]", b"{", b"nothing", b'{"size": 3}{}', b'{"size": 1e1}', b'{"size": 3.0}', b'{"size": NaN}',
    b'\xff\xfe', b'{"user_id": "\xff"}', b'{"user_id": "\\ud800"}', b'\xef\xbb\xbf{}', b'{"vector": [1e999]}',
    b'{"min_version": 1e2}', b' {"size":3} ', b"[" * 5000, b'{"user_id": 1}', b'{"explain": 1}', b'{"vector": [true]}',
])  # fmt: skip
def test_bytes_are_answered_the_same(both, content):
    for path in ("/v1/recommendations", "/v1/events"):
        same(both, "POST", path, content=content, headers={"content-type": "application/json"})


@pytest.mark.parametrize(
    "declared", [None, "application/json", "APPLICATION/JSON; charset=utf-8", "text/plain", "a/b+json"]
)
def test_declared_types_are_answered_the_same(both, declared):
    headers = {} if declared is None else {"content-type": declared}
    same(both, "POST", "/v1/recommendations", content=b'{"user_id":"u1"}', headers=headers)


def test_errors_of_the_home_are_answered_the_same(both):
    (_, hot_home), (_, slow_home) = both
    for home in (hot_home, slow_home):
        home.promote("b1")
        home.published["b1"].live = False
    assert same(both, "GET", "/v1/recommendations/u1") == 503
    assert same(both, "POST", "/v1/recommendations", **sendable({"user_id": "u1"})) == 503
    assert same(both, "POST", "/v1/events", **sendable({"events": [EVENT | {"action": "dance"}]})) == 422


def test_good_requests_never_reach_the_framework(both, passed_on):
    (hot, _), _ = both
    before = len(passed_on)
    assert hot("POST", "/v1/recommendations", QUERY).status_code == 200
    assert hot("POST", "/v1/events", {"events": [EVENT]}).status_code == 200
    assert hot("GET", "/v1/recommendations/u1?size=2").status_code == 200
    assert hot("GET", "/v1/items/a/similar").status_code == 200
    assert len(passed_on) == before
    assert hot("GET", "/v1/items/a").status_code == 200
    assert len(passed_on) == before + 1
