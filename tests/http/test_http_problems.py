"""Every error is an RFC 9457 problem document, and none tells of the inside."""

import logging

import pytest

from slatewise.domain import errors
from slatewise.domain.settings import HttpSettings, Settings
from slatewise.http.errors import TABLE

JSON = {"content-type": "application/json"}


def is_problem(answer, status: int) -> dict:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert (
        {"type", "title", "status", "detail", "instance"}
        <= set(document)
        <= {
            "type",
            "title",
            "status",
            "detail",
            "instance",
            "errors",
        }
    )
    assert document["status"] == status
    assert document["detail"]
    return document


def every_error() -> list[type[errors.SlatewiseError]]:
    found, todo = [], [errors.SlatewiseError]
    while todo:
        found.append(todo.pop())
        todo += found[-1].__subclasses__()
    return [e for e in found if e.__module__ == errors.__name__]


def made(kind: type[errors.SlatewiseError]) -> errors.SlatewiseError:
    if issubclass(kind, errors.InputError):
        return kind("size", -1, "a positive number")
    if kind is errors.StageFailed:
        return errors.StageFailed("ranking", "deep", "/secret/model.onnx")
    return kind("/secret/path of the matter")


def test_every_error_has_a_place_in_the_table():
    assert len(every_error()) >= 10
    assert set(every_error()) == set(TABLE)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_is_answered_as_the_table_says(call, home, kind):
    home.fault = made(kind)
    document = is_problem(call("GET", "/v1/recommendations/u"), TABLE[kind].status)
    assert document["title"] == TABLE[kind].title
    assert document["instance"] == "/v1/recommendations/u"
    if document["status"] == 500 or issubclass(kind, errors.StorageError):
        assert "/secret" not in str(document)


@pytest.mark.parametrize("kind", [errors.BundleError, errors.NotReady, errors.TrainingError])
def test_file_is_named_without_its_folders(call, home, kind):
    home.fault = kind("array x.npy: [Errno 2] No such file: '/home/me/H/bundles/b/x.npy'")
    assert call("GET", "/v1/recommendations/u").json()["detail"] == "array x.npy: [Errno 2] No such file: 'x.npy'"


def test_error_of_a_kind_made_later_is_answered_as_its_parent(call, home):
    class Missing(errors.NotFound):
        pass

    home.fault = Missing("no such thing")
    is_problem(call("GET", "/v1/recommendations/u"), 404)


def test_hidden_error_is_in_the_log(call, home, caplog):
    home.fault = errors.StorageError("disk /secret is full")
    with caplog.at_level(logging.ERROR):
        call("GET", "/v1/recommendations/u")
    assert "disk /secret is full" in caplog.text


@pytest.mark.parametrize("kind", [errors.Overloaded, errors.NotReady, errors.StorageError])
def test_error_that_passes_says_when_to_come_back(call, home, kind):
    home.fault = kind("later")
    assert int(call("GET", "/v1/recommendations/u").headers["retry-after"]) >= 1


def test_input_error_names_its_field(call, home):
    home.fault = errors.InputError("where.colour", "x" * 500, "an attribute of the catalogue")
    document = is_problem(call("GET", "/v1/recommendations/u"), 422)
    assert document["errors"] == [{"field": "where.colour", "message": "expected an attribute of the catalogue"}]
    assert len(document["detail"]) < 200


def test_unexpected_error_is_500_without_stack_or_paths(call, home):
    home.fault = RuntimeError("secret in /etc/thing")
    answer = call("GET", "/v1/recommendations/u")
    assert is_problem(answer, 500)["type"] == "urn:slatewise:problem:internal"
    assert not any(word in answer.text for word in ("secret", "/etc", "Traceback", ".py", "RuntimeError"))


@pytest.mark.parametrize("body", [b"{", b"", b"nonsense", b'{"a":}', b"\xff\xfe", b"[" * 100_000, b"1" * 5_000])
def test_malformed_json_is_400(call, body):
    answer = call("POST", "/v1/events", content=body, headers=JSON)
    if body:
        is_problem(answer, 400)
    else:
        assert is_problem(answer, 422)["errors"][0]["message"] == "Field required"


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null"])
def test_json_that_is_no_object_is_422(call, body):
    is_problem(call("POST", "/v1/events", content=body, headers=JSON), 422)


def test_body_not_declared_as_json_is_415_and_says_what_to_send(call):
    form = {"content-type": "application/x-www-form-urlencoded"}
    document = is_problem(call("POST", "/v1/events", content=b'{"events":[]}', headers=form), 415)
    assert "application/json" in document["detail"]
    is_problem(call("POST", "/v1/events", content=b'{"events":[]}'), 415)


def test_unknown_path_is_404_and_other_method_405(call):
    assert is_problem(call("GET", "/v2/nothing%20here"), 404)["instance"] == "/v2/nothing%20here"
    answer = call("GET", "/v1/events")
    is_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_only_the_first_refused_fields_are_listed(call):
    document = is_problem(call("POST", "/v1/events", {"events": [{}] * 500}), 422)
    assert len(document["errors"]) == 20
    assert "999 more" in document["detail"]


@pytest.mark.parametrize("key", [b"\\ud800", b"x" * 100_000])
def test_refused_key_of_any_kind_is_answered_briefly(call, key):
    for body in (b'{"%s":1}', b'{"where":{"%s":{"x":1}}}', b'{"history":[{"item_id":"a","%s":1}]}'):
        answer = call("POST", "/v1/recommendations", content=body % key, headers=JSON)
        is_problem(answer, 422)
        assert len(answer.content) < 2_000


@pytest.fixture
def narrow(open_door, memory_home):
    return open_door(memory_home(Settings(http=HttpSettings(max_body_bytes=100))))


def test_body_declared_too_large_is_413_unread(narrow):
    is_problem(narrow("POST", "/v1/events", content=b"x" * 101, headers=JSON), 413)
    is_problem(narrow("POST", "/v1/events", content=b"x" * 100, headers=JSON), 400)


def test_endless_body_is_413_at_the_first_byte_too_many(narrow):
    taken = 0

    async def endless():
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 10

    is_problem(narrow("POST", "/v1/events", content=endless(), headers=JSON), 413)
    assert taken <= 12


def test_small_body_in_pieces_arrives_whole(narrow):
    async def pieces():
        for piece in (b'{"events":[', b'{"user_id":"u","item_id":"a"}', b"]}"):
            yield piece

    assert narrow("POST", "/v1/events", content=pieces(), headers=JSON).json()["accepted"] == 1


@pytest.mark.parametrize(
    ("method", "path", "sent", "field"),
    [
        ("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a"}]}, "events[3].timestamp"),
        ("PUT", "/v1/items", {"items": [{"item_id": "a"}]}, "items[3].timestamp"),
    ],
)
def test_entry_refused_by_the_core_is_named_as_it_was_sent(call, home, method, path, sent, field):
    home.fault = errors.InputError("events[3].at", 9e99, "a time")
    document = is_problem(call(method, path, sent), 422)
    assert document["errors"][0]["field"] == field
    assert document["detail"].startswith(f"{field}: got ")
