"""/v1/recommendations and /v1/bundles."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest

from slatewise.domain.settings import ServingSettings, Settings
from slatewise.http.encoding import json_bytes
from slatewise.http.overload import WAITERS


@pytest.fixture(autouse=True)
def _stocked(call):
    call("PUT", "/v1/items", {"items": [{"item_id": name} for name in "abcdef"]})


def names(answer) -> list[str]:
    return [item["item_id"] for item in answer.json()["items"]]


def test_answer_has_the_promised_shape(call):
    answer = call("POST", "/v1/recommendations", {"user_id": "u", "size": 2})
    assert answer.json() == {
        "request_id": "r1",
        "items": [
            {"item_id": "a", "score": 0.0, "position": 0, "source": "popular"},
            {"item_id": "b", "score": 0.0, "position": 1, "source": "popular"},
        ],
        "cached": False,
        "as_of": 6,
        "bundle": "b1",
        "degraded": [],
        "timing_ms": {"retrieval": 0.1},
        "cursor": "2",
    }


def test_no_deadline_is_too_short_to_begin_where_nothing_waits(call, home):
    for deadline_ms in (5e-324, 1e-3, 1.0):
        answer = call("POST", "/v1/recommendations", {"user_id": "u", "deadline_ms": deadline_ms})
        assert answer.status_code == 200, answer.text
    assert all(0 < query.deadline_ms <= 1.0 for query in home.queries), "the ladder is told how little is left"


def test_short_form_asks_the_same(call, home):
    assert names(call("GET", "/v1/recommendations/some%2Fone?size=3")) == ["a", "b", "c"]
    assert home.queries[-1].user_id == "some/one"
    assert home.queries[-1].size == 3


def test_acknowledged_event_changes_the_next_slate(call):
    assert "a" in names(call("GET", "/v1/recommendations/u"))
    call("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a", "action": "buy"}]})
    assert "a" not in names(call("GET", "/v1/recommendations/u"))


def test_everything_sent_reaches_the_query(call, home):
    call(
        "POST",
        "/v1/recommendations",
        {
            "user_id": "u",
            "history": ["a", {"item_id": "b", "action": "buy", "timestamp": 5}],
            "vector": [0.5, 1],
            "size": 4,
            "exclude": ["c"],
            "where": {"price": {"lt": 50, "in": [1, "x"]}, "categories": ["s", "t"], "brand": "Acme"},
            "context": {"device": "phone", "hour": 7, "app": True, "tests": ["a", "b"], "none": None},
            "weights": {"buy": 10, "dislike": -0.5},
            "min_version": 6,
            "deadline_ms": 50,
            "explain": True,
            "cursor": "3",
        },
    )
    query = home.queries[-1]
    assert [(p.item_id, p.action, p.at) for p in query.history] == [("a", None, None), ("b", "buy", 5.0)]
    assert query.vector == (0.5, 1.0)
    assert (query.size, query.exclude, query.min_version) == (4, frozenset("c"), 6)
    assert 0 < query.deadline_ms <= 50, "what a busy server made it wait comes off"
    assert query.where == {"price": {"lt": 50.0, "in": (1.0, "x")}, "categories": ("s", "t"), "brand": "Acme"}
    assert query.context == {"device": "phone", "hour": 7.0, "app": True, "tests": ("a", "b")}
    assert query.weights == {"buy": 10.0, "dislike": -0.5}
    assert query.explain
    assert query.cursor == "3"


def test_pages_follow_by_cursor_until_there_is_none(call):
    pages, cursor = [], {}
    while True:
        answer = call("POST", "/v1/recommendations", {"user_id": "u", "size": 4, **cursor})
        pages.append(names(answer))
        if answer.json()["cursor"] is None:
            break
        cursor = {"cursor": answer.json()["cursor"]}
    assert pages == [["a", "b", "c", "d"], ["e", "f"]]


def test_a_bad_cursor_is_refused_by_field_and_an_old_one_says_that_it_is(call):
    bad = call("POST", "/v1/recommendations", {"user_id": "u", "cursor": "x"})
    assert bad.status_code == 422
    assert bad.json()["errors"][0]["field"] == "cursor"
    old = call("POST", "/v1/recommendations", {"user_id": "u", "cursor": "old"})
    assert old.status_code == 410
    assert old.json()["type"].endswith("expired")
    assert "ask again without one" in old.json()["detail"]


def test_cursor_and_deadline_stand_in_the_api(call):
    api = call("GET", "/openapi.json").json()
    asked, told = (
        api["components"]["schemas"][name]["properties"] for name in ("RecommendationIn", "RecommendationOut")
    )
    assert "behind what it showed" in asked["cursor"]["description"]
    assert "serving.deadline_ms" in asked["deadline_ms"]["description"]
    assert "null: the last" in told["cursor"]["description"]
    assert "410" in api["paths"]["/v1/recommendations"]["post"]["responses"]


def test_empty_history_is_a_history_and_no_history_is_none(call, home):
    call("POST", "/v1/recommendations", {"history": []})
    call("POST", "/v1/recommendations", {})
    assert [query.history for query in home.queries] == [(), None]


def test_explanation_comes_only_when_asked_for(call):
    assert "explanation" not in call("POST", "/v1/recommendations", {}).json()
    explained = call("POST", "/v1/recommendations", {"explain": True}).json()["explanation"]
    assert [candidate["item_id"] for candidate in explained] == list("abcdef")
    assert explained[0]["outcome"] == "shown"


def test_queries_waiting_for_a_version_never_keep_out_the_event_they_wait_for(memory_home, open_door):
    # They wait for much longer than forty requests take to arrive, on the slowest of machines.
    call = open_door(memory_home(Settings(serving=ServingSettings(max_wait_ms=30_000.0))))
    call("PUT", "/v1/items", {"items": [{"item_id": name} for name in "abcdef"]})
    with ThreadPoolExecutor(WAITERS + 8) as threads:
        sent = {"user_id": "u", "min_version": 7}
        waiting = [threads.submit(call, "POST", "/v1/recommendations", sent) for _ in range(WAITERS + 8)]
        call("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a", "action": "buy"}]})
        answers = [future.result() for future in waiting]
    assert {answer.json()["as_of"] for answer in answers} == {7}
    assert [answer.json()["degraded"] for answer in answers] == [[]] * len(answers)
    assert "a" not in names(answers[0])


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"size": 0}, "size"),
        ({"size": 501}, "size"),
        ({"size": "10"}, "size"),
        ({"sizes": 1}, "sizes"),
        ({"vector": []}, "vector"),
        ({"vector": ["x"]}, "vector[0]"),
        ({"history": [{"item_id": "a", "act": 1}]}, "history[0].act"),
        ({"history": ["a", 5]}, "history[1]"),
        ({"history": [""]}, "history[0]"),
        ({"where": {"price": {"below": 3}}}, "where.price"),
        ({"where": {"price": {"in": 3}}}, "where.price"),
        ({"where": {"price": None}}, "where.price"),
        ({"min_version": -1}, "min_version"),
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": 3}, "cursor"),
        ({"cursor": "A" * 20_000}, "cursor"),
        ({"exclude": "a"}, "exclude"),
        ({"context": {"page": [0.5, 1]}}, "context.page"),
        ({"context": {"page": {"deep": 1}}}, "context.page"),
        ({"context": {"hour": 10**400}}, "context.hour"),
        ({"context": ["app"]}, "context"),
        ({"weights": {"buy": "1"}}, "weights.buy"),
        ({"weights": {"buy": 1e7}}, "weights.buy"),
        ({"weights": {"buy": None}}, "weights.buy"),
        ({"weights": [1.0]}, "weights"),
        ({"context": {f"c{i}": 1 for i in range(101)}}, "context"),
    ],
)
def test_wrong_query_is_refused_by_field(call, home, sent, field):
    answer = call("POST", "/v1/recommendations", sent)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert home.queries == []


def test_a_vector_in_a_context_is_told_what_would_be_right(call):
    told = call("POST", "/v1/recommendations", {"context": {"page": [0.5, 1]}}).json()["errors"][0]
    assert "takes no vectors" in told["message"]


def test_the_context_stands_in_the_api_without_vectors(call):
    schemas = call("GET", "/openapi.json").json()["components"]["schemas"]
    context = schemas["RecommendationIn"]["properties"]["context"]
    assert "surface" in context["description"]
    listed = [kind["items"] for kind in context["additionalProperties"]["anyOf"] if kind.get("type") == "array"]
    assert listed == [{"type": "string"}]


def test_numbers_that_are_not_finite_are_null_in_json():
    told = {
        "a": float("nan"),
        "b": float("inf"),
        "c": np.float32("nan"),
        "d": np.array([1.0, -np.inf]),
        "e": np.int64(3),
    }
    assert msgspec.json.decode(json_bytes(told)) == {"a": None, "b": None, "c": None, "d": [1.0, None], "e": 3}


def test_bundles_are_listed_and_promoted(call, home):
    assert [(b["id"], b["live"]) for b in call("GET", "/v1/bundles").json()["bundles"]] == [
        ("b1", True),
        ("b2", False),
        ("broken", False),
    ]
    assert call("POST", "/v1/bundles/b2/promote").json() == {"bundle": "b2"}
    assert call("POST", "/v1/recommendations", {}).json()["bundle"] == "b2"


def test_bundle_that_does_not_fit_leaves_the_live_one(call):
    answer = call("POST", "/v1/bundles/broken/promote")
    assert answer.status_code == 409
    assert "digest" in answer.json()["detail"]
    assert call("GET", "/readyz").json()["bundle"] == "b1"
    assert call("POST", "/v1/bundles/none/promote").status_code == 404
