"""What a server does that is asked for more than it can do."""

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from slatewise.domain.settings import Settings
from slatewise.http.app import create_app
from slatewise.http.classes import BIG_BODY_BYTES, RECOMMEND, RECORD, classify
from slatewise.http.server import running
from slatewise.telemetry.clock import SystemClock
from slatewise.telemetry.metrics import Metrics

ALWAYS = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/docs/{name}"}
QUEUE = 2
EVENT = {"events": [{"user_id": "u", "item_id": "a"}]}


@pytest.fixture
def home(memory_home):
    """A home whose slates take until ``open`` is set; one is computed at a time, two may wait."""

    class Held(memory_home):
        def __init__(self, settings):
            super().__init__(settings)
            self.open = threading.Event()
            self.begun = threading.Semaphore(0)

        def answer(self, query):
            self.begun.release()
            assert self.open.wait(20)
            return super().answer(query)

    whole = Settings()
    patient = replace(whole.serving, deadline_ms=20_000.0)
    found = Held(replace(whole, serving=patient, http=replace(whole.http, queue=QUEUE, max_concurrency=1)))
    yield found
    found.open.set()


@pytest.fixture
def full(home):
    """A server that computes one slate and lets two wait, its URL, and the three answers to come."""
    app = create_app(home, Metrics(), SystemClock())
    with running(app) as url, ThreadPoolExecutor(1 + QUEUE) as threads:
        pending = []
        for number in range(1 + QUEUE):
            pending.append(threads.submit(httpx.get, f"{url}/v1/recommendations/u{number}", timeout=20))
            if not number:
                assert home.begun.acquire(timeout=10)
        for _ in range(1000):
            if app.state.overload.slates.waiting == QUEUE:
                break
            threading.Event().wait(0.005)
        yield url, pending
        home.open.set()


def test_excess_is_refused_as_a_problem_and_the_rest_is_answered(full, home):
    url, pending = full
    refused = httpx.post(f"{url}/v1/recommendations", json={"user_id": "v"})
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["type"] == "urn:slatewise:problem:overloaded"
    home.open.set()
    assert [answer.result().status_code for answer in pending] == [200] * 3


def test_health_metrics_and_events_go_on_where_slates_are_refused(full):
    url, _ = full
    assert httpx.get(f"{url}/v1/items/a/similar").status_code == 503
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/nothing"):
        assert httpx.get(url + path).status_code == (404 if path == "/nothing" else 200)
    assert httpx.post(f"{url}/v1/events", json=EVENT).status_code == 200
    assert httpx.delete(f"{url}/v1/items/a").status_code == 200


def test_refusals_are_counted_by_class_reason_and_route(full):
    url, _ = full
    for _ in range(3):
        httpx.get(f"{url}/v1/recommendations/v")
    text = httpx.get(f"{url}/metrics").text
    assert 'slatewise_rejected_total{class="slates",reason="full"} 3.0' in text
    assert 'slatewise_requests_total{method="GET",route="/v1/recommendations/{user_id}",status="503"} 3.0' in text
    assert 'slatewise_queue_depth{class="slates"} 2.0' in text
    assert 'slatewise_concurrency_limit{class="slates"} 3.0' in text


def test_refusal_reads_no_body_and_keeps_the_connection(full, home):
    url, _ = full
    host, port = url.removeprefix("http://").split(":")
    head = (
        b"POST /v1/recommendations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 503 Service Unavailable\r\n"), "before the body came"
        home.open.set()
        connection.sendall(b'{"user_id":"u"')
        # What was refused is not read as a request; the next one is, of a server that has time again.
        for _ in range(200):
            connection.sendall(b"GET /v1/recommendations/u HTTP/1.1\r\nhost: x\r\n\r\n")
            answer = connection.recv(65_536)
            if answer.startswith(b"HTTP/1.1 200 OK"):
                break
        assert answer.startswith(b"HTTP/1.1 200 OK")


def test_old_clients_are_refused_and_hung_up_on(full):
    url, _ = full
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET /v1/recommendations/u HTTP/1.0\r\n\r\n")
        whole = b""
        while piece := connection.recv(65_536):
            whole += piece
    assert whole.startswith(b"HTTP/1.1 503")
    assert b"connection: close" in whole


def test_other_servers_refuse_too(home, open_door):
    call = open_door(home)
    lane = call.app.state.overload.slates
    lane.arriving = 1 + QUEUE
    refused = call("POST", "/v1/recommendations", {"user_id": "v"})
    assert (refused.status_code, refused.json()["title"]) == (503, "Too many requests at once")
    assert call("GET", "/v1/items/a").status_code == 404, "another class"
    for _ in range(1 + QUEUE):
        lane.arrived()
    home.open.set()
    assert call("POST", "/v1/recommendations", {"user_id": "v"}).status_code == 200


def test_what_was_let_in_counts_until_its_task_had_a_turn(home, portal):
    overload = create_app(home, Metrics(), SystemClock()).state.overload

    async def story():
        for _ in range(1 + QUEUE):
            assert not overload.is_full(RECOMMEND)
            overload.admit(RECOMMEND, asyncio.get_running_loop())
        assert overload.is_full(RECOMMEND)
        assert not overload.is_full(RECORD)
        await asyncio.sleep(0)
        assert not overload.is_full(RECOMMEND)

    portal.call(story)


def test_waiting_in_the_queue_comes_off_the_deadline(full, home):
    _, pending = full
    threading.Event().wait(0.03)
    home.open.set()
    for answer in pending:
        answer.result()
    left = sorted(home.settings.serving.deadline_ms if q.deadline_ms is None else q.deadline_ms for q in home.queries)
    assert left[0] <= home.settings.serving.deadline_ms - 30


def test_every_route_has_a_class_or_is_always_answered(call):
    for path, methods in call("GET", "/openapi.json").json()["paths"].items():
        for method, described in methods.items():
            route = classify(method.upper(), path)
            assert (route is None) == (path in ALWAYS), (method, path)
            if route is not None:
                assert route.path_format == path
                assert "503" in described["responses"], (method, path)


@pytest.mark.parametrize(("method", "path", "size", "kind"), [
    ("POST", "/v1/recommendations", 0, "slates"),
    ("GET", "/v1/recommendations/a/b", 0, "slates"),
    ("GET", "/v1/items/a%2Fb/similar", 0, "slates"),
    ("GET", "/v1/items/similar", 0, "bulk"),
    ("DELETE", "/v1/items/a/similar", 0, "events"),
    ("POST", "/v1/events", 200, "events"),
    ("POST", "/v1/events", BIG_BODY_BYTES + 1, "bulk"),
    ("DELETE", "/v1/users/u", 0, "events"),
    ("GET", "/v1/users/a/b/export", 0, "bulk"),
    ("PUT", "/v1/items", 0, "bulk"),
    ("POST", "/v1/bundles/b/promote", 0, "bulk"),
    ("GET", "/healthz", 0, None),
    ("GET", "/nothing", 0, None),
])  # fmt: skip
def test_slates_rank_above_events_and_these_above_bulk(method, path, size, kind):
    found = classify(method, path, size)
    assert (found.kind if found else None) == kind
