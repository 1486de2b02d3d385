"""How often a key may ask: a token bucket each. Knows no request."""

from __future__ import annotations

from dataclasses import dataclass, field

KEPT = 10_000
"""Buckets held at most; a full one is as good as none."""
BURST_S = 2


@dataclass(slots=True)
class Bucket:
    """*rate* tokens a second, *burst* at most. *left* is below 0 after a request for which there was none."""

    rate: float
    burst: float
    left: float
    at_s: float

    def take(self, now_s: float) -> bool:
        """Take one token; return whether there was one. What was refused costs nothing."""
        self.left = min(self.burst, max(0.0, self.left) + (now_s - self.at_s) * self.rate)
        self.at_s = now_s
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True

    def headers(self) -> dict[str, str]:
        """Return what the caller is told (draft-ietf-httpapi-ratelimit-headers): its quota, and what is left of it."""
        window_s = max(1, round(self.burst / self.rate))
        full_s = max(0, round((self.burst - self.left) / self.rate))
        return {
            "ratelimit-policy": f'"key";q={int(self.burst)};w={window_s}',
            "ratelimit": f'"key";r={int(self.left)};t={full_s}',
        }

    def wait_s(self) -> int:
        """Return whole seconds until a token is there again, at least 1."""
        return max(1, int((1.0 - self.left) / self.rate + 0.999))


@dataclass(slots=True)
class Rates:
    """The buckets by name, of one worker: N workers grant N times the rate. Belongs to one event loop.

    *rate* is in requests a second and *burst* in requests; a rate of 0 is no limit, a burst of 0 two seconds' worth.
    """

    rate: float
    burst: float
    _buckets: dict[str, Bucket] = field(default_factory=dict)

    def bucket(self, name: str, own: float | None, now_s: float) -> Bucket | None:
        """Return the bucket of *name*, None for no limit. *own* replaces the usual rate."""
        rate = self.rate if own is None else own
        if rate <= 0:
            return None
        bucket = self._buckets.get(name)
        if bucket is None or bucket.rate != rate:
            if len(self._buckets) >= KEPT:
                self._buckets.clear()
            burst = max(self.burst if own is None and self.burst > 0 else rate * BURST_S, 1.0)
            bucket = self._buckets[name] = Bucket(rate, burst, burst, now_s)
        return bucket
