"""What a run measured, and whether it measured the server or itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from slatewise.load.outcome import REJECTED, UNSENT, word
from slatewise.load.plan import KINDS, SLATES
from slatewise.load.samples import Floats, Samples

PERCENTILES = (50.0, 90.0, 99.0, 99.9)

LAG_MS = 1.0
LAG_SHARE = 0.1
"""The generator is the limit where the 99th percentile of its lag exceeds both; the share is of the median latency."""
CPU_SHARE = 0.9
WAITED_SHARE = 0.01
"""Share of requests that had to wait for a connection above which the bound of connections is said to matter."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of one kind of request, or of all. Shares are of the slates answered, NaN where there are none.

    ``sent`` counts what the generator came to, ``errors`` by status what was neither answered with 2xx nor rejected
    with 503, ``per_s`` what was answered with 2xx before the end. ``latency_ms`` has ``p50``, ``p90``, ``p99``,
    ``p99.9`` and ``max`` of what `Samples.is_timed` says.
    """

    sent: int
    ok: int
    rejected: int
    errors: Mapping[str, int]
    per_s: float
    latency_ms: Mapping[str, float]
    cached: float
    degraded: float
    degraded_by: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run. ``seconds`` were counted, after the warm-up; ``degraded`` counts reasons by kind of slate."""

    name: str
    url: str
    rate: float
    arrivals: str
    seconds: float
    ended_early: bool
    samples: Samples
    degraded: Mapping[str, Mapping[str, int]]
    connections: int
    max_connections: int
    cpu_share: float

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that any request was due of."""
        present = set(np.unique(self.samples.kind).tolist())
        return tuple(kind for place, kind in enumerate(KINDS) if place in present)

    def figures(self, kind: str | None = None) -> Figures:
        """Return the figures of one kind, of all for None."""
        chosen = self.samples.of(kind)
        ok, status = chosen.is_ok, chosen.status
        statuses, counts = np.unique(status[~ok & (status != REJECTED)], return_counts=True)
        # What an overloaded server still answers after the end would make it look faster than it is.
        in_time = ok & (chosen.scheduled_s + chosen.latency_s <= self.seconds)
        slates = ok & np.isin(chosen.kind, [KINDS.index(name) for name in SLATES])
        reasons: dict[str, int] = {}
        for name in (kind,) if kind else tuple(self.degraded):
            for reason, count in self.degraded.get(name, {}).items():
                reasons[reason] = reasons.get(reason, 0) + count
        return Figures(
            sent=int((status != UNSENT).sum()),
            ok=int(ok.sum()),
            rejected=int((status == REJECTED).sum()),
            errors={word(s): c for s, c in zip(statuses.tolist(), counts.tolist(), strict=True)},
            per_s=float(in_time.sum()) / self.seconds if self.seconds > 0 else math.nan,
            latency_ms=percentiles_ms(chosen.latency_s[chosen.is_timed]),
            cached=_share(chosen.cached[slates]),
            degraded=_share(chosen.degraded[slates]),
            degraded_by={reason: count / max(1, int(slates.sum())) for reason, count in sorted(reasons.items())},
        )

    @property
    def lag_ms(self) -> Mapping[str, float]:
        """How late the generator came to its requests, as percentiles."""
        return percentiles_ms(self.samples.lag_s)

    @property
    def wait_ms(self) -> Mapping[str, float]:
        """How long requests waited for a free connection, as percentiles."""
        wait = self.samples.wait_s
        return percentiles_ms(wait[np.isfinite(wait)])

    @property
    def why(self) -> str | None:
        """Why the generator itself was the limit, so that the latencies are not the server's alone; None if it was
        not."""
        lag, median = self.lag_ms["p99"], self.figures().latency_ms["p50"]
        allowed = max(LAG_MS, 0.0 if math.isnan(median) else LAG_SHARE * median)
        unsent = int((self.samples.status == UNSENT).sum())
        reasons = []
        if lag > allowed:
            reasons.append(f"requests left {lag:.1f} ms late at the 99th percentile ({allowed:.1f} ms are allowed)")
        if self.cpu_share > CPU_SHARE:
            reasons.append(f"it used {self.cpu_share:.0%} of a core")
        if unsent:
            reasons.append(f"{unsent:,} of {len(self.samples.status):,} requests were never sent")
        return "; ".join(reasons) or None

    @property
    def generator_limited(self) -> bool:
        """Whether the generator itself was the limit; `why` says how."""
        return self.why is not None

    @property
    def waited(self) -> float:
        """Share of the requests that waited for a free connection for longer than a generator may lag."""
        return _share(~(self.samples.wait_s <= LAG_MS / 1000.0) & (self.samples.status != UNSENT))

    @property
    def connection_limited(self) -> bool:
        """Whether the bound of connections kept requests from the server that were due."""
        return self.connections >= self.max_connections and self.waited > WAITED_SHARE

    def to_json(self) -> dict[str, object]:
        """Return every figure in what JSON can hold; NaN stands for what was not measured."""
        return {
            "name": self.name,
            "url": self.url,
            "rate": self.rate,
            "arrivals": self.arrivals,
            "seconds": self.seconds,
            "ended_early": self.ended_early,
            "due": len(self.samples.status),
            "all": _plain(self.figures()),
            "kinds": {kind: _plain(self.figures(kind)) for kind in self.kinds},
            "generator_limited": self.generator_limited,
            "why": self.why,
            "connection_limited": self.connection_limited,
            "generator": {
                "lag_ms": self.lag_ms,
                "cpu_share": self.cpu_share,
                "connections": self.connections,
                "max_connections": self.max_connections,
                "wait_ms": self.wait_ms,
                "waited": self.waited,
            },
        }


def percentiles_ms(seconds: Floats) -> dict[str, float]:
    """Return `PERCENTILES` and the maximum in milliseconds, NaN for none."""
    names = [*(f"p{p:g}" for p in PERCENTILES), "max"]
    if not len(seconds):
        return dict.fromkeys(names, math.nan)
    return dict(zip(names, (np.percentile(seconds, [*PERCENTILES, 100.0]) * 1000.0).tolist(), strict=True))


def _share(flags: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    return float(flags.mean()) if len(flags) else math.nan


def _plain(figures: Figures) -> dict[str, object]:
    return {name: getattr(figures, name) for name in Figures.__dataclass_fields__}
