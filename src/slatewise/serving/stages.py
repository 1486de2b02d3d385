"""The stages of one bundle, and how their decisions are applied. Knows every stage's protocol and no implementation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.errors import StageFailed
from slatewise.domain.ids import Mask, Positions
from slatewise.domain.ordering import best_first
from slatewise.domain.query import Resolved
from slatewise.domain.slate import Dropped
from slatewise.ports.stages import Arrangement, Filter, Reranker, Scored, Scorer, Source
from slatewise.retrieval.merge import within_quota
from slatewise.serving.costs import Costs
from slatewise.serving.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What a `Recommender` runs. Sources come in order of trust: the first keeps a row, and limits cut from the end.

    ``fallback`` sources are asked only where the others, asked for more, still leave a slate short.
    ``quick`` scores, where there is one, once fewer than ``quick_below_ms`` are left before the deadline.
    ``plain`` scores where those fail or there is no time for them; it must not fail.
    ``popular`` sources know nothing of the user; they are asked where retrieval has no time or fails as a whole.
    ``costs`` learns what each component takes, and so how much of a deadline to keep for what is still to come.
    """

    sources: Sequence[Source]
    filters: Sequence[Filter]
    scorer: Scorer
    plain: Scorer
    reranker: Reranker
    fallback: Sequence[Source] = field(default=())
    quick: Scorer | None = None
    quick_below_ms: float = 0.0
    popular: Sequence[Source] = field(default=())
    costs: Costs = field(default_factory=Costs)

    def to_come_ms(self) -> float:
        """Return what the stages after retrieval are expected to take at their cheapest, filters and rules included."""
        ranking = 0.0 if self.quick is None else self.costs.of("ranking/small")
        return self.costs.of("filtering") + ranking + self.costs.of("reranking")


def gather(
    sources: Sequence[Source],
    query: Resolved,
    trace: Trace,
    extra: int = 0,
    *,
    costs: Costs | None = None,
    later_ms: float = 0.0,
) -> list[Candidates]:
    """Ask sources one after another, for *extra* more than their limits; return the offers of those that answer.

    A source may fail alone. With *costs*, one that would not leave *later_ms* before the deadline is skipped; without,
    all are asked whatever the time.
    """
    offers: list[Candidates] = []
    for source in sources:
        component = f"retrieval/{source.name}"
        start_ms = trace.spent_ms
        if costs is not None and not costs.allow(component, trace.left_ms, later_ms=later_ms):
            trace.skipped(component)
            continue
        try:
            limit = source.limit + extra
            offer = source.retrieve(query, limit + query.blocked.size)
            if not offer.row.shape == offer.score.shape == offer.source.shape:
                raise StageFailed("retrieval", source.name, "columns of different lengths")
            offers.append(within_quota(offer, query.blocked, limit))
        except Exception as error:  # noqa: BLE001  a source is a plug-in: one may fail alone
            trace.failed(component, error)
        if costs is not None:
            costs.measured(component, trace.spent_ms - start_ms)
    return offers


def sieve(
    filters: Sequence[Filter], query: Resolved, candidates: Candidates, trace: Trace
) -> tuple[Candidates, list[Dropped]]:
    """Apply every filter in order; return what they keep and what each dropped.

    Never skipped, whatever the deadline says. A filter that fails drops everything: better nothing than what may not be
    shown.
    """
    dropped: list[Dropped] = []
    for rule in filters:
        component = f"filtering/{rule.name}"
        keep: Mask
        try:
            keep = rule.keep(query, candidates)
            if keep.shape != candidates.row.shape or keep.dtype != np.bool_:
                raise StageFailed("filtering", rule.name, "not one verdict per candidate")
        except Exception as error:  # noqa: BLE001  a filter is a plug-in
            trace.failed(component, error)
            keep = np.zeros(len(candidates), np.bool_)
        if not keep.all():
            candidates, out = candidates.split(keep)
            dropped.append(Dropped(component=component, candidates=out))
    return candidates, dropped


