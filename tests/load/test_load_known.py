"""What is learned of a server before a run, over HTTP alone."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from slatewise.domain.errors import InputError, NotReady, SlatewiseError
from slatewise.load import known
from slatewise.load.known import prepare
from slatewise.load.plan import Plan

from .conftest import SLATE, Asked, Tiny, answer

CATALOGUE = [f"i/{n}" for n in range(40)]


def shop(asked: Asked) -> bytes:
    """Ten popular items, of each item the next two as similar, slates of at most 20; the third item is gone."""
    if asked.path == "/v1/recommendations":
        fits = asked.body["size"] <= 20
        return answer({"items": [{"item_id": item} for item in CATALOGUE[:10]]}, 200 if fits else 422)
    if asked.method == "POST":
        return answer({"accepted": len(asked.body["events"])})
    item = unquote(asked.path.removeprefix("/v1/items/").partition("/similar")[0])
    if item == CATALOGUE[2]:
        return answer({}, 404)
    if "/similar?" in asked.path:
        place = CATALOGUE.index(item)
        return answer({"items": [{"item_id": other} for other in CATALOGUE[place + 1 : place + 3]]})
    return answer({"item_id": item, "title": "T", "attributes": {"price": 1.5}, "available": False, "changed_at": 5.0})


def test_items_are_learned_from_a_slate_and_from_what_is_similar(tiny: Tiny, plan: Callable[..., Plan]) -> None:
    tiny.reply = shop
    found = prepare(plan(mix={"event": 1.0}, history=0))
    assert set(found.items) == set(CATALOGUE)
    assert found.changes == ()
    assert all(asked.method == "GET" or asked.path == "/v1/recommendations" for asked in tiny.asked), "nothing written"


def test_learning_stops_where_enough_is_known(
    tiny: Tiny, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.reply = shop
    monkeypatch.setattr(known, "ITEMS_WANTED", 12)
    assert len(prepare(plan(mix={"event": 1.0}, history=0)).items) == 12
    assert sum(asked.method == "GET" for asked in tiny.asked) < 12
    monkeypatch.setattr(known, "ASKED_AT_MOST", 0)
    assert len(prepare(plan(mix={"event": 1.0}, history=0)).items) == 10


def test_items_are_written_back_as_they_were_read(tiny: Tiny, plan: Callable[..., Plan]) -> None:
    tiny.reply = shop
    found = prepare(plan(mix={"item": 1.0}))
    bodies: list[Any] = [json.loads(body)["items"][0] for body in found.changes]
    assert {body["item_id"] for body in bodies} == set(CATALOGUE) - {CATALOGUE[2]}
    assert bodies[0] == {"item_id": "i/0", "title": "T", "attributes": {"price": 1.5}, "available": False}


def test_made_up_returning_users_get_a_history_and_given_ones_do_not(tiny: Tiny, plan: Callable[..., Plan]) -> None:
    tiny.reply = shop
    mix = {"returning": 0.5, "event": 0.5}
    prepare(plan(name="run7", mix=mix, users=300, history=3, item_ids=("a", "b")))
    events = [event for asked in tiny.asked if asked.path == "/v1/events" for event in asked.body["events"]]
    assert {event["user_id"] for event in events} == {f"run7-u{n}" for n in range(300)}
    assert {event["item_id"] for event in events} == {"a", "b"}
    assert len({event["event_id"] for event in events}) == len(events) == 900
    tiny.asked.clear()
    prepare(plan(mix=mix, user_ids=("alice",), item_ids=("a",)))
    assert [asked.path for asked in tiny.asked] == ["/v1/recommendations"]


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (503, NotReady, "503"),
        (401, InputError, r"api_key: got '\(hidden\)', expected a key that the server accepts"),
        (500, SlatewiseError, "POST /v1/recommendations: 500"),
    ],
)
def test_a_server_that_gives_no_slate_ends_the_run_before_it_begins(
    tiny: Tiny, plan: Callable[..., Plan], status: int, error: type[Exception], said: str
) -> None:
    tiny.reply = lambda asked: answer({"detail": "no"}, status)
    with pytest.raises(error, match=said) as raised:
        prepare(plan(api_key="secret"))
    assert "secret" not in str(raised.value)


def test_a_server_without_items_asks_for_ids(tiny: Tiny, plan: Callable[..., Plan]) -> None:
    tiny.reply = lambda asked: answer({**SLATE, "items": []})
    with pytest.raises(InputError, match="item_ids"):
        prepare(plan(mix={"event": 1.0}))


def test_a_server_that_is_silent_or_gone_is_named_by_its_address(tiny: Tiny, plan: Callable[..., Plan]) -> None:
    tiny.reply = lambda asked: b""
    with pytest.raises(InputError, match=f"{tiny.port}.*answers within 0.1 s"):
        prepare(plan(timeout_s=0.1))
    with pytest.raises(InputError, match=r"url: got 'http://127\.0\.0\.1:1', expected"):
        prepare(plan(url="http://127.0.0.1:1"))


def test_a_core_that_does_not_exist_is_refused_before_anything_is_sent(tiny: Tiny, plan: Callable[..., Plan]) -> None:
    with pytest.raises(InputError, match=r"cpu: got 4096, expected one of \d"):
        prepare(plan(cpu=4096))
    assert tiny.asked == []
