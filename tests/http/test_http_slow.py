"""Clients that take their time, on real sockets: what they hold is taken from them, and nobody else notices."""

import socket
import threading
import time

import httpx
import pytest

from slatewise.domain.settings import HttpSettings, Settings
from slatewise.http import patience, protocol, strict_json
from slatewise.http.app import create_app
from slatewise.http.server import running
from slatewise.telemetry.clock import SystemClock
from slatewise.telemetry.metrics import Metrics

HEAD_S = 0.25
LATE_S = 5.0
"""By then anything that is bounded has ended, on a busy machine too."""
GOOD = b"GET /v1/recommendations/u HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
DRIP = b"GET / HTTP/1.1\r\nX: " + b"x" * 2_000
SMALL = 4096


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(patience, "LOOK_S", 0.02)
    monkeypatch.setattr(patience, "READING_S", 0.4)
    monkeypatch.setattr(protocol, "YOUNG_S", 0.05)
    monkeypatch.setattr(strict_json, "SLOWEST_S", 0.2)


@pytest.fixture
def served(memory_home):
    """Return what serves a home with some HTTP settings, and the metrics."""

    def start(**http):
        home = memory_home(Settings(http=HttpSettings(**http)))
        metrics = Metrics()
        return home, metrics, running(create_app(home, metrics, SystemClock()))

    return start


def connected(url, receive=None):
    found = socket.socket()
    if receive is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    found.settimeout(LATE_S)
    host, port = url.removeprefix("http://").split(":")
    found.connect((host, int(port)))
    return found


def ended_after(link, send=b"", every_s=0.02, limit_s=LATE_S):
    """Send *send* byte by byte until the server hangs up; return after how long, None where it does not."""
    begun = time.monotonic()
    link.settimeout(every_s)
    drip = iter(send)
    while time.monotonic() - begun < limit_s:
        try:
            byte = next(drip, None)
            if byte is not None:
                link.sendall(bytes([byte]))
            if not link.recv(SMALL):
                return time.monotonic() - begun
        except TimeoutError:
            continue
        except OSError:
            return time.monotonic() - begun
    return None


def ends(metrics, reason):
    return metrics.registry.get_sample_value("slatewise_connections_ended_total", {"reason": reason}) or 0


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"", b""),
        (b"", DRIP),
        (GOOD, DRIP),
        # What trickles is the body of a request that was answered already.
        (b"POST /v1/nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000\r\n\r\n", b"x" * 2_000),
    ],
)
def test_head_that_does_not_arrive_ends_the_connection(served, first, drip):
    _, metrics, server = served(head_s=HEAD_S)
    with server as url, connected(url) as link:
        if first:
            link.sendall(first)
            assert link.recv(SMALL).startswith(b"HTTP/1.1 ")
        took = ended_after(link, drip)
        assert took is not None
        assert HEAD_S / 2 < took < LATE_S
        assert ends(metrics, "head") == 1
        assert httpx.get(f"{url}/v1/recommendations/u").status_code == 200


def test_without_a_bound_a_trickled_head_is_waited_for(served):
    """The broken twin."""
    _, metrics, server = served(head_s=60.0)
    with server as url, connected(url) as link:
        assert ended_after(link, DRIP, limit_s=3 * HEAD_S) is None
        assert ends(metrics, "head") == 0


def test_many_who_begin_and_never_end_keep_nobody_out(served):
    _, metrics, server = served(head_s=HEAD_S)
    with server as url, httpx.Client(base_url=url) as client:
        links = [connected(url) for _ in range(60)]
        for link in links:
            link.sendall(b"GET / HT")
        assert all(client.get("/v1/recommendations/u").status_code == 200 for _ in range(20))
        until = time.monotonic() + LATE_S
        while ends(metrics, "head") < 60 and time.monotonic() < until:
            time.sleep(0.01)
        assert ends(metrics, "head") == 60
        for link in links:
            link.close()


def wide(home):
    """Have the home answer with many bytes."""
    home.put_items([_item(n) for n in range(400)])


def _item(n):
    from slatewise.domain.events import ItemChange

    return ItemChange(at=0.0, item_id=f"{n:03}" + "i" * 200)


def test_answers_that_are_not_read_end_the_connection(served):
    home, metrics, server = served()
    wide(home)
    with server as url, connected(url, SMALL) as link:
        asked = GOOD.replace(b"/u ", b"/u?size=400 ") * 100
        threading.Thread(target=_sent, args=(link, asked), daemon=True).start()
        until = time.monotonic() + LATE_S
        while not ends(metrics, "reading") and time.monotonic() < until:
            time.sleep(0.01)
        assert ends(metrics, "reading") == 1
        assert httpx.get(f"{url}/v1/recommendations/u").status_code == 200


def test_who_reads_slowly_but_reads_is_left_alone(served):
    home, metrics, server = served()
    wide(home)
    with server as url, connected(url, 1 << 16) as link:
        threading.Thread(target=_sent, args=(link, GOOD.replace(b"/u ", b"/u?size=400 ") * 200), daemon=True).start()
        begun = time.monotonic()
        while time.monotonic() - begun < 2.5 * patience.READING_S:
            assert link.recv(1 << 16)
            time.sleep(0.005)
        assert ends(metrics, "reading") == 0


def _sent(link, content):
    try:
        link.sendall(content)
    except OSError:
        return


def test_idle_connections_make_room_for_new_ones(served):
    _, metrics, server = served(connections=4, head_s=60.0)
    with server as url:
        idle = []
        for _ in range(4):
            idle.append(connected(url))
            time.sleep(0.02)  # the loop's clock counts milliseconds
        time.sleep(0.3)  # until they are no newcomers any more, and were looked at
        assert httpx.get(f"{url}/v1/recommendations/u").status_code == 200
        assert ends(metrics, "room") == 1
        assert ended_after(idle[0]) is not None, "the longest idle one goes"
        for link in idle:
            link.close()


def test_who_is_being_answered_keeps_the_place(served):
    home, metrics, server = served(connections=2)
    gate, asked, answer = threading.Event(), [], home.answer

    def late_answer(query):
        asked.append(query)
        gate.wait(LATE_S)
        return answer(query)

    home.answer = late_answer
    with server as url, connected(url) as one, connected(url) as other:
        for link in (one, other):
            link.sendall(GOOD)
        until = time.monotonic() + LATE_S
        while len(asked) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        with connected(url) as late:
            assert ended_after(late) is not None
        gate.set()
        assert [link.recv(SMALL)[:15] for link in (one, other)] == [b"HTTP/1.1 200 OK"] * 2
        assert ends(metrics, "room") == 1


@pytest.mark.parametrize("asked", [b"GET /v1/items/a", b"DELETE /v1/items/a", b"PUT /v1/items"])
def test_body_of_no_declared_length_that_does_not_end_is_408(served, asked):
    _, _, server = served()
    with server as url, connected(url) as link:
        link.sendall(asked + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        assert link.recv(SMALL).startswith(b"HTTP/1.1 408 ")