def rank(stages: Stages, query: Resolved, candidates: Candidates, trace: Trace) -> tuple[Candidates, Scored, Positions]:
    """Return the candidates best first with their scores, the scorer's decision, and the order it was put in."""
    scored = _scored(stages, query, candidates, trace)
    order = best_first(scored.score)
    return candidates.scored(scored.score).take(order), scored, order


def _scored(stages: Stages, query: Resolved, candidates: Candidates, trace: Trace) -> Scored:
    """Return the decision of the best scorer that there is time for and that does not fail."""
    quick = stages.quick if stages.quick is not stages.scorer else None
    later_ms = stages.costs.of("reranking")
    is_short = quick is not None and trace.left_ms < stages.quick_below_ms
    has_time = not is_short and stages.costs.allow("ranking", trace.left_ms, later_ms=later_ms)
    if has_time:
        scored = _tried(stages.scorer, "ranking", stages.costs, query, candidates, trace)
        if scored is not None:
            return scored
    if quick is not None and stages.costs.allow("ranking/small", trace.left_ms, later_ms=later_ms):
        scored = _tried(quick, "ranking/small", stages.costs, query, candidates, trace)
        if scored is not None:
            trace.note("ranking", "small ranker" if has_time else "small ranker, little time left")
            trace.fell_to("small")
            return scored
    elif not has_time:
        trace.skipped("ranking")
    trace.fell_to("retrieval")
    return stages.plain.score(query, candidates)


def _tried(
    scorer: Scorer, cost: str, costs: Costs, query: Resolved, candidates: Candidates, trace: Trace
) -> Scored | None:
    start_ms = trace.spent_ms
    try:
        scored = scorer.score(query, candidates)
        if scored.score.shape != candidates.row.shape:
            raise StageFailed("ranking", scorer.name, "not one score per candidate")
        return scored
    except Exception as error:  # noqa: BLE001  a scorer is a plug-in: without it, the next one ranks
        trace.failed(f"ranking/{scorer.name}", error)
        return None
    finally:
        costs.measured(cost, trace.spent_ms - start_ms)


def arrange(stages: Stages, query: Resolved, ranked: Candidates, trace: Trace) -> Arrangement:
    """Return the reranker's decision, or the ranked order where it fails or there is no time for it."""
    size, reranker, start_ms = query.query.size, stages.reranker, trace.spent_ms
    if not stages.costs.allow("reranking", trace.left_ms):
        trace.skipped("reranking")
        return as_ranked(ranked, size)
    try:
        arrangement = reranker.arrange(query, ranked, size)
        if not _is_sound(arrangement, len(ranked), size):
            raise StageFailed("reranking", reranker.name, "places that are not distinct positions, or no propensities")
        stages.costs.measured("reranking", trace.spent_ms - start_ms)
        return arrangement
    except Exception as error:  # noqa: BLE001  a reranker is a plug-in: without it, the ranked order stands
        trace.failed(f"reranking/{reranker.name}", error)
        return as_ranked(ranked, size)


def as_ranked(ranked: Candidates, size: int) -> Arrangement:
    """Return the first *size* in the order they stand in."""
    shown = min(size, len(ranked))
    return Arrangement(np.arange(shown), ("ranked",) * shown, np.ones(shown, np.float32))


def _is_sound(arrangement: Arrangement, candidates: int, size: int) -> bool:
    position = arrangement.position
    if position.size > size or len(arrangement.reason) != position.size:
        return False
    if not _are_distinct(position, candidates):
        return False
    order, propensity = arrangement.order, arrangement.propensity
    if order is not None and not (order.size == candidates and _are_distinct(order, candidates)):
        return False
    # The comparison is false for NaN.
    return propensity is None or (
        propensity.shape == position.shape and bool(np.all((propensity > 0) & (propensity <= 1)))
    )


def _are_distinct(position: Positions, candidates: int) -> bool:
    if not position.size:
        return True
    inside = position.min() >= 0 and position.max() < candidates
    return bool(inside and np.bincount(position).max() == 1)
