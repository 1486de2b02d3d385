"""Keeps worker processes behind one listening socket: starts them, replaces the dead, ends them all. Opens no home."""

from __future__ import annotations

import logging
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from slatewise.domain.errors import ConfigError
from slatewise.http.seat import Seat
from slatewise.http.server import DRAIN_S, bind, url_of

_log = logging.getLogger(__name__)

LOOK_S = 0.1
"""How often the processes are looked at."""

PATIENCE_S = DRAIN_S + 10.0
"""How long workers may take to end before they are killed."""

STEADY_S = 10.0
"""A worker that answered for so long is replaced at once; one that fails sooner waits, and longer each time."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0

FAILED = 1


class _Worker:
    """One seat, whoever sits on it now."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.line: socket.socket | None = None
        self.is_ready = False
        self.failures = 0
        self.since_s = 0.0
        self.begin_s = 0.0


class Supervisor:
    """Runs ``command --seat SEAT`` in *workers* processes that share one listening socket.

    The socket stays open here, so what connects while a worker is replaced waits for another or for its successor, and
    is not refused. Workers notice when this process is gone, and end.
    """

    def __init__(
        self,
        command: Sequence[str],
        workers: int,
        host: str,
        port: int,
        on_ready: Callable[[str], None] = lambda url: None,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Bind the address. Raises ConfigError where it cannot be, or this system has no sockets to share."""
        if sys.platform == "win32":
            raise ConfigError("http.workers: this system cannot share a listening socket; use 1")
        self._command, self._on_ready, self._environment = list(command), on_ready, environment
        self._listening = bind(host, port)
        self.url = url_of(host, self._listening)
        self._workers = [_Worker(number) for number in range(workers)]
        self._folder = Path(tempfile.mkdtemp(prefix="slatewise-"))
        self._events = selectors.DefaultSelector()
        self._signals = 0
        self._stopped_s: float | None = None
        self._is_told = False
        self._code = 0

    def run(self) -> int:
        """Keep the workers until SIGTERM or SIGINT, let them finish what is under way, and return the exit code.

        A second signal ends them at once. Where no worker ever answered, the first to fail ends all.
        """
        try:
            with self._signals_heard():
                while True:
                    self._begin_what_is_due()
                    for key, _ in self._events.select(LOOK_S):
                        self._heard(key.data)
                    if self._signals:
                        self._stop()
                    if not self._reap() and self._stopped_s is not None:
                        return self._code
        finally:
            self._end()

    def _begin_what_is_due(self) -> None:
        for worker in self._workers:
            if worker.process is None and self._stopped_s is None and time.monotonic() >= worker.begin_s:
                self._begin(worker)

    def _begin(self, worker: _Worker) -> None:
        ours, theirs = socket.socketpair()
        seat = Seat(worker.number, self._listening.fileno(), theirs.fileno(), self._folder)
        with theirs:
            # A session of its own: a terminal's Ctrl-C comes to us alone and is passed on, once.
            worker.process = subprocess.Popen(
                [*self._command, "--seat", str(seat)],
                pass_fds=(seat.listening, seat.line),
                start_new_session=True,
                env=self._environment,
            )
        worker.line, worker.is_ready, worker.since_s = ours, False, time.monotonic()
        self._events.register(ours, selectors.EVENT_READ, worker)

    def _heard(self, worker: _Worker) -> None:
        if worker.line is None:
            return
        try:
            word = worker.line.recv(64)
        except OSError:
            word = b""
        if word:
            worker.is_ready, worker.since_s = True, time.monotonic()
            if not self._is_told and all(w.is_ready for w in self._workers):
                self._is_told = True
                self._on_ready(self.url)
        else:
            self._hang_up(worker)

    def _hang_up(self, worker: _Worker) -> None:
        if worker.line is not None:
            self._events.unregister(worker.line)
            worker.line.close()
            worker.line = None

    def _reap(self) -> bool:
        """Look after ended processes; False where none lives."""
        for worker in self._workers:
            if worker.process is not None and (code := worker.process.poll()) is not None:
                worker.process = None
                self._hang_up(worker)
                if self._stopped_s is None:
                    self._failed(worker, code)
        if self._stopped_s is not None and time.monotonic() - self._stopped_s > PATIENCE_S:
            self._signal(signal.SIGKILL)
        return any(worker.process is not None for worker in self._workers)

    def _failed(self, worker: _Worker, code: int) -> None:
        was_ready, worker.is_ready = worker.is_ready, False
        if not was_ready and not self._is_told:
            self._code = code if code > 0 else FAILED
            self._stop()
            return
        lived_s = time.monotonic() - worker.since_s
        worker.failures = 0 if was_ready and lived_s > STEADY_S else worker.failures + 1
        # The first failure costs no pause: half of the machine would stand idle.
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (worker.failures - 2)) if worker.failures > 1 else 0.0
        worker.begin_s = time.monotonic() + pause_s
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        _log.error("worker %d ended %s; the next one starts in %.1f s", worker.number, how, pause_s)

    def _stop(self) -> None:
        if self._stopped_s is None:
            self._stopped_s = time.monotonic()
            # What connects from now on is refused, rather than left to wait for nobody.
            self._listening.close()
            self._signal(signal.SIGTERM)
        elif self._signals > 1:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.send_signal(number)

    def _end(self) -> None:
        self._signal(signal.SIGKILL)
        for worker in self._workers:
            if worker.process is not None:
                worker.process.wait()
            self._hang_up(worker)
        self._events.close()
        self._listening.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def _signals_heard(self) -> Iterator[None]:
        def hear(number: int, frame: object) -> None:
            self._signals += 1

        before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
