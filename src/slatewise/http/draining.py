"""The end of a server's connections, without a request lost. Knows uvicorn's connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LAST_CALL_S = 0.3
"""How long a connection that is kept alive may still send a request, which is answered and told to be the last."""

_LOOK_S = 0.01


async def last_call(connections: Collection[object], is_hurried: Callable[[], bool]) -> None:
    """Answer what arrives on the open *connections* for a moment longer, each answer ending its connection.

    To close an idle connection at once would lose the request that is on its way. The collection shrinks as they end;
    returns as soon as it is empty, or *is_hurried*.
    """
    for connection in tuple(connections):
        if isinstance(connection, HttpToolsProtocol):
            connection.app = _closing(connection.app)
            if connection.cycle is not None:
                connection.cycle.keep_alive = False
    now = asyncio.get_running_loop().time
    until = now() + LAST_CALL_S
    while connections and now() < until and not is_hurried():
        await asyncio.sleep(_LOOK_S)


def _closing(app: ASGIApp) -> ASGIApp:
    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await app(scope, receive, told)

    return answered
