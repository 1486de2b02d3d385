"""What a body may be, and what becomes of one that is more."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slatewise.http import strict_json
from slatewise.http.strict_json import MAX_DEPTH, StrictJson, check, depth

JSON = {"content-type": "application/json"}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def nested(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(nested, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(nested, value.values()), default=0)
    return 0


@settings(max_examples=40, deadline=None)
@given(VALUES, st.integers(0, 40), st.booleans(), st.sampled_from([None, 1]))
def test_depth_is_what_it_is_whatever_stands_in_strings(value: Any, more: int, ascii_only: bool, indent: Any) -> None:
    for _ in range(more):
        value = [value, '[{"\\', "]"]
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    found = depth(body)
    assert (found > MAX_DEPTH) == (nested(value) > MAX_DEPTH)
    if found > MAX_DEPTH or body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        assert found == nested(value)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80) | st.text('[]{}",:\\a1e-. ', max_size=60).map(str.encode))
def test_check_accepts_what_json_is_and_raises_one_kind_of_error(body: bytes) -> None:
    try:
        check(body)
    except ValueError:
        return
    json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"user_id":"u","user_id":"v"}',
        b'{"user_id":"u","user\\u005fid":"v"}',
        b'{"where":{"a":1,"a":2}}',
        b'{"context":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"size":' + b"1" * 5_000 + b"}",
        b'{"user_id":"\xff"}',
        b"\xef\xbb\xbf{}",
        b"{}{}",
    ],
)
def test_body_that_two_readers_could_read_differently_is_400(call, home, body):
    answer = call("POST", "/v1/recommendations", content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 500
    assert home.queries == []


def test_name_twice_in_a_large_body_is_found_too(call, home):
    events = b",".join(b'{"user_id":"u%d","item_id":"a"}' % n for n in range(9_000))
    assert len(events) > strict_json.LARGE_BYTES
    body = b'{"events":[%s,{"user_id":"u","item_id":"a","item_id":"b"}]}' % events
    assert call("POST", "/v1/events", content=body, headers=JSON).status_code == 400
    assert home.events == []


def test_body_that_does_not_arrive_is_given_up(monkeypatch):
    monkeypatch.setattr(strict_json, "SLOWEST_S", 0.05)
    told: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(5)

    async def send(message: Any) -> None:
        told.append(message)

    async def never(*_: Any) -> None:
        raise AssertionError("reached")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/events",
        "headers": [(b"content-type", b"application/json")],
    }
    asyncio.run(StrictJson(never)(scope, receive, send))
    assert told[0]["status"] == 408
    assert (b"connection", b"close") in told[0]["headers"]


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a" * 257}]}),
        ("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a", "event_id": "e" * 129}]}),
        ("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a"}] * 10_001}),
        ("PUT", "/v1/items", {"items": [{"item_id": "a", "attributes": {f"a{n}": 1 for n in range(101)}}]}),
        ("PUT", "/v1/items", {"items": [{"item_id": "a", "categories": ["c"] * 1_001}]}),
        ("PUT", "/v1/items", {"items": [{"item_id": "a", "title": "t" * 10_001}]}),
        ("POST", "/v1/recommendations", {"size": 501}),
        ("POST", "/v1/recommendations", {"history": ["a"] * 10_001}),
        ("POST", "/v1/recommendations", {"exclude": ["a"] * 10_001}),
        ("POST", "/v1/recommendations", {"vector": [0.5] * 4_097}),
        ("POST", "/v1/recommendations", {"where": {f"a{n}": 1 for n in range(65)}}),
        ("GET", "/v1/recommendations/u?size=501", None),
        ("GET", "/v1/items/a/similar?size=501", None),
        ("GET", "/v1/items/" + "a" * 257, None),
    ],
)
def test_more_than_the_limits_allow_is_422_and_nothing_is_done(call, home, method, path, sent):
    answer = call(method, path, sent)
    assert answer.status_code == 422
    assert (home.events, home.items, home.queries) == ([], {}, [])
