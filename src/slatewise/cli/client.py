"""A few HTTP calls against a running server, as any client would make them. Standard library only."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit


class Client:
    """One keep-alive connection. Not thread-safe."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=30)

    def call(self, method: str, path: str, body: object | None = None) -> Any:
        """Return the decoded answer. Raises RuntimeError with the problem's text for a status of 400 or above."""
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, {"content-type": "application/json"})
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {text}")
        return json.loads(text) if text else None

    def recommend(self, **query: object) -> Any:
        """Return one slate."""
        return self.call("POST", "/v1/recommendations", query)

    def record(self, *events: object) -> Any:
        """Store events."""
        return self.call("POST", "/v1/events", {"events": list(events)})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
