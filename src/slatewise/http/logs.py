"""Log lines: text or JSON objects, and one per request where asked for. No paths, no bodies, no raw user ids.

A line about a request names the route's template, the id that its answer carried, and the user as a keyed hash: who has
the key can look one user up, nobody can read a list of users off.
"""

from __future__ import annotations

import logging
import secrets
import sys
from contextvars import ContextVar
from hashlib import blake2b
from typing import Any

from slatewise.domain.settings import HttpSettings
from slatewise.http.encoding import json_bytes

ACCESS = "slatewise.access"
REQUEST_ID = b"x-request-id"

_LOGGERS = ("slatewise", "uvicorn")
_FIELDS = ("method", "route", "status", "ms", "user")

_facts: ContextVar[dict[str, str] | None] = ContextVar("slatewise_request_facts", default=None)


def note(request_id: str, user_id: str | None) -> None:
    """Remember which answer the request at hand got, and for whom. Does nothing where requests are not logged."""
    facts = _facts.get()
    if facts is not None:
        facts["request_id"] = request_id
        if user_id is not None:
            facts["user_id"] = user_id


class JsonLines(logging.Formatter):
    """One JSON object per record: time in seconds since the epoch, level, logger, message, and what it carries.

    What is logged while a request is answered carries its ``request_id``.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        facts = _facts.get()
        if facts is not None:
            line["request_id"] = facts["request_id"]
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json_bytes(line).decode()


class RequestLog:
    """Writes one line per answered request. Belongs to an event loop."""

    def __init__(self, settings: HttpSettings) -> None:
        self._key = blake2b((settings.log_key or secrets.token_hex(32)).encode()).digest()
        self.is_on = settings.access_log
        self.is_asked = settings.access_log or settings.log == "json"

    def begin(self) -> str:
        """Give the request at hand an id, replaced by its answer's where that has one, and return it."""
        made_up = secrets.token_hex(12)
        _facts.set({"request_id": made_up})
        return made_up

    def id(self) -> str:
        """Return the id of the request at hand."""
        facts = _facts.get()
        return facts["request_id"] if facts else ""

    def end(self, method: str, route: str, status: int, ms: float) -> None:
        """Write the line."""
        if not self.is_on:
            return
        carried: dict[str, Any] = {"method": method, "route": route, "status": status, "ms": round(ms, 3)}
        user_id = (_facts.get() or {}).get("user_id")
        if user_id is not None:
            carried["user"] = self.hashed(user_id)
        logging.getLogger(ACCESS).info("%s %s %d %.1f ms", method, route, status, ms, extra=carried)

    def hashed(self, user_id: str) -> str:
        """Return what stands for a user: 16 hex digits, the same for the same key."""
        return blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=8, key=self._key).hexdigest()


class Logs:
    """Writes to stderr what the settings ask for, from `begin` to `end`."""

    def __init__(self, settings: HttpSettings) -> None:
        self._is_json, self._is_access = settings.log == "json", settings.access_log
        self._handler = logging.StreamHandler(sys.stderr)
        self._handler.setFormatter(JsonLines() if self._is_json else logging.Formatter("%(name)s: %(message)s"))
        self._before: list[tuple[logging.Logger, bool, int]] = []

    def begin(self) -> None:
        """Take over the loggers; by default, with neither JSON nor an access log, touch none."""
        names = (*_LOGGERS, ACCESS) if self._is_json else (ACCESS,) if self._is_access else ()
        for name in names:
            logger = logging.getLogger(name)
            self._before.append((logger, logger.propagate, logger.level))
            if logger.name == ACCESS:
                logger.setLevel(logging.INFO if self._is_access else logging.WARNING)
            if not (self._is_json and logger.name == ACCESS):
                # Under JSON the access log is written by its parent's handler.
                logger.addHandler(self._handler)
                logger.propagate = False

    def end(self) -> None:
        """Give the loggers back."""
        for logger, propagate, level in self._before:
            logger.removeHandler(self._handler)
            logger.propagate = propagate
            logger.setLevel(level)
        self._before.clear()
