"""Contract suites of the four request-time stages, and the few fakes they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.history import EMPTY_HISTORY, History
from slatewise.domain.ids import Mask, Rows, Vectors
from slatewise.domain.query import Query, Resolved, UserState
from slatewise.ports.stages import Filter, Reranker, Scored, Scorer, Source
from slatewise.testing.small_shop import NOW, SmallShop, item_vectors


def resolved(
    *,
    size: int = 10,
    history: Rows | None = None,
    seen: Sequence[int] = (),
    blocked: Sequence[int] = (),
    vector: Vectors | None = None,
    allow: Mask | None = None,
    at: float = NOW,
    weights: Mapping[str, float] = MappingProxyType({}),
) -> Resolved:
    """Return a resolved query as a stage sees it."""
    past = (
        EMPTY_HISTORY
        if history is None
        else History(history, np.zeros(history.size, np.int64), np.full(history.size, NOW))
    )
    return Resolved(
        query=Query(request_id="r", at=at, size=size, weights=weights),
        user=UserState(row=0, version=1, history=past, seen=np.array(seen, np.int64)),
        vector=vector,
        blocked=np.unique(np.array([*seen, *blocked], np.int64)),
        allow=allow,
    )


def candidates(rows: Sequence[int], scores: Sequence[float] | None = None) -> Candidates:
    """Return candidates of one source, scored as given or by falling whole numbers."""
    falling = np.arange(len(rows), 0, -1) if scores is None else scores
    return Candidates.of("test", np.array(rows, np.int64), np.array(falling, np.float32))


class ListSource:
    """Offers fixed rows; with *error*, raises it instead; calls *before* first."""

    def __init__(
        self,
        name: str,
        rows: Sequence[int],
        limit: int = 100,
        error: Exception | None = None,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self.limit = limit
        self._rows = np.array(rows, np.int64)
        self._error = error
        self._before = before

    def retrieve(self, query: Resolved, limit: int) -> Candidates:
        self._before()
        if self._error is not None:
            raise self._error
        rows = self._rows[:limit]
        return Candidates.of(self.name, rows, np.linspace(1.0, 0.5, rows.size, dtype=np.float32))


class RowScorer:
    """Scores a row by a function of the row alone."""

    name = "row"

    def __init__(self, value: Callable[[int], float]) -> None:
        self._value = value

    def score(self, query: Resolved, candidates: Candidates) -> Scored:
        score = np.array([self._value(row) for row in candidates.row.tolist()], np.float32)
        return Scored(score, ("row",), candidates.row[:, None].astype(np.float32), {"interaction": score})


class SourceContract:
    """What every `Source` promises. Subclasses make one for a shop of forty items."""

    def make(self, shop: SmallShop) -> Source:
        raise NotImplementedError  # a suite that inherits these tests says how

    def _query(self, allow: Mask | None = None, blocked: Sequence[int] = ()) -> Resolved:
        history = np.array([3, 9, 12], np.int64)
        return resolved(history=history, vector=item_vectors(history[-1:]), allow=allow, blocked=blocked)

    def _shop(self) -> SmallShop:
        shop = SmallShop()
        for i in range(0, 40, 2):
            shop.record("u", f"i{i}", "view")
        return shop

    def test_offers_something(self) -> None:
        assert len(self.make(self._shop()).retrieve(self._query(), 5)) > 0

    def test_offers_at_most_the_limit(self) -> None:
        source = self.make(self._shop())
        for limit in (0, 1, 3, 100):
            assert len(source.retrieve(self._query(), limit)) <= limit

    def test_offers_no_row_twice(self) -> None:
        rows = self.make(self._shop()).retrieve(self._query(), 40).row.tolist()
        assert len(rows) == len(set(rows))

    def test_offers_columns_of_one_length_and_type(self) -> None:
        offer = self.make(self._shop()).retrieve(self._query(), 7)
        assert offer.row.dtype == np.int64
        assert offer.score.dtype == np.float32
        assert offer.row.shape == offer.score.shape == offer.source.shape

    def test_offers_allowed_rows_only(self) -> None:
        allow = np.arange(40) % 3 == 1
        rows = self.make(self._shop()).retrieve(self._query(allow=allow), 30).row
        assert allow[rows].all()

    def test_names_itself(self) -> None:
        source = self.make(self._shop())
        assert source.retrieve(self._query(), 5).sources == (source.name,)


class FilterContract:
    """What every `Filter` promises."""

    def make(self, shop: SmallShop) -> Filter:
        raise NotImplementedError  # a suite that inherits these tests says how

    def test_gives_one_verdict_per_candidate(self) -> None:
        shop = SmallShop()
        for rows in ([], [1], [3, 1, 2]):
            keep = self.make(shop).keep(resolved(seen=[1]), candidates(rows))
            assert keep.shape == (len(rows),)
            assert keep.dtype == np.bool_

    def test_verdict_depends_on_no_other_candidate(self) -> None:
        shop = SmallShop()
        shop.remove("i5")
        query = resolved(seen=[1, 7], blocked=[2], allow=np.arange(40) % 3 != 0)
        rule = self.make(shop)
        together = rule.keep(query, candidates(range(40)))
        alone = [bool(rule.keep(query, candidates([row]))[0]) for row in range(40)]
        assert together.tolist() == alone

    def test_keeps_the_same_twice(self) -> None:
        rule, query = self.make(SmallShop()), resolved(seen=[4], blocked=[9])
        first = rule.keep(query, candidates(range(20)))
        assert np.array_equal(first, rule.keep(query, candidates(range(20))))


class ScorerContract:
    """What every `Scorer` promises."""

    def make(self, shop: SmallShop) -> Scorer:
        raise NotImplementedError  # a suite that inherits these tests says how

    def test_gives_one_score_per_candidate(self) -> None:
        scorer = self.make(SmallShop())
        for rows in ([], [1], [3, 1, 2]):
            scored = scorer.score(resolved(vector=item_vectors(np.array([1]))), candidates(rows))
            assert scored.score.shape == (len(rows),)
            assert scored.score.dtype == np.float32
            assert scored.features.shape == (len(rows), len(scored.feature_names))

    def test_score_depends_on_no_other_candidate(self) -> None:
        scorer, query = self.make(SmallShop()), resolved(vector=item_vectors(np.array([1])))
        together = scorer.score(query, candidates(range(30))).score
        reordered = scorer.score(query, candidates(range(29, -1, -1))).score[::-1]
        alone = np.concatenate([scorer.score(query, candidates([row])).score for row in range(30)])
        assert np.array_equal(together, reordered)
        assert np.allclose(together, alone, rtol=1e-5, atol=1e-7)


class RerankerContract:
    """What every `Reranker` promises."""

    def make(self, shop: SmallShop) -> Reranker:
        raise NotImplementedError  # a suite that inherits these tests says how

    def test_arranges_distinct_positions_up_to_the_size(self) -> None:
        reranker = self.make(SmallShop())
        for n in (0, 1, 5, 40):
            for size in (1, 3, 60):
                arranged = reranker.arrange(resolved(size=size), candidates(range(n)), size)
                places = arranged.position.tolist()
                assert len(places) == len(set(places)) == min(n, size)
                assert set(places) <= set(range(n))
                assert len(arranged.reason) == len(places)

    def test_tells_a_probability_per_place_or_nothing(self) -> None:
        arranged = self.make(SmallShop()).arrange(resolved(size=5), candidates(range(30)), 5)
        if arranged.propensity is not None:
            assert arranged.propensity.shape == (5,)
            assert ((arranged.propensity > 0) & (arranged.propensity <= 1)).all()
        if arranged.order is not None:
            assert sorted(arranged.order.tolist()) == list(range(30))

    def test_sinks_scores_that_are_not_finite(self) -> None:
        scores = [np.inf, np.nan, -np.inf, 3.0, 2.0, 1.0]
        arranged = self.make(SmallShop()).arrange(resolved(size=3), candidates(range(6), scores), 3)
        assert set(arranged.position.tolist()) == {3, 4, 5}
