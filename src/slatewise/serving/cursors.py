"""Cursors: what was ranked and not yet shown, sealed, in the caller's own hands. Knows no cache.

A cursor carries its list itself (rows and scores, no id), so any process of a HOME can go on from it, nothing is kept
for those who never come back, and a restart forgets no page.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from slatewise.domain.errors import Expired, InputError
from slatewise.domain.slate import Rung
from slatewise.ports.clock import Clock
from slatewise.serving.held import Held, pack, unpack

SEAL = 16
"""Bytes of the seal: HMAC-SHA-256, cut."""

ITEMS = 1_000
"""Candidates in one cursor at most: 9 bytes each, 12 characters."""

MAX_CURSOR = 16_384
"""Characters of the longest cursor that is looked at; longer ones are none of ours."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a walk through pages stands: what is left of its list and on which rung that was made, the page to come,
    when it began (seconds), and the row of the user it was made for, -1 where they were nobody then."""

    held: Held
    page: int
    rung: Rung
    begun: float
    user: int


class _Written(msgspec.Struct, array_like=True, frozen=True):
    page: int
    rung: Rung
    begun: float
    held: bytes
    user: int = -1


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Written)


class Cursors:
    """Writes cursors and reads them back. Thread-safe. *secret* is the HOME's."""

    def __init__(self, secret: bytes, clock: Clock, ttl_s: float) -> None:
        self._secret = b"cursor" + secret
        self._clock = clock
        self._ttl_s = ttl_s

    def write(self, held: Held, page: int, rung: Rung, theme: bytes, user: int, begun: float | None = None) -> str:
        """Return the cursor that goes on with *held* as the page to come, for queries of this *theme* and *user* (row).

        The walk *begun* at that instant, now where it is None. See `Questions.theme`.
        """
        begun = self._clock.now() if begun is None else begun
        written = _encoder.encode(_Written(page, rung, begun, pack(held), user))
        return urlsafe_b64encode(self._seal(written, theme) + written).rstrip(b"=").decode()

    def read(self, cursor: str, theme: bytes) -> Bookmark:
        """Return where to go on.

        Raises InputError for a cursor that this HOME did not write, or wrote for another query; Expired for one of a
        walk that began too long ago.
        """
        try:
            raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)) if len(cursor) <= MAX_CURSOR else b""
        except ValueError:
            raw = b""
        seal, written = raw[:SEAL], raw[SEAL:]
        # Base64 reads some texts alike that differ; only the one that was written is taken.
        is_whole = urlsafe_b64encode(raw).rstrip(b"=").decode() == cursor
        if not is_whole or not hmac.compare_digest(seal, self._seal(written, theme)):
            raise refused(cursor)
        found = _decoder.decode(written)
        held = unpack(found.held)
        if held is None or self._clock.now() - found.begun > self._ttl_s:
            # The seal is good, so this was ours: of an older release, or of an older day.
            raise Expired("the cursor has expired: ask again without one")
        return Bookmark(held, found.page, found.rung, found.begun, found.user)

    def _seal(self, written: bytes, theme: bytes) -> bytes:
        return hmac.digest(self._secret, theme + written, sha256)[:SEAL]


def refused(cursor: str) -> InputError:
    """Return the error for a cursor that does not belong to the query."""
    return InputError("cursor", cursor, "the cursor of an answer to the same query (user, history, where, context)")
