"""A `SharedTier` in Redis. Knows no slate: keys and values are bytes."""

from __future__ import annotations

from slatewise.domain.errors import ConfigError, SharedTierLost

CONNECTIONS = 64
"""At most; who finds none free goes without."""


class RedisTier:
    """Keeps bytes in Redis under ``slatewise:<home>:<key>`` in hex. Thread-safe.

    Every command gives up after *timeout_ms*, and is never tried twice. Opening does not connect, so that a server
    starts without Redis too. Raises ConfigError for a URL that is none of Redis', or where redis-py is not installed.
    """

    def __init__(self, url: str, timeout_ms: float, home: bytes) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise ConfigError("cache.url needs redis-py: pip install 'slatewise[redis]'") from error
        self._error = redis.RedisError
        self._prefix = f"slatewise:{home.hex()}:"
        timeout_s = max(timeout_ms, 1.0) / 1000.0
        try:
            self._redis = redis.Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                max_connections=CONNECTIONS,
                retry=Retry(NoBackoff(), 0),
                decode_responses=False,
            )
        except ValueError as error:
            raise ConfigError(f"cache.url: {error}") from error

    def get(self, key: bytes) -> bytes | None:
        try:
            found = self._redis.get(self._prefix + key.hex())
        except (self._error, OSError, ValueError) as error:
            raise SharedTierLost(f"{type(error).__name__}") from error
        return found if isinstance(found, bytes) else None

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        try:
            self._redis.set(self._prefix + key.hex(), value, px=max(1, int(ttl_s * 1000)))
        except (self._error, OSError, ValueError) as error:
            raise SharedTierLost(f"{type(error).__name__}") from error

    def close(self) -> None:
        self._redis.close()
