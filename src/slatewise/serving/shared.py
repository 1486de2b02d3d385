"""Slates in a tier that several processes share. Trusts nothing that comes out of it. Knows no Redis."""

from __future__ import annotations

import logging
from hashlib import blake2b
from hmac import compare_digest

from slatewise.domain.errors import SharedTierLost
from slatewise.ports.cache import CacheWatch, SharedTier
from slatewise.serving.breaker import Breaker
from slatewise.serving.held import Held, pack, unpack

log = logging.getLogger("slatewise.serving")

SEAL = 16
"""Bytes of the seal before each value."""


class SharedSlates:
    """Finds and keeps slates by question and edition; losing the tier costs speed alone. Thread-safe.

    The key has the edition in it, so what was ranked under other versions is never met. A value carries a seal over key
    and content, made with the HOME's *secret*: what is torn, garbage, of another HOME or filed under another key is
    passed over.
    """

    def __init__(self, tier: SharedTier, secret: bytes, ttl_s: float, breaker: Breaker, watch: CacheWatch) -> None:
        self._tier = tier
        self._secret = secret
        self._ttl_s = ttl_s
        self._breaker = breaker
        self._watch = watch

    def find(self, question: bytes, edition: bytes, at: float) -> Held | None:
        """Return what any process kept, unless it was made for an instant too far from *at*. Never raises."""
        if not self._breaker.may_try():
            self._watch.shared("skipped")
            return None
        key = question + edition
        try:
            value = self._tier.get(key)
        except SharedTierLost as error:
            self._lost(error)
            return None
        self._breaker.succeeded()
        held = None if value is None else self._opened(key, value)
        if value is not None and held is None:
            self._watch.shared("error")
            return None
        # The tier's clock is not ours: how old it may be is judged by the instants of the two queries.
        held = held if held is not None and abs(at - held.at) <= self._ttl_s else None
        self._watch.shared("miss" if held is None else "hit")
        return held

    def keep(self, question: bytes, edition: bytes, held: Held) -> None:
        """Keep a slate for every process. Never raises."""
        if not self._breaker.may_try():
            self._watch.shared("skipped")
            return
        key, packed = question + edition, pack(held)
        try:
            self._tier.put(key, self._seal(key, packed) + packed, self._ttl_s)
        except SharedTierLost as error:
            self._lost(error)
            return
        self._breaker.succeeded()

    def close(self) -> None:
        self._tier.close()

    def _lost(self, error: SharedTierLost) -> None:
        log.warning("the shared cache is not there: %s", error)
        self._breaker.failed()
        self._watch.shared("error")

    def _opened(self, key: bytes, value: bytes) -> Held | None:
        seal, packed = value[:SEAL], value[SEAL:]
        return unpack(packed) if compare_digest(seal, self._seal(key, packed)) else None

    def _seal(self, key: bytes, packed: bytes) -> bytes:
        return blake2b(key + packed, digest_size=SEAL, key=self._secret, person=b"slatewise-cache").digest()
