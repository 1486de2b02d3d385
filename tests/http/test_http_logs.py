"""What is written about requests, and what never is."""

import json
from dataclasses import replace

import pytest

from slatewise.domain.settings import HttpSettings, Settings
from slatewise.http.logs import RequestLog


@pytest.fixture
def logged(memory_home, portal, open_door, capsys):
    """Ask a door with these settings, its lifespan begun, and return the answer and what stands on stderr."""

    def ask(method, path, sent=None, fault=None, **http):
        home = memory_home(replace(Settings(), http=HttpSettings(**http)))
        home.fault = fault
        call = open_door(home)

        async def asked():
            async with call.app.router.lifespan_context(call.app):
                return await call.client.request(method, path, json=sent)

        return portal.call(asked), capsys.readouterr().err

    return ask


def test_nothing_is_written_unless_asked_for(logged):
    answer, text = logged("GET", "/v1/recommendations/alice")
    assert text == ""
    assert "x-request-id" not in answer.headers


def test_line_names_route_status_time_request_and_a_hash_for_the_user(logged):
    asked = {"user_id": "alice@example.com", "exclude": ["secret"]}
    answer, text = logged("POST", "/v1/recommendations", asked, log="json", access_log=True, log_key="k")
    line = json.loads(text)
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/recommendations", 200)
    assert line["ms"] >= 0
    assert line["request_id"] == answer.json()["request_id"] == answer.headers["x-request-id"]
    assert len(line["user"]) == 16
    assert "alice" not in text
    assert "secret" not in text


@pytest.mark.parametrize(("method", "path", "sent"), [
    ("GET", "/v1/recommendations/alice?size=3", None),
    ("GET", "/v1/users/alice", None),
    ("DELETE", "/v1/users/alice", None),
    ("POST", "/v1/events", {"events": [{"user_id": "alice", "item_id": "alice"}]}),
    ("POST", "/v1/recommendations", {"user_id": "alice", "size": "alice"}),
    ("GET", "/alice", None),
])  # fmt: skip
@pytest.mark.parametrize("log", ["text", "json"])
def test_no_id_is_ever_written(logged, method, path, sent, log):
    _, text = logged(method, path, sent, log=log, access_log=True)
    assert text.count("\n") == 1
    assert "alice" not in text


def test_error_is_written_with_the_request_that_met_it(logged):
    answer, text = logged("GET", "/v1/recommendations/alice", fault=OSError("disk"), log="json")
    lines = [json.loads(line) for line in text.splitlines()]
    assert answer.status_code == 500
    assert {line["request_id"] for line in lines} <= {answer.headers.get("x-request-id"), None} or lines == []
    assert "alice" not in text


def test_hash_is_the_same_for_one_key_and_another_for_another():
    one, same, other, made_up = (RequestLog(HttpSettings(log_key=key)) for key in ("k", "k", "l", ""))
    assert one.hashed("u") == same.hashed("u") != one.hashed("v")
    assert len({log.hashed("u") for log in (one, other, made_up, RequestLog(HttpSettings()))}) == 4


def test_loggers_are_given_back(logged, caplog):
    logged("GET", "/healthz", log="json", access_log=True)
    create_app_log = __import__("logging").getLogger("slatewise")
    assert create_app_log.propagate
    assert not create_app_log.handlers
