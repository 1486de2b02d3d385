"""What a shop lives through, over HTTP, with a real server and a real store."""

import random
import threading
from typing import Any

import httpx
import pytest

from slatewise.domain.settings import Settings
from slatewise.storage.log import SqliteEventLog


def test_an_acknowledged_event_changes_the_very_next_slate_even_while_the_answer_was_cached(server: Any) -> None:
    before = server.slate(user_id="u1", size=10)
    assert not before["cached"]
    again = server.slate(user_id="u1", size=10)
    assert again["cached"]
    assert [i["item_id"] for i in again["items"]] == [i["item_id"] for i in before["items"]]
    receipt = server.record(user_id="u1", item_id="c5-3", action="click")
    assert receipt["accepted"] == 1
    after = server.slate(user_id="u1", size=10)
    assert not after["cached"]
    assert after["as_of"] >= receipt["version"]
    ids = [i["item_id"] for i in after["items"]]
    assert ids != [i["item_id"] for i in before["items"]]
    assert "c5-4" in ids[:3], "whoever clicked c5-3 walks on to c5-4"


def test_a_user_unseen_at_training_is_served_from_events_of_a_second_ago(server: Any) -> None:
    anonymous = server.ids()
    assert len(anonymous) == 10
    assert len(server.ids(user_id="new-here")) == 10
    server.record(user_id="new-here", item_id="c2-6", action="click")
    after = server.ids(user_id="new-here")
    assert sum(item.startswith("c2-") for item in after[:5]) >= 4, "one click tells the kind"
    assert "c2-7" in after


def test_a_history_given_with_the_query_counts_alone(server: Any) -> None:
    answer = server.ids(user_id="u1", history=["c3-3", "c3-4"])
    assert "c3-5" in answer[:5]
    assert not {"c3-3", "c3-4"} & set(answer), "the default action counts as seen"
    assert answer != server.ids(user_id="u1")


def test_a_bought_item_is_not_shown_again_but_a_clicked_one_may_be(server: Any) -> None:
    server.record(user_id="buyer", item_id="c1-1", action="click")
    liked = server.ids(user_id="buyer", size=50)
    target = liked[0]
    server.record(user_id="buyer", item_id=target, action="buy")
    assert target not in server.ids(user_id="buyer", size=50)


def test_a_deleted_item_is_in_no_answer_after_the_acknowledgement_also_not_from_the_cache(server: Any) -> None:
    shown = server.ids(user_id="u2", size=20)
    assert server.slate(user_id="u2", size=20)["cached"]
    victim = shown[0]
    assert server.http.delete(f"/v1/items/{victim}").status_code == 200
    for query in ({"user_id": "u2", "size": 20}, {"size": 50}, {"history": [shown[1]], "size": 50}):
        assert victim not in server.ids(**query)
    assert server.http.get(f"/v1/items/{victim}").status_code == 404
    similar = server.http.get(f"/v1/items/{shown[1]}/similar", params={"size": 50}).json()
    assert victim not in str(similar)
    server.record(user_id="u2", item_id=victim, action="click")
    assert victim not in server.ids(user_id="u2", size=50), "an interaction does not bring a removed item back"


def test_a_new_item_with_attributes_alone_is_retrieved_by_the_towers_at_once(server: Any) -> None:
    item = {"item_id": "fresh", "title": "Item of kind4", "categories": ["kind4"]}
    assert server.http.put("/v1/items", json={"items": [item]}).status_code == 200
    history = ["c4-1", "c4-2", "c4-3"]
    answer = server.slate(history=history, size=50, explain=True)
    offered = {c["item_id"]: c for c in answer["explanation"]}
    assert offered["fresh"]["source"] == "two_tower"
    assert "fresh" in server.ids(history=history, size=50)


def test_an_unavailable_item_returns_when_it_is_available_again(server: Any) -> None:
    target = server.ids(user_id="u3")[0]
    state = server.http.get(f"/v1/items/{target}").json()
    known = {key: state[key] for key in ("item_id", "title", "categories") if state.get(key)}
    server.http.put("/v1/items", json={"items": [{**known, "available": False}]})
    assert target not in server.ids(user_id="u3", size=50)
    server.http.put("/v1/items", json={"items": [{**known, "available": True}]})
    assert target in server.ids(user_id="u3", size=50)


def test_where_and_exclude_hold_on_every_item(server: Any) -> None:
    only = server.ids(user_id="u4", size=10, where={"categories": "kind6"})
    assert len(only) == 10
    assert all(item.startswith("c6-") for item in only)
    fewer = server.ids(user_id="u4", size=10, where={"categories": "kind6"}, exclude=only[:4])
    assert set(fewer) == set(only[4:])


