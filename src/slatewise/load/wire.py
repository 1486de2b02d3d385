"""How a plan and a result pass between processes: length-prefixed MessagePack, arrays as their bytes."""

from __future__ import annotations

from typing import IO, Any

import msgspec
import numpy as np

from slatewise.load.known import Known
from slatewise.load.plan import Plan
from slatewise.load.result import Result
from slatewise.load.samples import COLUMNS, Samples


class Order(msgspec.Struct):
    """What the generator's process is told."""

    plan: Plan
    known: Known


class News(msgspec.Struct):
    """What it tells: a step, or at the end the result."""

    step: tuple[str, float, float, str] | None = None
    result: dict[str, Any] | None = None
    columns: dict[str, tuple[str, bytes]] = {}


def told(result: Result) -> News:
    """Return the message that carries a result."""
    facts = {name: getattr(result, name) for name in Result.__dataclass_fields__ if name != "samples"}
    columns = {name: getattr(result.samples, name) for name in COLUMNS}
    return News(result=facts, columns={name: (c.dtype.str, c.tobytes()) for name, c in columns.items()})


def heard(news: News) -> Result:
    """Return the result that a message carries."""
    columns = {name: np.frombuffer(content, np.dtype(kind)) for name, (kind, content) in news.columns.items()}
    return Result(samples=Samples(**columns), **(news.result or {}))


def write(stream: IO[bytes], message: Order | News) -> None:
    """Write one message."""
    content = msgspec.msgpack.encode(message)
    stream.write(len(content).to_bytes(8, "big") + content)
    stream.flush()


def read(stream: IO[bytes]) -> bytes | None:
    """Return one message's content, None where the stream ends."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    size = int.from_bytes(head, "big")
    content = stream.read(size)
    return content if len(content) == size else None
