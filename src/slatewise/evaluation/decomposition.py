"""Where between the catalogue and the slate quality is lost, as plain values. Does not know how it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from slatewise.evaluation.bootstrap import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """What a perfect ranker reaches on the candidates that the ranker was given: the ceiling that retrieval leaves.

    All are means over all queries, at 10. ``retrieval_ndcg`` is the order of retrieval after filtering, ``ranked_ndcg``
    the ranker's; ``ranker_share`` how much of the way from the one to the ceiling the ranker went (NaN where there is
    no way to go, negative where it stepped back).
    """

    ndcg: float
    ndcg_error: float
    hit_rate: float
    retrieval_ndcg: float
    ranked_ndcg: float
    ranker_share: float

    def to_json(self) -> dict[str, Any]:
        return {
            "ndcg@10": self.ndcg,
            "ndcg@10_error": self.ndcg_error,
            "hr@10": self.hit_rate,
            "retrieval_ndcg@10": self.retrieval_ndcg,
            "ranked_ndcg@10": self.ranked_ndcg,
            "ranker_share": self.ranker_share,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexCheck:
    """The live index beside an exhaustive search over the same vectors.

    ``fidelity`` is the mean over cases of the share of the exact top k that the index finds, ``fidelity_p05`` its 5th
    percentile; ``k`` the mean number asked for (the source's limit and what is blocked). ``recall`` and
    ``recall_exact`` are the wanted items among the first 100 unseen candidates of all sources, with either search.
    ``cases`` that made no search (no user vector) count in recall alone; ``searched`` are those that did.
    """

    kind: str
    is_exact: bool
    cases: int
    searched: int
    k: float
    fidelity: float
    fidelity_p05: float
    recall: float
    recall_exact: float

    def to_json(self) -> dict[str, Any]:
        told = asdict(self)
        told["recall@100"], told["recall@100_exact"] = told.pop("recall"), told.pop("recall_exact")
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherCandidates:
    """The live ranker over the *limit* most popular unseen items, beside itself over retrieval's candidates.

    ``order_ndcg`` is popularity's own order of its candidates; ``own_*`` are the same cases with retrieval's
    candidates; ``difference`` is own minus this, by NDCG@10. ``recall`` is over all candidates that were ranked.
    """

    cases: int
    limit: int
    ndcg: float
    ndcg_error: float
    hit_rate: float
    recall: float
    order_ndcg: float
    own_ndcg: float
    own_hit_rate: float
    own_recall: float
    difference: Interval

    def to_json(self) -> dict[str, Any]:
        return {
            "cases": self.cases,
            "limit": self.limit,
            "ndcg@10": self.ndcg,
            "ndcg@10_error": self.ndcg_error,
            "hr@10": self.hit_rate,
            "recall": self.recall,
            "order_ndcg@10": self.order_ndcg,
            "own_ndcg@10": self.own_ndcg,
            "own_hr@10": self.own_hit_rate,
            "own_recall": self.own_recall,
            "difference": asdict(self.difference),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The read line with *k* candidates from the vector source and no cut before ranking.

    ``candidates`` is the mean number ranked, from all sources; ``recall`` the wanted items among them; ``ndcg`` that of
    the final slate at 10; ``p50_ms`` maps ``retrieval``, ``ranking`` and ``total`` to median milliseconds.
    """

    k: int
    candidates: float
    ndcg: float
    ndcg_error: float
    recall: float
    p50_ms: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "k": self.k,
            "candidates": self.candidates,
            "ndcg@10": self.ndcg,
            "ndcg@10_error": self.ndcg_error,
            "recall": self.recall,
            "p50_ms": dict(self.p50_ms),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """The oracle over all queries; the rest, where it was asked for, over ``cases`` of them (0: not asked for)."""

    oracle: Oracle
    cases: int = 0
    index: IndexCheck | None = None
    popularity_candidates: OtherCandidates | None = None
    curve: tuple[CurvePoint, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return nested dicts and lists; numbers may be NaN."""
        return {
            "oracle": self.oracle.to_json(),
            "cases": self.cases,
            "index": self.index and self.index.to_json(),
            "popularity_candidates": self.popularity_candidates and self.popularity_candidates.to_json(),
            "curve": [point.to_json() for point in self.curve],
        }
