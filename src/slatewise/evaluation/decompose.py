"""Turns a replay, and what variants of the line answered beside it, into a decomposition. Asks nobody anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from slatewise.domain.ids import Rows
from slatewise.evaluation.bootstrap import paired_bootstrap, standard_error
from slatewise.evaluation.cases import Case
from slatewise.evaluation.decomposition import CurvePoint, Decomposition, IndexCheck, Oracle, OtherCandidates
from slatewise.evaluation.lists import PerQuery, hits, padded
from slatewise.evaluation.measure import DEPTH, K
from slatewise.evaluation.metrics.hit_rate import hit_rate
from slatewise.evaluation.metrics.ndcg import ndcg
from slatewise.evaluation.metrics.recall import recall
from slatewise.evaluation.oracle import oracle_lists, share_of_the_way
from slatewise.evaluation.probe import CURVE, EXACT, POPULAR, Probe
from slatewise.evaluation.replay import Replayed, StageLists

TIMED = ("retrieval", "ranking", "total")


def decompose(replayed: Replayed, probe: Probe | None, rng: np.random.Generator) -> Decomposition:
    """Return the oracle of all that was replayed, and the rest where a probe went along; *rng* draws a bootstrap."""
    oracle = _oracle(replayed)
    if probe is None or not probe.chosen.size:
        return Decomposition(oracle=oracle)
    at = probe.chosen.tolist()
    asked = _Asked([replayed.cases[i] for i in at])
    own = [replayed.lists[i] for i in at]
    return Decomposition(
        oracle=oracle,
        cases=len(at),
        index=_index(asked, own, probe),
        popularity_candidates=_popular(asked, own, probe.lists[POPULAR], rng),
        curve=tuple(_point(k, asked, probe.lists[k], probe.timing_ms[k]) for k in CURVE),
    )


class _Asked:
    """The targets and users of some cases, and the metrics of lists in their order."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.targets = [case.targets for case in cases]
        self.user = np.fromiter((case.user for case in cases), np.int64, len(cases))

    def ndcg(self, lists: Sequence[Rows]) -> PerQuery:
        return ndcg(*hits(padded(lists, K), self.targets), K)

    def hit_rate(self, lists: Sequence[Rows]) -> float:
        return float(hit_rate(*hits(padded(lists, K), self.targets), K).mean())

    def recall(self, lists: Sequence[Rows], k: int | None = None) -> float:
        """Return the mean recall among the first *k*, or among all."""
        depth = k or max((len(rows) for rows in lists), default=0)
        return float(recall(*hits(padded(lists, depth), self.targets), depth).mean())


def _oracle(replayed: Replayed) -> Oracle:
    asked = _Asked(replayed.cases)
    ceiling = ndcg(*hits(oracle_lists([at.ranked for at in replayed.lists], asked.targets, K), asked.targets), K)
    filtered = float(asked.ndcg([at.filtered for at in replayed.lists]).mean())
    ranked = float(asked.ndcg([at.ranked for at in replayed.lists]).mean())
    return Oracle(
        ndcg=float(ceiling.mean()),
        ndcg_error=standard_error(ceiling, asked.user),
        hit_rate=float((ceiling > 0).mean()),
        retrieval_ndcg=filtered,
        ranked_ndcg=ranked,
        ranker_share=share_of_the_way(filtered, ranked, float(ceiling.mean())),
    )


def _index(asked: _Asked, own: Sequence[StageLists], probe: Probe) -> IndexCheck:
    searched = [searches for searches in probe.searches if searches]
    shares = np.array([np.mean([one.share for one in searches]) for searches in searched], np.float64)
    return IndexCheck(
        kind=probe.index.kind,
        is_exact=probe.index.is_exact,
        cases=len(own),
        searched=len(searched),
        # The first search of a case: a second one is made only to fill a slate that is short.
        k=float(np.mean([searches[0].k for searches in searched])) if searched else float("nan"),
        fidelity=float(shares.mean()) if searched else float("nan"),
        fidelity_p05=float(np.quantile(shares, 0.05)) if searched else float("nan"),
        recall=asked.recall([at.filtered for at in own], DEPTH),
        recall_exact=asked.recall([at.filtered for at in probe.lists[EXACT]], DEPTH),
    )


def _popular(
    asked: _Asked, own: Sequence[StageLists], popular: Sequence[StageLists], rng: np.random.Generator
) -> OtherCandidates:
    ranked, order = [at.ranked for at in popular], [at.filtered for at in popular]
    own_ranked = [at.ranked for at in own]
    value, own_value = asked.ndcg(ranked), asked.ndcg(own_ranked)
    return OtherCandidates(
        cases=len(own),
        limit=DEPTH,
        ndcg=float(value.mean()),
        ndcg_error=standard_error(value, asked.user),
        hit_rate=asked.hit_rate(ranked),
        recall=asked.recall(ranked),
        order_ndcg=float(asked.ndcg(order).mean()),
        own_ndcg=float(own_value.mean()),
        own_hit_rate=asked.hit_rate(own_ranked),
        own_recall=asked.recall(own_ranked),
        difference=paired_bootstrap(own_value, value, asked.user, rng),
    )


def _point(
    k: int, asked: _Asked, answered: Sequence[StageLists], timing_ms: Sequence[Mapping[str, float]]
) -> CurvePoint:
    final = asked.ndcg([at.final for at in answered])
    spent = [{**one, "total": one.get("total", sum(one.values()))} for one in timing_ms]
    return CurvePoint(
        k=k,
        candidates=float(np.mean([at.ranked.size for at in answered])),
        ndcg=float(final.mean()),
        ndcg_error=standard_error(final, asked.user),
        recall=asked.recall([at.ranked for at in answered]),
        p50_ms={stage: float(np.median([one.get(stage, np.nan) for one in spent])) for stage in TIMED},
    )
