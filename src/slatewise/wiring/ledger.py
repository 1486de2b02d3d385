"""HOME/erasures.jsonl: which users were erased, by keyed hash. Outlives restores of backups from before. Knows no log.

One line when an erasure begins and one when its last byte is gone, so that whoever opens a HOME after a crash can go
on. An entry tells who was erased only to those who have the key, HOME/erasures.key, and ask about that very id.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

import msgspec

from slatewise.bundles.durable import append_line, locked
from slatewise.domain.errors import InputError, StorageError
from slatewise.wiring.secret import home_secret

LEDGER = "erasures.jsonl"
KEY = "erasures.key"
FILES = (LEDGER, KEY)


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line: an erasure that began, or, with nothing but its id, one that is done."""

    entry: str
    user: str = ""
    at: float = 0.0
    sum: int = 0

    @property
    def is_begin(self) -> bool:
        return bool(self.user)

    def summed(self) -> Entry:
        return msgspec.structs.replace(self, sum=crc32(f"{self.entry} {self.user} {self.at!r}".encode()))


class Ledger:
    """The erasures of one HOME. Makes no file before the first. Every call reads what other processes wrote."""

    def __init__(self, home: Path) -> None:
        self.path = home / LEDGER
        self._key_path = home / KEY

    def exists(self) -> bool:
        """Whether anybody was ever erased here."""
        return self.path.exists()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from erasing meanwhile. Raises StorageError."""
        try:
            handle = locked(self.path.with_name(f".{LEDGER}.lock"))
            with handle:
                yield
        except OSError as error:
            raise StorageError(f"{self.path} cannot be written: {error}") from error

    def begin(self, user_id: str, at: float) -> Entry:
        """Write down, durably, that the user is to be erased, and return the entry. Raises StorageError."""
        return self._add(Entry(secrets.token_hex(8), self._hash(self.key(), user_id), at).summed())

    def done(self, entry: Entry) -> None:
        """Write down, durably, that nothing is left of that user. Raises StorageError."""
        self._add(Entry(entry.entry).summed())

    def entries(self) -> list[Entry]:
        """Return all erasures, oldest first. Raises StorageError for a damaged line."""
        return [entry for entry in self._lines() if entry.is_begin]

    def open_entries(self) -> list[Entry]:
        """Return the erasures that began and are not done."""
        lines = self._lines()
        done = {entry.entry for entry in lines if not entry.is_begin}
        return [entry for entry in lines if entry.is_begin and entry.entry not in done]

    def matching(self, user_ids: Iterable[str], entries: Iterable[Entry] | None = None) -> dict[str, Entry]:
        """Return those of the ids that were erased, each with its newest entry; of *entries*, by default of all."""
        wanted = {entry.user: entry for entry in (self.entries() if entries is None else entries)}
        if not wanted:
            return {}
        key = self.key()
        return {id: wanted[hashed] for id in user_ids if (hashed := self._hash(key, id)) in wanted}

    def key(self) -> bytes:
        """Return the key, made where there is no ledger yet. Raises StorageError where it is gone."""
        if self.exists() and not self._key_path.exists():
            raise StorageError(f"{self._key_path} is missing: {LEDGER} cannot be applied without it; restore it")
        return home_secret(self._key_path)

    def adopt(self, other: Ledger) -> list[Entry]:
        """Add *other*'s erasures, as not done yet, and return those that are new here.

        Raises InputError where the two do not share a key: *other* belongs to another HOME's history.
        """
        if not other.exists():
            return []
        if not self.exists():
            self._key_path.unlink(missing_ok=True)
            home_secret(self._key_path, made_of=other.key())
        elif not hmac.compare_digest(self.key(), other.key()):
            raise InputError("ledger", str(other.path), "the ledger of the HOME that the backup was made of")
        known = {entry.entry for entry in self.entries()}
        fresh = [entry for entry in other.entries() if entry.entry not in known]
        for entry in fresh:
            self._add(entry)
        return fresh

    def _hash(self, key: bytes, user_id: str) -> str:
        return blake2b(user_id.encode(), digest_size=20, key=key, person=b"erased user").hexdigest()

    def _add(self, entry: Entry) -> Entry:
        try:
            if not self.path.exists():
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
            append_line(self.path, msgspec.json.encode(entry))
        except OSError as error:
            raise StorageError(f"{self.path} cannot be written: {error}") from error
        return entry

    def _lines(self) -> list[Entry]:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {error}") from error
        found = []
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"}"):  # a crash cut it short: nobody was told of it
                continue
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise StorageError(f"{self.path}, line {number}: damaged: {error}; take it from a backup") from error
            if entry != entry.summed():
                raise StorageError(f"{self.path}, line {number}: is not as it was written; take it from a backup")
            found.append(entry)
        return found
