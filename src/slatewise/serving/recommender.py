"""The READ line, top to bottom: resolve, retrieve, filter, rank, rerank, answer. Knows one bundle and no cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.errors import NotReady
from slatewise.domain.ids import Positions
from slatewise.domain.query import Query, Resolved
from slatewise.domain.settings import Settings
from slatewise.domain.slate import Dropped, Evidence, Slate
from slatewise.ports.clock import Clock
from slatewise.ports.stages import Arrangement, Scored
from slatewise.retrieval.merge import merge
from slatewise.serving.resolve import QueryResolver, Resolution
from slatewise.serving.stages import Stages, arrange, gather, rank, sieve
from slatewise.serving.trace import Trace


@dataclass(frozen=True, slots=True)
class Held:
    """What is kept of a slate for later requests: what it showed and the best of its reserve, in ranked order."""

    ranked: Candidates
    version: int


class Recommender:
    """Runs the stages of one bundle in order and applies their decisions. Thread-safe if the stages are.

    A part that fails or is out of time costs quality, not the answer, and is named in ``degraded``; only when every
    source fails is there no answer (NotReady).
    """

    def __init__(
        self, *, bundle: str, settings: Settings, resolver: QueryResolver, stages: Stages, clock: Clock
    ) -> None:
        self.bundle = bundle
        self.rules = repr(
            (settings.actions, settings.retrieval, settings.filtering, settings.ranking, settings.reranking)
        )
        """The settings that shape a slate, as one text: slates made under other rules are not interchangeable."""
        self._settings = settings
        self._resolver = resolver
        self._stages = stages
        self._clock = clock

    def recommend(self, query: Query) -> Slate:
        """Return a fresh slate. Raises InputError for a query that makes no sense, NotReady where no source answers."""
        trace = self.trace(query)
        slate, _ = self.compute(self.resolve(query, trace), trace)
        return slate

    def trace(self, query: Query) -> Trace:
        """Start the clock of one request."""
        deadline = self._settings.serving.deadline_ms if query.deadline_ms is None else query.deadline_ms
        return Trace(self._clock, deadline)

    def resolve(self, query: Query, trace: Trace) -> Resolution:
        """Look up what the query names. Raises InputError."""
        with trace.timed("user"):
            return self._resolver.resolve(query)

    def compute(self, resolution: Resolution, trace: Trace) -> tuple[Slate, Held]:
        """Run every stage for a resolved query; return the slate and what `refill` needs to make it again."""
        with trace.timed("user"):
            query = self._encoded(resolution.resolved, trace)
        with trace.timed("retrieval"):
            offers = gather(self._stages.sources, query, trace)
            if not offers:
                raise NotReady("every retrieval source failed")
            retrieved = merge(offers)
        with trace.timed("filtering"):
            kept, dropped = sieve(self._stages.filters, query, retrieved, trace)
        if len(kept) < query.query.size:
            retrieved, kept = self._topped_up(query, retrieved, kept, dropped, trace)
        kept = self._limited(query, kept, dropped)
        with trace.timed("ranking"):
            ranked, scored, order = rank(self._stages, query, kept, trace)
        with trace.timed("reranking"):
            arrangement = arrange(self._stages.reranker, query, ranked, trace)
        slate = self._slate(resolution, retrieved, dropped, ranked, arrangement, trace)
        if query.query.explain:
            slate = replace(slate, evidence=_evidence(ranked, scored, order))
        return slate, Held(ranked.take(self._worth_keeping(ranked, arrangement)), resolution.version)

    def refill(self, resolution: Resolution, held: Held, trace: Trace) -> Slate | None:
        """Compose a slate from what was kept, under today's filters; None where too little is left of it."""
        query = resolution.resolved
        with trace.timed("filtering"):
            kept, dropped = sieve(self._stages.filters, query, held.ranked, trace)
        if dropped and len(kept) < query.query.size:
            return None
        with trace.timed("reranking"):
            arrangement = arrange(self._stages.reranker, query, kept, trace)
        slate = self._slate(resolution, held.ranked, dropped, kept, arrangement, trace)
        return replace(slate, cached=True, version=held.version)

    def _encoded(self, query: Resolved, trace: Trace) -> Resolved:
        try:
            return self._resolver.encoded(query)
        except Exception as error:  # noqa: BLE001  a tower is a plug-in: the other sources need no vector
            trace.failed("user/tower", error)
            return query

    def _topped_up(
        self, query: Resolved, retrieved: Candidates, kept: Candidates, dropped: list[Dropped], trace: Trace
    ) -> tuple[Candidates, Candidates]:
        """Retrieve once more, and deeper, where filtering left less than a slate: all sources, then the fallback."""
        size = query.query.size
        for sources in (self._stages.sources, self._stages.fallback):
            if len(kept) >= size or not sources:
                continue
            if trace.is_spent and len(kept):
                trace.skipped("retrieval")
                break
            with trace.timed("retrieval"):
                deeper = merge([retrieved, *gather(sources, query, trace, extra=size + len(retrieved))])
                added = deeper.take(np.arange(len(retrieved), len(deeper)))
                retrieved = deeper
            with trace.timed("filtering"):
                more, out = sieve(self._stages.filters, query, added, trace)
                kept = merge([kept, more])
                dropped.extend(out)
        return retrieved, kept

    def _limited(self, query: Resolved, kept: Candidates, dropped: list[Dropped]) -> Candidates:
        # A slate larger than the limit must still be full.
        limit = max(self._settings.ranking.limit, query.query.size)
        if len(kept) <= limit:
            return kept
        kept, beyond = kept.split(np.arange(len(kept)) < limit)
        dropped.append(Dropped(component="ranking/limit", candidates=beyond))
        return kept

    def _worth_keeping(self, ranked: Candidates, arrangement: Arrangement) -> Positions:
        """Return the positions of the shown and of the best of the reserve, in ranked order."""
        best = arrangement.position.size + self._settings.serving.reserve
        worth = np.zeros(len(ranked), np.bool_)
        worth[slice(best) if arrangement.order is None else arrangement.order[:best]] = True
        worth[arrangement.position] = True
        return np.flatnonzero(worth)

    def _slate(
        self,
        resolution: Resolution,
        retrieved: Candidates,
        dropped: Sequence[Dropped],
        ranked: Candidates,
        arrangement: Arrangement,
        trace: Trace,
    ) -> Slate:
        query = resolution.resolved.query
        if query.min_version is not None and resolution.version < query.min_version:
            trace.note("min_version", f"reflects {resolution.version}, not yet {query.min_version}")
        rest = np.ones(len(ranked), np.bool_)
        rest[arrangement.position] = False
        return Slate(
            request_id=query.request_id,
            bundle=self.bundle,
            version=resolution.version,
            shown=ranked.take(arrangement.position),
            reserve=ranked.take(np.flatnonzero(rest)),
            dropped=tuple(dropped),
            retrieved=retrieved,
            degraded=trace.degraded,
            timing_ms=trace.timing_ms(),
            reasons=arrangement.reason,
            propensity=arrangement.propensity,
            explored_from=arrangement.explored_from,
        )


def _evidence(ranked: Candidates, scored: Scored, order: Positions) -> Evidence:
    return Evidence(
        row=ranked.row,
        feature_names=scored.feature_names,
        features=scored.features[order],
        probabilities={action: value[order] for action, value in scored.probabilities.items()},
    )
