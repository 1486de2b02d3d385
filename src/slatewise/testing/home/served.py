"""A HOME behind a server in a process of its own, which is stopped in good order or killed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar
from urllib.parse import quote

from slatewise.domain.errors import Conflict, Expired, InputError, NotFound
from slatewise.domain.events import Receipt
from slatewise.testing.home.port import PATIENT_MS, Asked, Gone, Item, Slate, Told
from slatewise.testing.home.steps import KINDS, PER_KIND
from slatewise.testing.worlds import item_name
from slatewise.wiring.home import Home

T = TypeVar("T")

SERVE = (sys.executable, "-m", "slatewise", "serve")
START_S = 60.0
ATTEMPT_S = 0.012
"""How long an attempt takes, about: a crash comes at a moment of it."""
PATIENT = ("--set", f"serving.deadline_ms={PATIENT_MS:.0f}")


class Server:
    """A ``slatewise serve`` process over a HOME, started by *command*; it outlives the stories that are told of it."""

    def __init__(self, home: Path, command: Sequence[str] = SERVE) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.home, self.stories = home, 0
        self._command = [*command, "--home", str(home), "--port", str(self.port), *PATIENT]
        self.start()

    def start(self) -> None:
        """Start, and return once it answers. Raises RuntimeError."""
        self._log = (self.home.parent / "server.log").open("ab")
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        until = time.monotonic() + START_S
        while True:
            try:
                answer, _ = self.ask("GET", "/readyz")
            except OSError:
                answer = 0
            if answer == 200:
                return
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.home.parent / "server.log").read_text()[-4_000:])
            time.sleep(0.02)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and document of one request on a connection of its own. Raises OSError where none comes."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=START_S)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"content-type": "application/json"})
            answer = connection.getresponse()
            told = answer.read()
            return answer.status, json.loads(told) if told else None
        except HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(START_S)
        self._log.close()


class ServedHome:
    """A `HomePort` over a running server: items and bundles as in `world`, users who are new to it."""

    can_jump = False

    def __init__(self, server: Server, *, can_crash: bool) -> None:
        self._server, self.can_crash = server, can_crash
        server.stories += 1
        self.prefix = f"s{server.stories}-"
        items = [
            {"item_id": item_name(kind, k), "categories": [f"kind{kind}"]}
            for kind in range(KINDS)
            for k in range(PER_KIND)
        ]
        self._told("PUT", "/v1/items", {"items": items})

    def record(self, events: Sequence[Told]) -> Receipt:
        sent = [
            {
                "user_id": event.user,
                "item_id": event.item,
                "action": event.action,
                "timestamp": event.at,
                "value": event.value,
                "event_id": event.event_id,
            }
            for event in events
        ]
        return Receipt(**self._told("POST", "/v1/events", {"events": sent}))

    def put_item(self, item: str, kind: str, *, is_available: bool) -> Receipt:
        change = {"item_id": item, "categories": [kind], "available": is_available}
        return Receipt(**self._told("PUT", "/v1/items", {"items": [change]}))

    def delete_item(self, item: str) -> Receipt:
        return Receipt(**self._told("DELETE", f"/v1/items/{item}"))

    def describe(self, user: str, country: str) -> Receipt:
        return Receipt(
            **self._told("PUT", "/v1/users", {"users": [{"user_id": user, "attributes": {"country": country}}]})
        )

    def erase(self, user: str) -> Gone:
        told = self._told("DELETE", f"/v1/users/{user}")
        return Gone(told["version"], told["interactions"], told["changes"])

    def recommend(self, asked: Asked) -> Slate:
        if asked.is_short:
            told = self._told("GET", f"/v1/recommendations/{quote(str(asked.user))}?size={asked.size}")
        else:
            body = {
                "user_id": asked.user,
                "size": asked.size,
                "history": asked.history,
                "exclude": asked.exclude,
                "where": {} if asked.kind is None else {"categories": asked.kind},
                "min_version": asked.min_version,
                "cursor": asked.cursor,
            }
            told = self._told("POST", "/v1/recommendations", body)
        shown = tuple(item["item_id"] for item in told["items"])
        return Slate(
            told["request_id"],
            shown,
            told["cached"],
            told["as_of"],
            told["bundle"],
            tuple(told["degraded"]),
            told.get("cursor"),
        )

    def similar(self, item: str, size: int) -> tuple[str, ...]:
        told = self._told("GET", f"/v1/items/{item}/similar?size={size}")
        return tuple(found["item_id"] for found in told["items"])

    def item(self, item: str) -> Item:
        told = self._told("GET", f"/v1/items/{item}")
        return Item(told["categories"][0] if told["categories"] else "", told["available"])

    def export(self, user: str) -> dict[str, Any]:
        found: dict[str, Any] = self._told("GET", f"/v1/users/{user}/export")
        return found

    def bundles(self) -> tuple[list[str], str]:
        told = self._told("GET", "/v1/bundles")["bundles"]
        return [one["id"] for one in told], next(one["id"] for one in told if one["live"])

    def promote(self, bundle: str) -> None:
        self._told("POST", f"/v1/bundles/{bundle}/promote")

    def rollback(self) -> str:
        # There is no route for it: whoever administers the machine does, beside the server.
        with Home(self._server.home) as beside:
            return beside.rollback()

    def reopen(self) -> None:
        self._server.stop()
        self._server.start()

    def crash(self, attempt: Callable[[], T], moment: float) -> T | None:
        found: list[T] = []
        raised: list[BaseException] = []
        begun = Event()

        def attempted() -> None:
            begun.set()
            try:
                found.append(attempt())
            except OSError:
                return  # the server died before it answered
            except BaseException as error:  # noqa: BLE001 - told below, in the story's own thread
                raised.append(error)

        sending = Thread(target=attempted)
        sending.start()
        begun.wait()
        time.sleep(moment * ATTEMPT_S)
        self._server.kill()
        sending.join()
        self._server.start()
        if raised:
            raise raised[0]
        return found[0] if found else None

    def jump(self, seconds: float) -> None:
        raise AssertionError("the clock of another process is not ours to set")

    def close(self) -> None:
        # What an earlier story brought in must not be shown to a later one.
        for name in ("new-1", "new-2"):
            self._server.ask("DELETE", f"/v1/items/{self.prefix}{name}")

    def _told(self, method: str, path: str, body: object = None) -> Any:
        status, told = self._server.ask(method, path, body)
        if status == 200:
            return told
        if status == 404:
            raise NotFound(told["title"])
        if status == 410:
            raise Expired(told["title"])
        if status in (409, 422):
            raise (Conflict if status == 409 else InputError)(_field(told), None, str(told))
        raise AssertionError(f"{method} {path}: {status} {told}")


def _field(told: dict[str, Any]) -> str:
    return str(told["errors"][0]["field"]) if told.get("errors") else ""
