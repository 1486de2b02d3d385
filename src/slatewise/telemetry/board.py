"""A folder in which the processes of one server keep their metrics for each other. Knows no HTTP.

Each process has a seat: a file with what it counted and a datagram socket on which it is asked to bring that up to
date. So whoever is asked for metrics tells everybody's of this moment, nothing is paid per request, and what a
process counted outlives it: its successor on the seat goes on from there, for a total that shrinks looks like traffic.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from slatewise.telemetry.summed import Family, counted, families, summed

_log = logging.getLogger(__name__)

REFRESH_S = 1.0
"""How often the file is written unasked: a process that is killed loses at most what it counted since."""

PATIENCE_S = 0.3
"""How long a process may take to bring its file up to date; past that the file is taken as it is."""

_SUFFIX = ".metrics"


class Board:
    """One process's seat. Thread-safe.

    *refresh* is called before its metrics are written, to set what is only set when asked for.
    """

    def __init__(
        self, folder: Path, seat: int, registry: CollectorRegistry, refresh: Callable[[], object] = lambda: None
    ) -> None:
        self._folder, self._seat, self._registry, self._refresh = folder, seat, registry, refresh
        self._file = folder / f"{seat}{_SUFFIX}"
        self._writing = threading.Lock()
        # Whoever sat here before is dead: what it counted counts on.
        self._inherited = counted(_read(self._file))
        self._closed = False
        self._socket = _bound(_socket_of(folder, seat))
        self._socket.settimeout(REFRESH_S)
        self._thread = threading.Thread(target=self._answer, name="slatewise-metrics", daemon=True)
        self._write()
        self._thread.start()

    def families(self) -> list[Family]:
        """Return the metrics of all seats, summed. Takes `PATIENCE_S` at most where a process does not answer."""
        others = sorted(int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}") if path.stem != str(self._seat))
        told = self._asked(others)
        # Ours is written too: what was told once must not be less after we die.
        parts = [self._write()]
        for seat in others:
            read = _read(self._folder / f"{seat}{_SUFFIX}")
            parts.append(read if told[seat] else counted(read))
        return summed(parts)

    def close(self) -> None:
        """Write for the last time. Idempotent."""
        if not self._closed:
            self._closed = True
            _send(self._socket, self._socket.getsockname())
            self._thread.join()
            self._write()
            self._socket.close()
            _socket_of(self._folder, self._seat).unlink(missing_ok=True)

    def _asked(self, seats: list[int]) -> dict[int, bool]:
        """Ask the other seats to write; return which of them live."""
        path = self._folder / f"ask-{secrets.token_hex(6)}"
        asking = _bound(path)
        try:
            told = {seat: _send(asking, str(_socket_of(self._folder, seat))) for seat in seats}
            waiting, until = sum(told.values()), time.monotonic() + PATIENCE_S
            while waiting and (left := until - time.monotonic()) > 0:
                asking.settimeout(left)
                try:
                    asking.recv(16)
                except TimeoutError:
                    break
                waiting -= 1
            return told
        finally:
            asking.close()
            path.unlink(missing_ok=True)

    def _answer(self) -> None:
        while not self._closed:
            try:
                _, asker = self._socket.recvfrom(16)
            except TimeoutError:
                asker = None
            try:
                self._write()
            except OSError as error:
                _log.warning("metrics were not written for the other workers: %s", error)
            if asker:
                _send(self._socket, asker)

    def _write(self) -> list[Family]:
        with self._writing:
            self._refresh()
            ours = families(self._registry.collect())
            content = msgspec.msgpack.encode(summed([ours, self._inherited]))
            new = self._file.with_suffix(".new")
            new.write_bytes(content)
            os.replace(new, self._file)
        return msgspec.msgpack.decode(content, type=list[Family])


def _socket_of(folder: Path, seat: int) -> Path:
    return folder / f"{seat}.socket"


def _bound(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(path))
    return made


def _send(through: socket.socket, path: str) -> bool:
    try:
        through.sendto(b"?", path)
    except OSError:
        return False
    return True


def _read(path: Path) -> list[Family]:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=list[Family])
    except (OSError, msgspec.MsgspecError):
        return []
