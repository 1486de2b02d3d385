"""A tiny HTTP server in a thread of its own, whose answers a test writes byte by byte."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from slatewise.load.plan import Plan

SLATE = {"request_id": "r", "items": [{"item_id": f"i{n}"} for n in range(10)], "cached": False, "degraded": []}


class Asked(NamedTuple):
    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: Any


def answer(value: object, status: int = 200, headers: str = "") -> bytes:
    body = json.dumps(value).encode()
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


@dataclass
class Tiny:
    """Answers with what ``reply`` returns; closes the connection on what ends in None, says nothing to ``b""``."""

    reply: Callable[[Asked], bytes | list[bytes | None]] = lambda asked: answer(SLATE)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers["content-length"]))
            method, path, _ = head[0].split(" ")
            asked = Asked(len(self.asked), method, path, headers, json.loads(body) if body else None)
            self.asked.append(asked)
            parts = self.reply(asked)
            for part in [parts] if isinstance(parts, bytes) else parts:
                if part is None:
                    writer.close()
                    return
                writer.write(part)
                await writer.drain()
                if not isinstance(parts, bytes):
                    await asyncio.sleep(0.002)  # so that parts arrive apart
        writer.close()


@pytest.fixture
def tiny() -> Iterator[Tiny]:
    server, begun = Tiny(), threading.Event()
    over: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        over.append((asyncio.get_running_loop(), asyncio.Event()))
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        begun.set()
        await over[0][1].wait()
        listening.close()
        for writer in server.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert begun.wait(5)
    yield server
    loop, event = over[0]
    loop.call_soon_threadsafe(event.set)
    thread.join(5)


@pytest.fixture
def plan(tiny: Tiny) -> Callable[..., Plan]:
    def made(**changes: Any) -> Plan:
        brief: dict[str, Any] = {
            "url": tiny.url,
            "rate": 200.0,
            "duration_s": 0.5,
            "warmup_s": 0.0,
            "name": "t",
            "mix": {"fresh": 1.0},
            "connections": 4,
            "timeout_s": 2.0,
        }
        return Plan(**(brief | changes))

    return made
