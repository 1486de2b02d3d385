"""HOME/keys.json: the API keys, by digest. Knows no request."""

from __future__ import annotations

import hmac
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from slatewise.bundles.durable import locked, write_atomically
from slatewise.domain.errors import ConfigError, InputError, NotFound, StorageError
from slatewise.domain.keys import ApiKey, check_name, check_rate, check_scopes, digest, key_id, new_token
from slatewise.ports.clock import Clock

log = logging.getLogger(__name__)

KEYS = "keys.json"
FORMAT = 1
LOOK_EVERY_MS = 250.0
"""How often a reader looks whether another process changed the file: well within the second promised."""
MAX_KEYS = 1_000
FAR_S = 1e10
"""Seconds that no lifetime reaches: three centuries."""
_NOBODY = digest("nobody")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key as it is stored."""

    id: str
    name: str
    scopes: list[str]
    sha256: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    rate: float | None = None

    @property
    def key(self) -> ApiKey:
        held = msgspec.structs.asdict(self)
        del held["sha256"]
        return ApiKey(**held | {"scopes": frozenset(self.scopes)})


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    keys: list[Entry]


class KeyFile:
    """The keys of one HOME, a `ports.keys.KeyRing`. Thread-safe, and safe beside other processes.

    Fails closed: a file that goes missing or cannot be read while somebody serves admits nobody.
    Raises ConfigError where it cannot be read at the beginning.
    """

    def __init__(self, home: Path, clock: Clock) -> None:
        self._path = home / KEYS
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, tuple[ApiKey, str]] = {}
        self._is_used = False
        self._looked_ms = clock.elapsed_ms()
        self._seen = self._stamp()
        self._take(self._read())

    @property
    def is_used(self) -> bool:
        self._look()
        return self._is_used

    def find(self, token: str) -> ApiKey | None:
        self._look()
        key, stored = self._keys.get(key_id(token) or "", (None, _NOBODY))
        # The same work for any id, and a comparison whose time tells nothing of where digests differ.
        is_right = hmac.compare_digest(digest(token), stored)
        return key if is_right and key is not None and key.is_live(self._clock.now()) else None

    def all(self) -> list[ApiKey]:
        """Return every key ever made here, oldest first. Raises ConfigError where the file cannot be read."""
        return [entry.key for entry in self._read()]

    def create(
        self, name: str, scopes: Iterable[str], expires_in_s: float | None = None, rate: float | None = None
    ) -> tuple[ApiKey, str]:
        """Store a new key and return it with its token, which nobody can read again.

        Names need not differ: for rotation two keys of one name live side by side. Raises InputError, StorageError.
        """
        now = self._clock.now()
        if expires_in_s is not None and not 0 < expires_in_s < FAR_S:
            raise InputError("expires", expires_in_s, "seconds above 0")
        fresh = Entry(
            id="",
            name=check_name(name),
            scopes=sorted(check_scopes(scopes)),
            sha256="",
            created_at=now,
            expires_at=None if expires_in_s is None else now + expires_in_s,
            rate=check_rate(rate),
        )
        with self._changing() as held:
            return self._added(held, fresh)

    def rotate(self, ident: str, overlap_s: float) -> tuple[ApiKey, str]:
        """Store a successor with the same name, scopes, rate and lifetime, and return it with its token.

        The old key is accepted for *overlap_s* more seconds, so that callers can change over one by one. Raises
        NotFound, InputError for one that is not live, StorageError.
        """
        if not 0 <= overlap_s < FAR_S:
            raise InputError("overlap", overlap_s, "seconds from 0")
        now = self._clock.now()
        with self._changing() as held:
            place = _place(held, ident)
            old = held[place]
            if not old.key.is_live(now):
                raise InputError("key", ident, "a live key: this one was revoked or has expired")
            ends = now + overlap_s if old.expires_at is None else min(old.expires_at, now + overlap_s)
            lasts_s = None if old.expires_at is None else old.expires_at - old.created_at
            held[place] = msgspec.structs.replace(old, expires_at=ends)
            fresh = msgspec.structs.replace(
                old, created_at=now, expires_at=None if lasts_s is None else now + lasts_s, revoked_at=None
            )
            return self._added(held, fresh)

    def revoke(self, ident: str) -> ApiKey:
        """Stop accepting a key, here at once and elsewhere within a second. Raises NotFound, StorageError.

        Revoked twice stays revoked since the first time.
        """
        with self._changing() as held:
            place = _place(held, ident)
            if held[place].revoked_at is None:
                held[place] = msgspec.structs.replace(held[place], revoked_at=self._clock.now())
                self._write(held)
            return held[place].key

    def _added(self, held: list[Entry], entry: Entry) -> tuple[ApiKey, str]:
        if len(held) >= MAX_KEYS:
            raise InputError("keys", len(held), f"at most {MAX_KEYS}; take revoked ones out of {KEYS}")
        ident, token = new_token()
        entry = msgspec.structs.replace(entry, id=ident, sha256=digest(token))
        self._write([*held, entry])
        return entry.key, token

    @contextmanager
    def _changing(self) -> Iterator[list[Entry]]:
        """Hold the file against other writers and give what it holds. Raises StorageError."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._path.with_name(f".{KEYS}.lock")):
                yield self._read()
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error}") from error

    def _write(self, entries: list[Entry]) -> None:
        content = msgspec.json.format(msgspec.json.encode(_File(FORMAT, entries)), indent=1)
        write_atomically(self._path, content + b"\n")
        with self._lock:
            self._seen = self._stamp()
            self._take(entries)

    def _read(self) -> list[Entry]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be read: {error}") from error
        try:
            file = msgspec.json.decode(content, type=_File)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{self._path} is damaged, and without it nobody is let in: {error}") from error
        if file.format != FORMAT:
            raise ConfigError(f"{self._path} has format {file.format}, this build reads {FORMAT}")
        return file.keys

    def _take(self, entries: list[Entry]) -> None:
        self._keys = {entry.id: (entry.key, entry.sha256) for entry in entries}
        # Once in use for ever in use: a file that vanishes must not open a door that strangers can reach.
        self._is_used = self._is_used or bool(entries)

    def _look(self) -> None:
        now = self._clock.elapsed_ms()
        if now - self._looked_ms < LOOK_EVERY_MS:
            return
        with self._lock:
            self._looked_ms = now
            stamp = self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            try:
                self._take(self._read())
            except ConfigError as error:
                log.error("nobody is let in until this is repaired: %s", error)
                self._keys, self._is_used = {}, True

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _place(held: Sequence[Entry], ident: str) -> int:
    for place, entry in enumerate(held):
        if entry.id == ident:
            return place
    raise NotFound(f"no key {ident[:40]!r}")
