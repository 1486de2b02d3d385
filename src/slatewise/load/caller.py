"""Requests one by one, with their answers awaited: what is asked of a server before a run."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from slatewise.domain.errors import InputError, NotReady, SlatewiseError
from slatewise.load.outcome import word
from slatewise.load.plan import Plan
from slatewise.load.pool import Pool
from slatewise.load.target import Target, request, target


class Caller:
    """A pool's listener that turns tickets into answers."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._target: Target = target(plan.url, plan.api_key)
        self._pool = Pool(self._target, self, bound=1)
        self._loop = asyncio.get_running_loop()
        self._answers: list[asyncio.Future[tuple[int, bytes]]] = []

    async def __aenter__(self) -> Caller:
        try:
            await self._pool.open(1)
        except OSError as error:
            raise InputError("url", self._plan.url, f"the address of a server that answers ({error})") from None
        return self

    async def __aexit__(self, *error: object) -> None:
        self._pool.close()

    async def ask(self, method: str, path: str, body: object = None, *, also: tuple[int, ...] = ()) -> Any:
        """Return the decoded answer, None for a status in *also*.

        Raises InputError where the server cannot be reached or wants another key, NotReady for a 503 and
        SlatewiseError for other statuses from 400 on.
        """
        content = b"" if body is None else msgspec.json.encode(body)
        answer: asyncio.Future[tuple[int, bytes]] = self._loop.create_future()
        self._answers.append(answer)
        self._pool.send(len(self._answers) - 1, request(self._target.head(method, path), content), self._loop.time())
        try:
            status, told = await asyncio.wait_for(answer, self._plan.timeout_s)
        except TimeoutError:
            expected = f"a server that answers within {self._plan.timeout_s:g} s"
            raise InputError("url", self._plan.url, expected) from None
        if status in also:
            return None
        self._check(f"{method} {path}", status, told)
        try:
            return msgspec.json.decode(told)
        except msgspec.MsgspecError:
            raise SlatewiseError(f"{method} {path}: the answer is not JSON: {told[:80]!r}") from None

    def sent(self, ticket: int, at: float) -> None:
        pass

    def answered(self, ticket: int, status: int, body: bytes, at: float) -> None:
        if not self._answers[ticket].done():
            self._answers[ticket].set_result((status, body))

    def failed(self, ticket: int, outcome: int, at: float) -> None:
        self.answered(ticket, outcome, b"", at)

    def _check(self, asked: str, status: int, told: bytes) -> None:
        if status < 0:
            raise InputError("url", self._plan.url, f"a server that answers ({asked}: {word(status)})")
        if status in (401, 403):
            raise InputError("api_key", "(hidden)", f"a key that the server accepts ({asked}: {status})")
        if status >= 300:
            text = f"{asked}: {status} {told[:500].decode('utf-8', 'replace')}"
            raise NotReady(text) if status == 503 else SlatewiseError(text)
