"""What a worker process is given by its supervisor: a socket, a line to it, a folder. Knows no signals."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from slatewise.domain.errors import InputError

READY = b"r"


@dataclass(frozen=True, slots=True)
class Seat:
    """One of several places behind one listening socket, written on a command line as ``number:socket:line:folder``.

    ``line`` is our end of a socket to the supervisor; ``folder`` is for what the workers share while they live.
    """

    number: int
    listening: int
    line: int
    folder: Path

    def __str__(self) -> str:
        return f"{self.number}:{self.listening}:{self.line}:{self.folder}"

    @staticmethod
    def read(text: str) -> Seat:
        """Return the seat written as *text*. Raises InputError."""
        try:
            number, listening, line, folder = text.split(":", 3)
            return Seat(int(number), int(listening), int(line), Path(folder))
        except ValueError:
            raise InputError("seat", text, "what the supervisor of `slatewise serve --workers` writes") from None

    def socket(self) -> socket.socket:
        """Return the listening socket, which is ours to close."""
        return socket.socket(fileno=self.listening)

    def ready(self) -> None:
        """Tell the supervisor that this worker answers."""
        try:
            os.write(self.line, READY)
        except OSError:
            # It is gone, which `watch` is about to notice.
            return

    def watch(self, when_gone: Callable[[], None]) -> None:
        """Call *when_gone* from a thread once the supervisor is gone, however it ended."""

        def wait() -> None:
            while True:
                try:
                    if os.read(self.line, 1):
                        continue
                except OSError:
                    pass
                return when_gone()

        Thread(target=wait, name="slatewise-supervisor", daemon=True).start()