def test_the_same_event_id_twice_counts_once(server: Any) -> None:
    event = {"user_id": "u5", "item_id": "c0-0", "action": "click", "event_id": "once"}
    assert server.record(**event) | {"version": 0} == {"accepted": 1, "duplicates": 0, "version": 0}
    assert server.record(**event) | {"version": 0} == {"accepted": 0, "duplicates": 1, "version": 0}


def test_min_version_beyond_the_log_is_answered_and_says_so(server: Any) -> None:
    answer = server.slate(user_id="u1", min_version=10**9)
    assert any(entry.startswith("min_version") for entry in answer["degraded"])
    assert len(answer["items"]) == 10


def test_explain_tells_the_whole_funnel(server: Any) -> None:
    answer = server.slate(user_id="u6", explain=True)
    outcomes = [c["outcome"] for c in answer["explanation"]]
    assert outcomes.count("shown") == 10
    shown = next(c for c in answer["explanation"] if c["position"] == 0)
    assert shown["item_id"] == answer["items"][0]["item_id"]
    assert 0 <= shown["probabilities"]["click"] <= 1
    assert "affinity" in shown["features"]


def test_promote_and_rollback_swap_bundles_under_a_running_server(server: Any) -> None:
    bundles = server.http.get("/v1/bundles").json()["bundles"]
    assert len(bundles) == 2
    other = next(b["id"] for b in bundles if not b["live"])
    assert server.http.post(f"/v1/bundles/{other}/promote").status_code == 200
    swapped = server.slate(user_id="u1")
    assert swapped["bundle"] == other
    assert not swapped["cached"]
    server.record(user_id="u1", item_id="c7-1", action="click")
    assert len(server.ids(user_id="u1")) == 10


def test_a_forgotten_user_is_a_stranger(server: Any) -> None:
    server.record(user_id="leaver", item_id="c2-6", action="buy")
    assert server.http.get("/v1/users/leaver").status_code == 200
    assert server.http.delete("/v1/users/leaver").status_code == 200
    assert server.http.get("/v1/users/leaver").status_code == 404
    left, never_was = (_what_the_ranker_reads(server, user_id) for user_id in ("leaver", "never-was"))
    assert set(left) == set(never_was)
    for item_id, features in never_was.items():
        # Not to the last digit: elapsed times and fading counts are features, and time passes between the questions.
        assert left[item_id] == pytest.approx(features, abs=1e-3), item_id


def _what_the_ranker_reads(server: Any, user_id: str) -> dict[str, Any]:
    """Return the candidates' features but the time of day, which alone orders items that are as good as each other."""
    told = server.slate(user_id=user_id, size=50, explain=True)["explanation"]
    assert len(told) >= 50
    return {c["item_id"]: {n: v for n, v in c["features"].items() if not n.startswith("hour_")} for c in told}


def test_kill_9_at_any_moment_loses_no_acknowledged_event(server: Any) -> None:
    acknowledged: list[str] = []
    rng = random.Random(0)
    for cycle in range(4):
        stop = threading.Event()

        def post(cycle: int = cycle, stop: threading.Event = stop) -> None:
            n = 0
            while not stop.is_set():
                event_id = f"k{cycle}-{n}"
                n += 1
                body = {"events": [{"user_id": "k", "item_id": "c0-1", "action": "click", "event_id": event_id}]}
                try:
                    if server.http.post("/v1/events", json=body).status_code == 200:
                        acknowledged.append(event_id)
                except httpx.HTTPError:  # the server was killed under this request
                    return

        thread = threading.Thread(target=post)
        thread.start()
        stop.wait(rng.uniform(0.1, 0.6))
        server.kill()
        stop.set()
        thread.join(20)
        server.restart()
    assert len(acknowledged) > 20
    for event_id in acknowledged:
        event = {"user_id": "k", "item_id": "c0-1", "action": "click", "event_id": event_id}
        assert server.record(**event)["duplicates"] == 1, f"{event_id} was acknowledged and is gone"


def test_sigterm_ends_the_server_cleanly_and_writes_impressions_out(server: Any, home_copy: Any) -> None:
    shown = server.slate(user_id="watched", size=5)
    assert server.stop() == 0
    with SqliteEventLog(home_copy / "log.sqlite", Settings().action_names) as log:
        impressions = [i for _, i in log.impressions() if i.user_id == "watched"]
    assert [list(i.shown) for i in impressions] == [[item["item_id"] for item in shown["items"]]]
    assert impressions[0].request_id == shown["request_id"]


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/metrics", "/healthz", "/readyz"])
def test_the_operator_finds_what_belongs_to_a_service(server: Any, path: str) -> None:
    server.slate(user_id="u1")
    answer = server.http.get(path)
    assert answer.status_code == 200
    if path == "/metrics":
        assert 'slatewise_stage_seconds_count{stage="ranking"}' in answer.text
