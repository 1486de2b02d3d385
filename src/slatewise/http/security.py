"""How keys and scopes stand in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from slatewise.http.errors import described
from slatewise.http.scopes import OPEN, SCOPE_OF

METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options", "trace"})

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key made by `slatewise keys create`."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}

REFUSALS = (401, 403, 421, 429, 431)


def declare(document: dict[str, Any]) -> None:
    """Add the ways to send a key, and to every operation the scope it asks for and how the gate refuses."""
    document.setdefault("components", {})["securitySchemes"] = SCHEMES
    for template, operations in document["paths"].items():
        for method, operation in operations.items():
            if method not in METHODS:
                continue
            scope = SCOPE_OF[method.upper(), template]
            refusals = (431,) if scope == OPEN else REFUSALS
            for status, described_as in described(*refusals).items():
                operation["responses"].setdefault(str(status), described_as)
            if scope == OPEN:
                operation["security"] = []
                continue
            # Keys of type http and apiKey have no scopes of OAuth; the list names the role, as OpenAPI 3.1 allows.
            operation["security"] = [{name: [scope]} for name in SCHEMES]
            operation["x-slatewise-scope"] = scope
