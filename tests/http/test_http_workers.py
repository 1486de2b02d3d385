"""Several processes behind one socket: kept alive, replaced, drained. Their home is in memory, so no two are alike."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from slatewise.domain.errors import InputError
from slatewise.http.accepting import Acceptor
from slatewise.http.seat import Seat
from slatewise.http.supervisor import Supervisor

SERVER = """
    import importlib.util, os, sys, time
    fake = sys.argv[1]
    spec = importlib.util.spec_from_file_location("memory", fake)
    memory = importlib.util.module_from_spec(spec)
    sys.modules["memory"] = memory
    spec.loader.exec_module(memory)

    from slatewise.http.app import create_app
    from slatewise.http.seat import Seat
    from slatewise.http.server import serve_seat
    from slatewise.http.supervisor import Supervisor
    from slatewise.telemetry.clock import SystemClock
    from slatewise.telemetry.metrics import Metrics

    class Home(memory.MemoryHome):
        def answer(self, query):
            time.sleep(0.3 if query.user_id == "slow" else 0)
            return super().answer(query)

        def new_request_id(self):
            return str(os.getpid())

    if "--seat" in sys.argv:
        serve_seat(create_app(Home(), Metrics(), SystemClock()), Seat.read(sys.argv[-1]))
    else:
        command = [sys.executable, "-c", sys.orig_argv[2], *sys.argv[1:]]
        ready = lambda url: print(url, flush=True)
        sys.exit(Supervisor(command, 2, "127.0.0.1", 0, ready).run())
"""

BARE = """
    import sys
    from slatewise.http.supervisor import Supervisor
    work = "import os, sys, threading; sys.path[:0] = {path}; from slatewise.http.seat import Seat;"
    work += "seat = Seat.read(sys.argv[-1]); over = threading.Event(); seat.watch(over.set);"
    # In one piece: both say so at once, to one pipe.
    work += "os.write(1, b'%d%c' % (os.getpid(), 10)); seat.ready(); over.wait()"
    command = [sys.executable, "-c", work.format(path=sys.path)]
    Supervisor(command, 2, "127.0.0.1", 0, lambda url: print(url, flush=True)).run()
"""


@pytest.fixture
def supervised() -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", textwrap.dedent(SERVER), str(Path(__file__).with_name("conftest.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def answered_by(url: str, user: str = "u") -> int:
    # A connection of its own each time: whoever takes it answers.
    return int(httpx.get(f"{url}/v1/recommendations/{user}", timeout=20).json()["request_id"])


def said(connection: socket.socket) -> bytes:
    """Return one answer, which may come in pieces."""
    told = b""
    while not told.endswith(b"}"):
        piece = connection.recv(65_536)
        assert piece, told
        told += piece
    return told


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_worker_is_replaced_and_at_the_end_all_finish_what_is_under_way(
    supervised: tuple[subprocess.Popen[str], str],
) -> None:
    process, url = supervised
    workers = set()
    for _ in range(200):
        workers.add(answered_by(url))
        if len(workers) == 2:
            break
    assert len(workers) == 2, "both take connections"
    first, second = workers
    os.kill(first, signal.SIGKILL)
    assert all(answered_by(url) == second for _ in range(5)), "nobody is refused meanwhile"
    successors = set()
    until = time.monotonic() + 20
    while not successors and time.monotonic() < until:
        successors = {answered_by(url)} - {second}
    assert successors

    host, port = url.removeprefix("http://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as busy,
        socket.create_connection((host, int(port)), timeout=20) as idle,
    ):
        idle.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"connection: close" not in said(idle)
        busy.sendall(b"GET /v1/recommendations/slow HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        # Kept alive, and sent after the signal: answered, and told to be the last.
        idle.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        told = said(idle)
        assert told.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in told
        assert said(busy).startswith(b"HTTP/1.1 200 OK")
    assert process.wait(20) == 0
    assert not any(alive(pid) for pid in {second, *successors})


def test_workers_do_not_outlive_a_supervisor_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(BARE)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = [int(process.stdout.readline()) for _ in range(2)]
        assert process.stdout.readline().startswith("http://")
        process.kill()
        until = time.monotonic() + 20
        while any(map(alive, workers)) and time.monotonic() < until:
            time.sleep(0.02)
    assert not any(map(alive, workers))


def test_workers_that_cannot_begin_end_the_server_with_their_exit_code() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    supervisor = Supervisor([sys.executable, "-S", "-c", "raise SystemExit(3)"], 2, "127.0.0.1", 0)
    assert supervisor.run() == 3
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(supervisor.url.rpartition(":")[2])))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_seat_is_read_as_it_was_written() -> None:
    seat = Seat(1, 5, 7, Path("/a:b/c"))
    assert Seat.read(str(seat)) == seat
    with pytest.raises(InputError, match="seat"):
        Seat.read("one")


def test_an_acceptor_takes_one_connection_at_a_time_and_all_that_wait_when_it_stops() -> None:
    async def run() -> tuple[int, int]:
        listening = socket.create_server(("127.0.0.1", 0))
        address = listening.getsockname()
        made: list[asyncio.Protocol] = []

        def connect() -> asyncio.Protocol:
            made.append(asyncio.Protocol())
            return made[-1]

        callers = [socket.create_connection(address) for _ in range(5)]
        acceptor = Acceptor(listening, connect)
        acceptor.start()
        while not made:
            await asyncio.sleep(0)
        at_first = len(made)
        acceptor.stop()
        acceptor.stop()
        await acceptor.settle()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        for caller in callers:
            caller.close()
        await asyncio.sleep(0.01)
        return at_first, len(made)

    assert asyncio.run(run()) == (1, 5)
