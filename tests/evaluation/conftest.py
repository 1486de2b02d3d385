"""A small read line with a known way of working, and a world with a known answer."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from slatewise.domain.candidate import Candidates
from slatewise.domain.columns import Interactions
from slatewise.domain.query import Query
from slatewise.domain.slate import Dropped, Slate

ITEMS = 60


@dataclass
class PopularityLine:
    """Retrieves every item in order of row, drops what the history holds, ranks by folded counts, shows the best."""

    n_items: int = ITEMS
    count: np.ndarray = field(default_factory=lambda: np.zeros(ITEMS))
    folded: list[int] = field(default_factory=list)
    asked: list[tuple[Query, tuple[int, ...]]] = field(default_factory=list)
    swap_first_two: bool = False

    def ids(self, rows: np.ndarray) -> list[str]:
        return [f"item {row}" for row in rows.tolist()]

    def fold(self, interactions: Interactions) -> None:
        assert len(interactions) > 0
        self.folded += interactions.offset.tolist()
        self.count += np.bincount(interactions.item, minlength=self.n_items)

    def recommend(self, query: Query) -> Slate:
        self.asked.append((query, tuple(self.folded)))
        retrieved = Candidates.of("all", np.arange(self.n_items), np.zeros(self.n_items, np.float32))
        seen = {int(past.item_id.removeprefix("item ")) for past in query.history or ()}
        kept, dropped = retrieved.split(~np.isin(retrieved.row, list(seen)))
        kept = kept.scored(self.count[kept.row].astype(np.float32))
        order = np.argsort(-kept.score, kind="stable")
        if self.swap_first_two:
            order[[0, 1]] = order[[1, 0]]
        return Slate(
            request_id=query.request_id,
            bundle="b1",
            version=len(self.folded),
            shown=kept.take(order[: query.size]),
            reserve=kept.take(order[query.size :]),
            dropped=(Dropped(component="filtering/seen", candidates=dropped),),
            retrieved=retrieved,
            degraded=("ranking/deep: out of time",) if len(self.asked) % 2 else (),
            timing_ms={"retrieval": 2.0, "ranking": 1.0},
        )


def _checkerboard() -> Interactions:
    """Even users take even items, odd users odd ones: neighbours know the answer, counts know nothing."""
    rng = np.random.default_rng(5)
    user = np.repeat(np.arange(200), 21)
    item = np.concatenate([rng.permutation(ITEMS // 2)[:21] * 2 + parity % 2 for parity in range(200)])
    at = rng.permutation(user.size).astype(np.float64)
    n = user.size
    return Interactions(np.arange(n), user, item, np.zeros(n, np.int64), at, np.ones(n, np.float32))


@pytest.fixture
def line() -> PopularityLine:
    return PopularityLine()


@pytest.fixture(scope="session")
def checkerboard() -> Interactions:
    return _checkerboard()
