"""What each re-ranking rule costs in NDCG and what it buys, one at a time, over slates ranked once. Runs no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from slatewise.domain.candidate import Candidates
from slatewise.domain.history import EMPTY_HISTORY
from slatewise.domain.ids import Rows
from slatewise.domain.ordering import best_first
from slatewise.domain.query import Query, Resolved, UserState
from slatewise.domain.settings import RerankingSettings
from slatewise.domain.slate import Slate
from slatewise.evaluation.bootstrap import paired_bootstrap
from slatewise.evaluation.cases import Case
from slatewise.evaluation.lists import Lists, PerQuery, hits, padded
from slatewise.evaluation.measure import Items, K
from slatewise.evaluation.metrics.categories import distinct_categories
from slatewise.evaluation.metrics.diversity import diversity
from slatewise.evaluation.metrics.ndcg import ndcg
from slatewise.ports.stages import Reranker
from slatewise.reranking.exploration import NEW_DAYS

WHAT_IF: Mapping[str, Mapping[str, float | int]] = {
    "diversity 0.1": {"diversity": 0.1},
    "diversity 0.3": {"diversity": 0.3},
    "cap 2": {"cap": 2},
    "exploration 0.1": {"exploration": 0.1},
    "exploration 1.0": {"exploration": 1.0},
}
"""Rules priced whether or not the settings use them."""

OFF: Mapping[str, Any] = {"diversity": 0.0, "cap": 0, "boosts": (), "pins": (), "exploration": 0.0}

MakeReranker: TypeAlias = Callable[[RerankingSettings], Reranker]
"""Gives the reranker of these settings, over the same catalogue and vectors as the ranked cases."""


@dataclass(frozen=True, slots=True)
class RankedCase:
    """A case with all that was ranked for it, best first, and the instant it was asked at, in seconds."""

    case: Case
    at: float
    ranked: Candidates

    @staticmethod
    def of(case: Case, at: float, slate: Slate) -> RankedCase:
        """Return the ranked candidates of a slate: what it showed and all of its reserve, in the ranker's order."""
        row = np.concatenate([slate.shown.row, slate.reserve.row])
        score = np.concatenate([slate.shown.score, slate.reserve.score])
        source = np.concatenate([slate.shown.source, slate.reserve.source])
        # Ties of the ranker stand in the order of retrieval.
        place = np.argsort(slate.retrieved.row, kind="stable")
        came = place[np.searchsorted(slate.retrieved.row, row, sorter=place)]
        order = np.argsort(came, kind="stable")
        order = order[best_first(score[order])]
        return RankedCase(case, at, Candidates(row[order], score[order], source[order], slate.shown.sources))


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCost:
    """One rule alone: NDCG@10 with its difference to the ranked order (95 % bootstrap interval over users).

    ``diversity`` is the mean pairwise distance of the item vectors at 10 (NaN without vectors), ``distinct`` the number
    of different values at 10 of the attribute that the cap looks at, ``new`` the share of shown items that are at most
    `NEW_DAYS` old, ``changed`` the share of slates that differ from the ranked order at all. ``is_set`` tells a rule of
    the settings from a what-if.
    """

    rule: str
    is_set: bool
    ndcg: float
    difference: float
    low: float
    high: float
    diversity: float
    distinct: float
    new: float
    changed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankingCosts:
    """The price list of the rules over some cases; the first row is the ranked order without any.

    ``attribute`` is the one whose distinct values are counted.
    """

    split: str
    bundle: str
    attribute: str
    cases: int
    rules: tuple[RuleCost, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values; NaN as None."""
        rows = [{k: None if v != v else v for k, v in asdict(rule).items()} for rule in self.rules]
        return asdict(self) | {"rules": rows}


def rules_of(settings: RerankingSettings) -> dict[str, RerankingSettings]:
    """Return, by name, each rule that the settings switch on, alone; and all of them together where there are several.

    The attribute of the cap stays as set.
    """
    on = {name: getattr(settings, name) for name, off in OFF.items() if getattr(settings, name) != off}
    bare = replace(settings, **OFF)
    alone = {_name(name, value): replace(bare, **{name: value}) for name, value in on.items()}
    return alone | ({"all as set": settings} if len(on) > 1 else {})


def price_rules(
    cases: Sequence[RankedCase],
    settings: RerankingSettings,
    make: MakeReranker,
    items: Items,
    created_at: npt.NDArray[np.float64],
    rng: np.random.Generator,
    *,
    split: str = "",
    bundle: str = "",
) -> RerankingCosts:
    """Compose every case's slate under each rule alone and measure it; *rng* draws the bootstrap.

    *items* holds codes of the cap's attribute; *created_at* is per catalogue row, seconds, NaN where unknown. Costs one
    composition per case and rule.
    """
    priced = _Pricing(cases, items, created_at, rng)
    rows = [priced.cost("ranked order", False, priced.base)]
    for name, rule in rules_of(settings).items():
        rows.append(priced.cost(name, True, priced.composed(make(rule))))
    for name, change in WHAT_IF.items():
        what_if = replace(settings, **{**OFF, **change})
        rows.append(priced.cost(name, False, priced.composed(make(what_if))))
    return RerankingCosts(
        split=split, bundle=bundle, attribute=settings.cap_attribute, cases=len(cases), rules=tuple(rows)
    )


class _Pricing:
    def __init__(
        self,
        cases: Sequence[RankedCase],
        items: Items,
        created_at: npt.NDArray[np.float64],
        rng: np.random.Generator,
    ) -> None:
        self._cases, self._items, self._created_at, self._rng = cases, items, created_at, rng
        self._targets = [each.case.targets for each in cases]
        self._user = np.array([each.case.user for each in cases], np.int64)
        self._at = np.array([each.at for each in cases], np.float64)
        self.base = padded([each.ranked.row for each in cases], K)
        self._base_ndcg = self._ndcg(self.base)

    def composed(self, reranker: Reranker) -> Lists:
        shown: list[Rows] = []
        for each in self._cases:
            arranged = reranker.arrange(_question(each), each.ranked, K)
            shown.append(each.ranked.row[arranged.position])
        return padded(shown, K)

    def cost(self, rule: str, is_set: bool, lists: Lists) -> RuleCost:
        items, value = self._items, self._ndcg(lists)
        interval = paired_bootstrap(value, self._base_ndcg, self._user, self._rng)
        apart = np.full(len(lists), np.nan) if items.vectors is None else diversity(lists, items.vectors, K)
        kinds = np.full(len(lists), np.nan) if items.category is None else distinct_categories(lists, items.category, K)
        return RuleCost(
            rule=rule,
            is_set=is_set,
            ndcg=_mean(value),
            difference=interval.difference,
            low=interval.low,
            high=interval.high,
            diversity=_mean(apart),
            distinct=_mean(kinds),
            new=self._share_of_new(lists),
            changed=_mean((lists != self.base).any(1).astype(np.float64)),
        )

    def _ndcg(self, lists: Lists) -> PerQuery:
        hit, counts = hits(lists, self._targets)
        return ndcg(hit, counts, K)

    def _share_of_new(self, lists: Lists) -> float:
        shown = lists >= 0
        if not shown.any():
            return float("nan")
        age = self._at[:, None] - self._created_at[np.where(shown, lists, 0)]
        return float(np.count_nonzero(shown & (age <= NEW_DAYS * 86_400.0)) / np.count_nonzero(shown))


def _question(each: RankedCase) -> Resolved:
    case = each.case
    return Resolved(
        query=Query(request_id="", at=each.at, size=K, user_id=case.user_id),
        user=UserState(row=case.user, version=0, history=case.history, seen=EMPTY_HISTORY.row),
        vector=None,
        blocked=EMPTY_HISTORY.row,
        allow=None,
    )


def _name(rule: str, value: Any) -> str:
    return f"{rule} ({len(value)})" if isinstance(value, tuple) else f"{rule} {value}"


def _mean(value: PerQuery) -> float:
    known = value[np.isfinite(value)]
    return float(known.mean()) if known.size else float("nan")
