"""The READ line, top to bottom: resolve, retrieve, filter, rank, rerank, answer. Knows one bundle and no cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
from slatewise.serving.held import Held
from slatewise.serving.ladder import best_possible
from slatewise.serving.question import line_key
from slatewise.serving.resolve import QueryResolver, Resolution
from slatewise.serving.stages import Stages, arrange, as_ranked, gather, rank, sieve
from slatewise.serving.trace import Trace


class Recommender:
    """Runs the stages of one bundle in order and applies their decisions. Thread-safe if the stages are.

    A part that fails or is out of time costs quality, not the answer, and is named in ``degraded``; only when every
    source fails, those of the last rung among them, is there no answer (NotReady).
    """

    def __init__(
        self, *, bundle: str, settings: Settings, resolver: QueryResolver, stages: Stages, clock: Clock
    ) -> None:
        self.bundle = bundle
        self.key = line_key(bundle, settings)
        """Slates of lines with another key are not interchangeable with this one's."""
        self._settings = settings
        self._resolver = resolver
        self._stages = stages
        self._clock = clock

    def recommend(self, query: Query) -> Slate:
        """Return a fresh slate. Raises InputError for a query that makes no sense, NotReady where no source answers."""
        trace = self.trace(query)
        return best_possible(self, self.resolve(query, trace), trace, lambda: None)[0]

    def trace(self, query: Query) -> Trace:
        """Start the clock of one request."""
        deadline = self._settings.serving.deadline_ms if query.deadline_ms is None else query.deadline_ms
        return Trace(self._clock, deadline)

    def resolve(self, query: Query, trace: Trace) -> Resolution:
        """Look up what the query names. Raises InputError."""
        with trace.timed("user"):
            return self._resolver.resolve(query)

    def compute(self, resolution: Resolution, trace: Trace) -> tuple[Slate, Held]:
        """Run every stage for a resolved query; return the slate and what `refill` needs to make it again.

        Raises NotReady where retrieval fails as a whole, or has no time and nothing to show yet.
        """
        costs = self._stages.costs
        with trace.timed("user"):
            query = self._encoded(resolution.resolved, trace)
        with trace.timed("retrieval"):
            offers = gather(self._stages.sources, query, trace, costs=costs, later_ms=self._stages.to_come_ms())
            if not offers:
                raise NotReady("every retrieval source failed or had no time")
            retrieved = merge(offers)
        with trace.timed("filtering"):
            kept, dropped = sieve(self._stages.filters, query, retrieved, trace)
        if len(kept) < query.query.size:
            retrieved, kept = self._topped_up(query, retrieved, kept, dropped, trace)
            if not len(kept) and trace.is_spent:
                raise NotReady("no time to retrieve more than was filtered")
        kept = self._limited(query, kept, dropped)
        with trace.timed("ranking"):
            ranked, scored, order = rank(self._stages, query, kept, trace)
        with trace.timed("reranking"):
            arrangement = arrange(self._stages, query, ranked, trace)
        costs.measured("filtering", trace.of("filtering"))
        slate = self._slate(resolution, retrieved, dropped, ranked, arrangement, trace)
        if query.query.explain:
            slate = replace(slate, evidence=_evidence(ranked, scored, order))
        worth = ranked.take(self._worth_keeping(ranked, arrangement))
        return slate, Held(worth, resolution.version, self.bundle, query.query.at)

    def refill(
        self,
        resolution: Resolution,
        held: Held,
        trace: Trace,
        *,
        is_page: bool = False,
        is_last_resort: bool = False,
    ) -> Slate | None:
        """Compose a slate from what was kept, under today's filters; None where too little is left of it.

        Too little is less than a slate where something was dropped; for a last resort, nothing at all; a page may even
        be empty. What another bundle ranked is shown in its order: this one's vectors know nothing of it.
        """
        query = resolution.resolved
        with trace.timed("filtering"):
            kept, dropped = sieve(self._stages.filters, query, held.ranked, trace)
        enough = 0 if is_page else 1 if is_last_resort else query.query.size
        if (dropped or is_last_resort) and len(kept) < enough:
            return None
        if is_last_resort:
            trace.note("slate", f"kept, of version {held.version}")
        with trace.timed("reranking"):
            if held.bundle == self.bundle:
                arrangement = arrange(self._stages, query, kept, trace)
            else:
                trace.note("reranking", f"ranked by bundle {held.bundle}, not live any more")
                arrangement = as_ranked(kept, query.query.size)
        return self._slate(resolution, held.ranked, dropped, kept, arrangement, trace, held)

    def popular(self, resolution: Resolution, trace: Trace) -> Slate:
        """Return what many touch, then whatever is available, in that order. Raises NotReady where all of it fails."""
        query, size = resolution.resolved, resolution.resolved.query.size
        offers: list[Candidates] = []
        kept, dropped = Candidates.empty("popular"), list[Dropped]()
        for source in self._stages.popular:
            if len(kept) >= size:
                break
            with trace.timed("retrieval"):
                before = merge(offers)
                found = gather([source], query, trace, extra=size + len(before))
                offers += found
                added = merge(offers).take(np.arange(len(before), len(merge(offers))))
            with trace.timed("filtering"):
                more, out = sieve(self._stages.filters, query, added, trace)
            kept = merge([kept, more]) if len(kept) else more
            dropped += out
        if not offers:
            raise NotReady("no source answers, not even those that ask nothing of anybody")
        trace.note("slate", "popular")
        return self._slate(resolution, merge(offers), dropped, kept, as_ranked(kept, size), trace)

    def _encoded(self, query: Resolved, trace: Trace) -> Resolved:
        costs, start_ms = self._stages.costs, trace.spent_ms
        if not costs.allow("user/tower", trace.left_ms, later_ms=self._stages.to_come_ms()):
            trace.skipped("user/tower")
            return query
        try:
            return self._resolver.encoded(query)
        except Exception as error:  # noqa: BLE001  a tower is a plug-in: the other sources need no vector
            trace.failed("user/tower", error)
            return query
        finally:
            costs.measured("user/tower", trace.spent_ms - start_ms)

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
                extra, costs, later_ms = size + len(retrieved), self._stages.costs, self._stages.to_come_ms()
                more_offers = gather(sources, query, trace, extra, costs=costs, later_ms=later_ms)
                deeper = merge([retrieved, *more_offers])
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
        kept, beyond = kept.cut(limit)
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
        held: Held | None = None,
    ) -> Slate:
        query = resolution.resolved.query
        if query.min_version is not None and resolution.version < query.min_version:
            trace.note("min_version", f"reflects {resolution.version}, not yet {query.min_version}")
        rest = np.ones(len(ranked), np.bool_)
        rest[arrangement.position] = False
        return Slate(
            request_id=query.request_id,
            bundle=self.bundle if held is None else held.bundle,
            version=resolution.version if held is None else held.version,
            cached=held is not None,
            shown=ranked.take(arrangement.position),
            reserve=ranked.take(np.flatnonzero(rest)),
            dropped=tuple(dropped),
            retrieved=retrieved,
            degraded=trace.degraded,
            timing_ms=trace.timing_ms(),
            reasons=arrangement.reason,
            propensity=arrangement.propensity,
            explored_from=arrangement.explored_from,
            rung=trace.rung,
        )


def _evidence(ranked: Candidates, scored: Scored, order: Positions) -> Evidence:
    return Evidence(
        row=ranked.row,
        feature_names=scored.feature_names,
        features=scored.features[order],
        probabilities={action: value[order] for action, value in scored.probabilities.items()},
    )
