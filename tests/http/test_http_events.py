"""POST /v1/events."""

import time

import pytest

from slatewise.domain.errors import Conflict, ReadOnly, StorageError, StorageFull
from slatewise.domain.settings import IngestSettings, Settings


def test_event_is_counted_and_answered_with_the_version_that_holds_it(call, home):
    answer = call("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a", "action": "click"}]})
    assert answer.status_code == 200
    assert answer.json() == {"accepted": 1, "duplicates": 0, "version": 1}
    assert home.events[0].user_id == "u"


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (Conflict("events[0].event_id", "e1", "an id that no other event has"), 409, "conflict"),
        (StorageFull("/secret is full"), 507, "storage-full"),
        (ReadOnly("/secret failed"), 503, "storage-read-only"),
        (StorageError("/secret"), 503, "storage"),
    ],
)
def test_a_write_that_the_store_refuses_says_why(call, home, error, status, slug):
    home.fault = error
    answer = call("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a", "event_id": "e1"}]})
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:slatewise:problem:{slug}")
    assert "/secret" not in answer.text
    if status == 409:
        assert "'e1'" in answer.json()["detail"]
        assert answer.json()["errors"][0]["field"] == "events[0].event_id"


def test_same_event_id_twice_counts_once(call):
    event = {"user_id": "u", "item_id": "a", "action": "click", "event_id": "e1"}
    call("POST", "/v1/events", {"events": [event]})
    assert call("POST", "/v1/events", {"events": [event]}).json() == {"accepted": 0, "duplicates": 1, "version": 1}


def test_event_without_time_and_action_happens_now_with_the_default_action(call, home):
    call("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a"}]})
    assert home.events[0].action == "interaction"
    assert home.events[0].at is not None
    assert home.events[0].at > 1.6e9


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (1_700_000_000, 1_700_000_000.0),
        (1_700_000_000.25, 1_700_000_000.25),
        ("2024-01-01T00:00:00Z", 1_704_067_200.0),
        ("2024-01-01T02:00:00+02:00", 1_704_067_200.0),
        ("2024-01-01", 1_704_067_200.0),
        (-86_400, -86_400.0),
    ],
)
def test_timestamp_may_be_seconds_or_iso_8601(call, home, sent, kept):
    call("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a", "timestamp": sent}]})
    assert home.events[0].at == kept


def test_timestamp_without_a_zone_is_utc_wherever_the_server_stands(call, home, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        call("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a", "timestamp": "2024-01-01T00:00:00"}]})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert home.events[0].at == 1_704_067_200.0


@pytest.mark.parametrize("sent", ["yesterday", True, 1_700_000_000_000, "1700000000"])
def test_timestamp_that_is_none_is_refused_by_field(call, home, sent):
    answer = call("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a", "timestamp": sent}]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "events[0].timestamp"
    assert home.events == []


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"item_id": "a"}, "events[0].user_id"),
        ({"user_id": "u", "item_id": ""}, "events[0].item_id"),
        ({"user_id": "u", "item_id": 7}, "events[0].item_id"),
        ({"user_id": "u", "item_id": "a" * 257}, "events[0].item_id"),
        ({"user_id": "u", "item_id": "a", "value": "3"}, "events[0].value"),
        ({"user_id": "u", "item_id": "a", "itme": 1}, "events[0].itme"),
        ({"user_id": "u", "item_id": "a", "action": "fly"}, "events[0].action"),
    ],
)
def test_wrong_event_is_refused_by_field_and_nothing_is_stored(call, home, event, field):
    answer = call("POST", "/v1/events", {"events": [event]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert home.events == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_value_that_is_not_finite_is_refused(call, number):
    body = f'{{"events":[{{"user_id":"u","item_id":"a","value":{number}}}]}}'
    answer = call("POST", "/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "events[0].value"


def test_no_events_at_all_are_refused(call):
    assert call("POST", "/v1/events", {"events": []}).status_code == 422


def test_more_events_than_the_settings_allow_are_refused(open_door, memory_home):
    call = open_door(memory_home(Settings(ingest=IngestSettings(max_batch=2))))
    events = [{"user_id": "u", "item_id": "a"}] * 3
    answer = call("POST", "/v1/events", {"events": events})
    assert answer.status_code == 422
    assert "ingest.max_batch" in answer.json()["detail"]
    assert call("POST", "/v1/events", {"events": events[:2]}).status_code == 200


def test_half_of_a_surrogate_pair_is_refused_not_stored(call, home):
    body = b'{"events":[{"user_id":"\\ud800","item_id":"a"}]}'
    answer = call("POST", "/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert home.events == []
