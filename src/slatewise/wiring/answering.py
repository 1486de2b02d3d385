"""Builds what stands before the live READ line, and what learns of its answers."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from slatewise.domain.settings import Settings
from slatewise.ports.cache import CacheWatch
from slatewise.ports.clock import Clock
from slatewise.ports.stores import Catalogue, LogStore, UserStore
from slatewise.serving.breaker import Breaker
from slatewise.serving.cache import ResultCache
from slatewise.serving.cached import CachedRecommender
from slatewise.serving.cursors import Cursors
from slatewise.serving.question import Questions
from slatewise.serving.recommender import Recommender
from slatewise.serving.repeats import Repeats
from slatewise.serving.shared import SharedSlates
from slatewise.storage.redis_tier import RedisTier
from slatewise.telemetry.spans import Spans
from slatewise.wiring.secret import home_secret


class Answering:
    """One HOME's recommender with repeats, cache, pages and shared tier; the spans of its answers, if wanted."""

    def __init__(
        self,
        settings: Settings,
        secret_file: Path,
        log: LogStore,
        live: Callable[[], Recommender],
        wait: Callable[[int, float], object],
        clock: Clock,
        watch: CacheWatch,
        users: UserStore,
        catalogue: Catalogue,
        bundle_at_once: Callable[[], str | None],
    ) -> None:
        """Open. *wait* blocks until the views reflect a version or so many seconds have passed.

        Raises ConfigError, StorageError.
        """
        secret = home_secret(secret_file)
        self.spans = [Spans(clock)] if settings.telemetry.traces == "otlp" else []
        self._shared = _shared(settings, log, secret, clock, watch)
        self._cache = ResultCache(settings.cache, clock, watch)
        cached = CachedRecommender(
            settings=settings,
            live=live,
            cache=self._cache,
            wait=lambda version, limit_ms: wait(version, limit_ms / 1000),
            questions=Questions(secret),
            cursors=Cursors(secret, clock, settings.serving.cursor_ttl_s),
            shared=self._shared,
            watch=watch,
        )
        self.repeats = Repeats(
            cached.recommend,
            bundle=lambda: live().bundle,
            bundle_at_once=bundle_at_once,
            users=users,
            catalogue=catalogue,
            clock=clock,
            explored=settings.reranking.exploration > 0,
        )
        self.recommend = self.repeats.recommend

    def forget(self, is_gone: Callable[[str], bool]) -> None:
        """Drop slates of users that *is_gone*, and with them everybody's: most are kept under no name.

        On bad days the cache would answer from what it kept last, whatever the version. The shared tier holds rows and
        scores under keys that nobody can lead back, and versions that will not be asked for again.
        """
        self.repeats.clear()
        self._cache.clear()

    def close(self) -> None:
        """Let go of connections, and send the spans that wait."""
        if self._shared is not None:
            self._shared.close()
        for spans in self.spans:
            spans.close()


def _shared(settings: Settings, log: LogStore, secret: bytes, clock: Clock, watch: CacheWatch) -> SharedSlates | None:
    cache = settings.cache
    if not cache.url or not cache.max_bytes:
        return None
    tier = RedisTier(cache.url, cache.timeout_ms, log_identity(log, secret))
    return SharedSlates(tier, secret, cache.ttl_s, Breaker(clock), watch)


def log_identity(log: LogStore, secret: bytes) -> bytes:
    """Return 8 bytes that tell the log from every other, its own copies among them.

    Rows and versions mean something within one log alone, and a copied HOME takes the secret along.
    """
    return blake2b(log.identity.encode(), digest_size=8, key=secret).digest()
