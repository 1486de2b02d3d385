"""Answers given once more from their bytes: the same as the application's, to whoever may have them, in every form."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from slatewise.domain.answer import Answer
from slatewise.domain.events import Interaction
from slatewise.domain.query import Query
from slatewise.domain.settings import HttpSettings, Settings
from slatewise.http import protocol
from slatewise.http.app import create_app
from slatewise.http.server import running
from slatewise.telemetry.clock import SystemClock
from slatewise.telemetry.metrics import Metrics
from slatewise.wiring.keys import KeyFile

GET = b"GET /v1/recommendations/u1?size=2 HTTP/1.1\r\nhost: localhost\r\n\r\n"
BODY = b'{"user_id": "u1", "size": 2}'
HEAD = b"POST /v1/recommendations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
POST = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
EITHER = pytest.mark.parametrize("request_", [GET, POST], ids=["get", "post"])


@dataclass
class Encore:
    query: Query
    answer: Answer
    form: Any = None
    told_of: list[tuple[str, float]] = field(default_factory=list)

    def told(self, request_id: str, ms: float) -> None:
        self.told_of.append((request_id, ms))


class Encores:
    """Says that the last answer to a question holds until it is told otherwise."""

    def __init__(self) -> None:
        self.named: dict[bytes, tuple[str, object]] = {}
        self.ready: dict[str, Encore] = {}
        self.holds = True

    def remember(self, name: bytes, query: Query, beside: object = None) -> None:
        self.named[name] = query.user_id or "", beside

    def find(self, name: bytes) -> tuple[Encore, object] | None:
        user, beside = self.named.get(name, ("", None))
        encore = self.ready.get(user) if self.holds else None
        return None if encore is None else (encore, beside)


@pytest.fixture
def home(memory_home):
    class Home(memory_home):
        """Its answers come from a cache, all of them."""

        def answer(self, query: Query) -> Answer:
            answer = replace(super().answer(query), cached=True)
            self.encores.ready[query.user_id] = Encore(query, answer)
            return answer

    home = Home()
    home.encores = Encores()
    for item in "abc":
        home.record([Interaction(user_id="u9", item_id=item, action="click", at=1.0)])
    return home


class Line:
    """One connection."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._read = b""

    def send(self, *pieces: bytes) -> None:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            self._socket.sendall(piece)

    def receive(self) -> SimpleNamespace:
        """Return one answer; a status of 0 where the connection ended instead."""
        while b"\r\n\r\n" not in self._read:
            piece = self._socket.recv(65_536)
            if not piece:
                return SimpleNamespace(status=0)
            self._read += piece
        head, _, rest = self._read.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        length = int(headers[b"content-length"])
        while len(rest) < length:
            rest += self._socket.recv(65_536)
        self._read = rest[length:]
        return SimpleNamespace(status=int(first.split()[1]), headers=headers, json=json.loads(rest[:length]))

    def ask(self, *pieces: bytes) -> SimpleNamespace:
        self.send(*pieces)
        return self.receive()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def serve(home):
    opened: list[Any] = []

    def serve(settings: Settings | None = None) -> str:
        home.settings = settings or home.settings
        serve.metrics = Metrics()
        server = running(create_app(home, serve.metrics, SystemClock()))
        opened.append(server)
        return server.__enter__()

    yield serve
    for server in opened:
        server.__exit__(None, None, None)


@pytest.fixture
def line(serve) -> Iterator[Line]:
    line = Line(serve())
    yield line
    line.close()


def asked(home) -> int:
    """How often the application was asked."""
    return len(home.queries)


@EITHER
def test_the_same_answer_under_its_own_request_id_and_no_application(line, home, serve, request_):
    first = line.ask(request_)
    for number in range(1, 4):
        again = line.ask(request_)
        assert asked(home) == 1
        assert list(again.headers) == list(first.headers)
        assert again.json == first.json | {key: again.json[key] for key in ("request_id", "timing_ms")}
        assert list(again.json) == list(first.json)
        assert set(again.json["timing_ms"]) == {"total"}
        told = home.encores.ready["u1"].told_of
        assert len(told) == number
        assert told[-1][0] == again.json["request_id"] != first.json["request_id"]
    method = request_.split()[0].decode()
    route = "/v1/recommendations" + ("/{user_id}" if request_ is GET else "")
    counted = f'slatewise_requests_total{{method="{method}",route="{route}",status="200"}} 4.0'
    assert counted in serve.metrics.exposition().decode()
    timed = f'slatewise_request_seconds_count{{route="{route}"}} 4.0'
    assert timed in serve.metrics.exposition().decode()


@EITHER
def test_what_does_not_hold_any_more_is_asked_for_anew(line, home, request_):
    for _ in range(3):
        line.ask(request_)
    home.record([Interaction(user_id="u1", item_id="a", action="click", at=2.0)])
    assert "a" in [item["item_id"] for item in line.ask(request_).json["items"]], "the twin: nobody noticed"
    home.encores.holds = False
    assert "a" not in [item["item_id"] for item in line.ask(request_).json["items"]]
    assert asked(home) == 2


