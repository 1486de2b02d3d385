"""What was asked, and under which versions, as short keys. Knows no cache.

Questions are digests keyed with a secret of the HOME: whoever reads one elsewhere can neither tell nor guess whose it
is, and two HOMEs never mean the same by one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from slatewise.domain.settings import Settings
from slatewise.serving.canonical import canonical
from slatewise.serving.resolve import Resolution

_encode = msgspec.msgpack.Encoder().encode

WIDTH = 16
"""Bytes of a digest."""


def line_key(bundle: str, settings: Settings) -> bytes:
    """Return a key of a bundle and the settings that shape a slate: under others, slates are not interchangeable."""
    rules = (
        settings.actions,
        settings.ingest.default_action,
        settings.storage.history_length,
        settings.index,
        settings.retrieval,
        settings.filtering,
        settings.ranking,
        settings.reranking,
        settings.serving.reserve,
    )
    return blake2b(repr((bundle, rules)).encode(), digest_size=WIDTH).digest()


class Questions:
    """Makes digests. Thread-safe. *secret* has up to 64 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def theme(self, resolution: Resolution) -> bytes:
        """Return what one walk through pages has in common: who asks, from where, for what, on which conditions.

        Not its size and exclusions, which may change from page to page; nor instant, request id, deadline or wish to be
        explained, which do not shape a slate.
        """
        query, resolved = resolution.resolved.query, resolution.resolved
        parts = [
            b"" if query.user_id is None else b"=" + query.user_id.encode(),
            canonical(query.where).encode() if query.where else b"",
            canonical(query.context).encode() if query.context else b"",
            canonical(query.weights).encode() if query.weights else b"",
        ]
        if query.vector is not None and resolved.vector is not None:
            parts += [b"vector", resolved.vector.tobytes()]
        if query.history is not None:
            # As it was sent, not in rows: an item that becomes known midway would make a later page another walk's.
            parts += [b"history", _encode(query.history)]
        return self._digest(parts)

    def question(self, theme: bytes, resolution: Resolution) -> bytes:
        """Return everything in the query that shapes a slate."""
        query = resolution.resolved.query
        return self._digest(
            [theme, struct.pack("<q", query.size), canonical(query.exclude).encode() if query.exclude else b""]
        )

    def edition(self, line: bytes, resolution: Resolution) -> bytes:
        """Return everything beside the query that shapes a slate: user, catalogue, and the *line* of `line_key`.

        All comes from the resolution that the slate is computed from, so a slate cannot be filed under newer versions
        than it reflects. What is blocked follows from the user's version, the rules, and the query's exclusions under
        the catalogue's version.
        """
        return line + struct.pack("<qq", resolution.resolved.user.version, resolution.catalogue_version)

    def _digest(self, parts: Iterable[bytes]) -> bytes:
        digest = blake2b(digest_size=WIDTH, key=self._secret)
        for part in parts:
            # With its length before it, no part can be mistaken for the end of another.
            digest.update(struct.pack("<q", len(part)) + part)
        return digest.digest()
