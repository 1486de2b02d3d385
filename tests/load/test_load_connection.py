"""Answers as servers really send them, and connections as they really end."""

import json
import socket
from collections.abc import Callable

import pytest

from slatewise.load.known import Known
from slatewise.load.plan import Plan
from slatewise.load.run import measure

from .conftest import SLATE, Asked, Tiny, answer

TOLD = {**SLATE, "cached": True}
BODY = json.dumps(TOLD).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


WHOLE = answer(TOLD)
FORMS: dict[str, bytes | list[bytes | None]] = {
    "of a length": WHOLE,
    "in pieces that end anywhere": [WHOLE[:5], WHOLE[5:60], WHOLE[60:]],
    "chunked": CHUNKED + chunk(BODY) + b"0\r\n\r\n",
    "chunked in pieces": [CHUNKED, chunk(BODY[:9])[:4], chunk(BODY[:9])[4:] + chunk(BODY[9:]), b"0\r\n\r\n"],
    "after an announcement": [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", WHOLE],
    "saying that it closes": answer(TOLD, headers="connection: close\r\n"),
    "closing without a word": [WHOLE, None],
    "ended by the connection": [b"HTTP/1.1 200 OK\r\ncontent-type: x\r\n\r\n" + BODY, None],
    "of the older protocol": [b"HTTP/1.0 200 OK\r\n\r\n" + BODY[:20], BODY[20:], None],
}


@pytest.mark.parametrize("form", FORMS)
def test_answers_are_read(tiny: Tiny, plan: Callable[..., Plan], form: str) -> None:
    tiny.reply = lambda asked: FORMS[form]
    # No more than two at once: on a machine that stalls, an open loop would rather open more than keep these.
    result = measure(plan(rate=300.0, duration_s=0.1, connections=2, max_connections=2), Known())
    figures = result.figures()
    assert figures.errors == {}
    assert figures.ok == figures.sent > 15
    assert figures.cached == 1.0
    closes = form == "saying that it closes" or FORMS[form][-1] is None
    assert (tiny.connections >= figures.sent) if closes else (tiny.connections == 2), "kept alive unless it closes"


def test_rejections_are_counted_apart_and_make_nothing_look_fast(tiny: Tiny, plan: Callable[..., Plan]) -> None:
    def reply(asked: Asked) -> bytes:
        return [answer(SLATE), answer({}, 503), answer({}, 500)][asked.number % 3]

    tiny.reply = reply
    result = measure(plan(rate=900.0, arrivals="constant", duration_s=0.1), Known())
    figures = result.figures()
    assert (figures.sent, figures.ok, figures.rejected, figures.errors) == (90, 30, 30, {"500": 30})
    assert figures.per_s == pytest.approx(300.0, rel=0.2)
    assert result.samples.is_timed.sum() == 30


def test_cached_and_degraded_answers_are_shares_of_slates_by_reason(tiny: Tiny, plan: Callable[..., Plan]) -> None:
    def reply(asked: Asked) -> bytes:
        late = [f"min_version: reflects {asked.number}, not yet 9.5", "ranking: deadline"][: asked.number % 4]
        return answer({**SLATE, "cached": asked.number % 2 == 0, "degraded": late})

    tiny.reply = reply
    figures = measure(plan(rate=400.0, arrivals="constant", duration_s=0.1), Known()).figures("fresh")
    assert figures.cached == 0.5
    assert figures.degraded == 0.75
    assert figures.degraded_by == {"min_version: reflects #, not yet #": 0.75, "ranking: deadline": 0.5}


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ([WHOLE[:70], None], "connection lost"),
        ([None], "connection lost"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "connection lost"),
        (answer("no slate"), "unreadable answer"),
        (answer({}, 404), "404"),
    ],
)
def test_what_is_no_answer_is_named(
    tiny: Tiny, plan: Callable[..., Plan], reply: bytes | list[bytes | None], outcome: str
) -> None:
    tiny.reply = lambda asked: reply
    figures = measure(plan(rate=400.0, duration_s=0.1), Known()).figures()
    assert figures.errors == {outcome: figures.sent}
    assert figures.sent > 20


def test_a_server_that_is_gone_is_a_result_and_keeps_nobody_waiting(plan: Callable[..., Plan]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    result = measure(plan(url=f"http://127.0.0.1:{port}", duration_s=0.1), Known())
    assert result.figures().errors == {"no connection": result.figures().sent}


def test_a_request_that_crosses_the_end_of_an_idle_connection_is_sent_again(
    tiny: Tiny, plan: Callable[..., Plan]
) -> None:
    # The second request on a connection is taken and never answered: the connection is closed instead.
    seen: dict[int, int] = {}

    def reply(asked: Asked) -> bytes | list[bytes | None]:
        seen[tiny.connections] = seen.get(tiny.connections, 0) + 1
        return WHOLE if seen[tiny.connections] % 2 else [None]

    tiny.reply = reply
    figures = measure(plan(rate=50.0, duration_s=0.4, connections=1, max_connections=1), Known()).figures()
    assert figures.ok == figures.sent
    assert len(tiny.asked) > figures.sent, "some were sent twice"