@EITHER
def test_however_it_arrives(line, home, request_):
    expected = line.ask(request_).json["items"]
    for split in range(1, len(request_)):
        assert line.ask(request_[:split], request_[split:]).json["items"] == expected
    assert line.ask(*(request_[at : at + 1] for at in range(len(request_)))).json["items"] == expected
    before = asked(home)
    assert line.ask(request_).json["items"] == expected
    assert asked(home) == before, "and whole, it is still known"


def test_several_at_once_are_answered_in_order(line, home):
    other = GET.replace(b"/u1", b"/u2")
    for request_ in (GET, POST, other):
        line.ask(request_)
    health = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    line.send(GET + POST + health + other, POST + GET)
    answers = [line.receive() for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 6
    assert ["items" in answer.json for answer in answers] == [True, True, False, True, True, True]
    home.encores.holds = False
    line.send(GET + GET)
    home.encores.holds = True
    line.send(GET)
    assert [line.receive().status for _ in range(3)] == [200] * 3


def test_a_piece_with_more_than_one_request_is_not_remembered_as_one(line, home):
    line.ask(GET)
    line.send(GET + GET)
    assert [line.receive().status for _ in range(2)] == [200, 200]
    line.send(GET + GET)
    assert [line.receive().status for _ in range(2)] == [200, 200]
    line.send(GET + b"G")
    assert line.receive().status == 200
    line.send(GET[1:])
    assert line.receive().status == 200
    line.send(GET + b"G")
    assert line.receive().status == 200
    line.send(GET[1:])
    assert line.receive().status == 200


@EITHER
def test_a_connection_that_is_to_end_ends(serve, home, request_):
    url = serve()
    for _ in range(3):
        for form in (
            request_.replace(b"host: localhost\r\n", b"host: localhost\r\nconnection: close\r\n"),
            request_.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ):
            line = Line(url)
            answer = line.ask(form)
            assert answer.status == 200
            assert answer.headers[b"connection"] == b"close"
            assert line.receive().status == 0
            line.close()
    assert asked(home) == 1


@pytest.mark.parametrize("odd", [
    HEAD.replace(b"application/json", b"text/plain") + b"content-length: %d\r\n\r\n" % len(BODY) + BODY,
    HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    GET.replace(b"GET", b"HEAD", 1),
    GET.replace(b"?size=2", b"?size=2&size=3"),
    GET.replace(b"host: localhost", b"host: example.com"),
])  # fmt: skip
def test_what_is_asked_in_another_way_goes_the_usual_one(line, home, odd):
    line.ask(GET)
    line.ask(POST)
    told = sum(len(encore.told_of) for encore in home.encores.ready.values())
    for _ in range(2):
        if odd.startswith(b"HEAD"):
            line.send(odd)
            assert line._socket.recv(65_536).startswith(b"HTTP/1.1 405")
        else:
            assert line.ask(odd).status in (200, 415, 421, 422)
    assert sum(len(encore.told_of) for encore in home.encores.ready.values()) == told


@EITHER
def test_a_revoked_key_is_refused_from_then_on(serve, home, tmp_path, request_):
    ring = KeyFile(tmp_path, SystemClock())
    key, token = ring.create("shop", ["serve"])
    _, weak = ring.create("writer", ["events"])
    home.keys = ring
    line = Line(serve())

    def by(token: str) -> bytes:
        return request_.replace(b"host: localhost\r\n", b"host: localhost\r\nx-api-key: %b\r\n" % token.encode())

    for _ in range(3):
        assert line.ask(by(token)).status == 200
    assert asked(home) == 1
    assert line.ask(request_).status == 401
    assert line.ask(by(weak)).status == 403
    ring.revoke(key.id)
    assert line.ask(by(token)).status == 401
    line.close()


@EITHER
def test_each_answer_takes_a_token_of_the_rate(serve, home, request_):
    line = Line(serve(Settings(http=HttpSettings(rate=0.001, burst=3))))
    answers = [line.ask(request_) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers[b"ratelimit"].split(b";")[1] for answer in answers[:3]] == [b"r=2", b"r=1", b"r=0"]
    assert asked(home) == 1
    line.close()


def test_where_requests_are_logged_each_is_answered_by_the_application(serve, home):
    line = Line(serve(Settings(http=HttpSettings(access_log=True))))
    for _ in range(3):
        assert b"x-request-id" in line.ask(GET).headers
    assert asked(home) == 3
    line.close()


@EITHER
def test_it_needs_no_room(serve, home, request_, monkeypatch):
    line = Line(serve())
    line.ask(request_)
    monkeypatch.setattr("slatewise.http.overload.Overload.is_full", lambda overload, route: True)
    assert line.ask(request_).status == 200
    home.encores.holds = False
    assert [line.ask(request_).status for _ in range(2)] == [503, 503]
    home.encores.holds = True
    assert line.ask(request_).status == 200
    line.close()


def test_an_idle_connection_ends_a_while_after_its_last_answer(serve, monkeypatch):
    made = protocol._Connection.connection_made

    def impatient(connection, transport):
        connection.timeout_keep_alive = 0.2
        made(connection, transport)

    monkeypatch.setattr(protocol._Connection, "connection_made", impatient)
    line = Line(serve())
    for _ in range(4):
        assert line.ask(GET).status == 200
        time.sleep(0.1)
    assert line.receive().status == 0
    line.close()
