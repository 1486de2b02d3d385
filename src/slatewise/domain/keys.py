"""API keys: what they may do, how they are made and recognised. Knows no file and no request."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slatewise.domain.errors import InputError

SCOPES: Mapping[str, str] = {
    "serve": "ask for recommendations and similar items",
    "events": "record what users did, describe users",
    "catalogue": "read, add, replace and remove items",
    "observe": "metrics, readiness, bundles, the API's document",
    "admin": "everything, including users' data and bundles",
}

PREFIX = "sw"
ID_BYTES = 5
SECRET_BYTES = 32
MAX_TOKEN = 128
"""Characters of a token at most; ours are shorter."""
MAX_NAME = 100
MAX_RATE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key without its secret. Times are seconds since the epoch."""

    id: str
    """Stands in the token too, so that a key can be named in lists and logs without telling it."""
    name: str
    scopes: frozenset[str]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    rate: float | None = None
    """Requests a second to each worker, 0 for no limit; None: what the settings say (http.rate)."""

    def is_live(self, now: float) -> bool:
        """Return whether the key is accepted at *now*."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def allows(self, scope: str) -> bool:
        """Return whether the key may do what *scope* stands for."""
        return scope in self.scopes or "admin" in self.scopes


def new_token() -> tuple[str, str]:
    """Return a key id and its token, which holds 256 random bits and is to be shown once."""
    key = secrets.token_hex(ID_BYTES)
    return key, f"{PREFIX}_{key}_{secrets.token_urlsafe(SECRET_BYTES)}"


def key_id(token: str) -> str | None:
    """Return the id in a token, None for what is no token of ours."""
    prefix, _, rest = token.partition("_")
    key, _, secret = rest.partition("_")
    return key if prefix == PREFIX and key and secret and len(token) <= MAX_TOKEN else None


def digest(token: str) -> str:
    """Return what is stored of a token: SHA-256 in hex.

    Salts and slow hashes protect what people choose. Nobody guesses 256 random bits, and a slow hash would be paid on
    every request.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def check_name(name: str) -> str:
    """Return *name* where it may name a key. Raises InputError."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise InputError("name", name, f"1 to {MAX_NAME} printable characters")
    return name


def check_rate(rate: float | None) -> float | None:
    """Return *rate* where it may limit a key. Raises InputError."""
    if rate is not None and not 0 <= rate <= MAX_RATE:
        raise InputError("rate", rate, f"requests a second from 0 (no limit) to {MAX_RATE:g}")
    return rate


def check_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """Return the scopes as a set. Raises InputError for none, or for one that does not exist."""
    wanted = frozenset(scopes)
    for scope in sorted(wanted - SCOPES.keys()):
        raise InputError("scope", scope, "one of " + ", ".join(SCOPES))
    if not wanted:
        raise InputError("scope", "", "at least one of " + ", ".join(SCOPES))
    return wanted
