"""A `slatewise serve` process with several workers, and keep-alive connections to it: for the serving benchmarks."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import msgspec

from slatewise.load.connection import Connection
from slatewise.load.target import request, target

SERVE = (sys.executable, "-m", "slatewise", "serve")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TIMEOUT_S = 60.0


class Served:
    """A running server: its address and its processes."""

    def __init__(self, process: subprocess.Popen, url: str) -> None:
        self.process, self.url = process, url

    def workers(self) -> list[int]:
        """Return the process ids of the workers; of the server itself where it has none."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children] or [pid]

    def private_mb(self) -> list[float]:
        """Return the memory of each worker that no file stands behind. Linux only."""
        return [_private_mb(pid) for pid in self.workers()]

    def stop(self) -> int:
        """Have it drain and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def served(home: Path, workers: int, command: tuple[str, ...] = SERVE, settings: tuple[str, ...] = ()):
    """Serve *home* until the block ends, with *settings* such as ``cache.size=0``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--home", str(home), "--port", str(port), "--workers", str(workers)]
    options += [word for setting in settings for word in ("--set", setting)]
    log = Path(home).parent / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen([*command, *options], stdout=output, stderr=output, env=os.environ | ENVIRONMENT)
    running = Served(process, f"http://127.0.0.1:{port}")
    try:
        asyncio.run(_until_ready(running, workers, log))
        yield running
    finally:
        try:
            running.stop()
        finally:
            if process.poll() is None:
                process.kill()


async def _until_ready(running: Served, workers: int, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if running.process.poll() is not None:
            raise RuntimeError(log.read_text())
        link = Link(running.url)
        try:
            status, body = await link.ask("GET", "/metrics")
            ready, _ = await link.ask("GET", "/readyz")
            alive = next((line for line in body.splitlines() if line.startswith(b"slatewise_workers ")), b" 0")
            if (status, ready) == (200, 200) and float(alive.split()[1]) >= workers:
                return
        except OSError:
            pass
        finally:
            link.close()
        await asyncio.sleep(0.05)
    raise RuntimeError(f"the server never became ready: {log.read_text()}")


class Link:
    """One keep-alive connection, opened anew where the server ended it between two requests."""

    def __init__(self, url: str) -> None:
        self._target = target(url)
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._answer: asyncio.Future | None = None
        self.sent_at = self.answered_at = 0.0
        self.is_used = False

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Return status and body; ``sent_at`` and ``answered_at`` then hold the loop's times of both.

        Raises ConnectionError where the connection ends before the answer, TimeoutError where none comes, and OSError
        where no connection can be had.
        """
        content = b"" if body is None else msgspec.json.encode(body)
        if self._connection is None or not self._connection.is_open:
            _, made = await self._loop.create_connection(
                lambda: Connection(self, self._loop.time), self._target.host, self._target.port
            )
            self._connection = made
        self._answer = self._loop.create_future()
        self.sent_at = self._loop.time()
        self._connection.ask(0, request(self._target.head(method, path), content), self.sent_at)
        try:
            return await asyncio.wait_for(self._answer, TIMEOUT_S)
        except TimeoutError:
            # What comes later would be taken for the answer to the next request.
            self._connection.abort()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()

    def ready(self, connection: Connection) -> None:
        pass

    def finished(self, connection: Connection, ticket: int, status: int, body: bytes, at: float) -> None:
        self.answered_at = at
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, body))

    def lost(self, connection: Connection) -> None:
        if connection.ticket is not None and self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server ended the connection before it answered"))


class Links:
    """Several connections; each request takes one at random that is free, so that its worker is left to chance."""

    def __init__(self, url: str, width: int, rng) -> None:
        self._all = [Link(url) for _ in range(width)]
        self._free = list(self._all)
        self._rng = rng

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes, float, float]:
        """Return status, body, and when it was sent and answered. There must be a free connection."""
        at = int(self._rng.integers(len(self._free)))
        self._free[at], self._free[-1] = self._free[-1], self._free[at]
        link = self._free.pop()
        try:
            status, content = await link.ask(method, path, body)
            return status, content, link.sent_at, link.answered_at
        finally:
            self._free.append(link)

    def close(self) -> None:
        for link in self._all:
            link.close()


def _private_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024.0
    return 0.0
