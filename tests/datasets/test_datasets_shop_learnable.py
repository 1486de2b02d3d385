"""There is something to learn in the shop: known answers for the truth, for simple heuristics, and for popularity."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from slatewise.datasets import Dataset
from slatewise.datasets.shop import Shop, ShopSettings, generate
from slatewise.domain.events import Impression, Interaction

SETTINGS = ShopSettings()
LAST_DAYS_S = 3 * 86_400.0
CASES = 1_000
Scores = npt.NDArray[np.float64]


def auc(score: Scores, positive: npt.NDArray[np.bool_]) -> float:
    """Return how often a clicked item scores above one that was not, ties counting half."""
    ahead = score[positive][:, None] - score[~positive]
    return float(((ahead > 0) + 0.5 * (ahead == 0)).mean())


class Judge:
    """The newest 15 % of the slates, and what the time before them tells."""

    def __init__(self, past: Dataset, shop: Shop) -> None:
        self.shop = shop
        cut = float(np.quantile([impression.at for impression in past.impressions], 0.85))
        self.slates = [impression for impression in past.impressions if impression.at >= cut][::5]
        self.leaf = {item.item_id: item.categories[0] for item in past.items}
        self.clicked: dict[str | None, set[str]] = defaultdict(set)
        self.touched: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.together: dict[str, Counter[str]] = defaultdict(Counter)
        for event in past.interactions:
            if event.action == "click":
                self.clicked[event.request_id].add(event.item_id)
            if event.action not in ("click", "view"):
                continue
            before = self.touched[event.user_id]
            if event.at < cut:
                self.counts[event.item_id] += 1
                if before and event.at - before[-1][0] < 1_800:
                    self.together[before[-1][1]][event.item_id] += 1
                    self.together[event.item_id][before[-1][1]] += 1
            before.append((event.at, event.item_id))

    def last(self, slate: Impression) -> str | None:
        before = self.touched[slate.user_id]
        known = bisect_left(before, (slate.at, ""))
        return before[known - 1][1] if known else None

    def popularity(self, slate: Impression) -> Scores:
        return np.array([self.counts[item_id] for item_id in slate.shown], np.float64)

    def oracle(self, slate: Impression) -> Scores:
        return self.shop.true_click_probability(slate.user_id, slate.shown, slate.at)

    def last_category(self, slate: Impression) -> Scores:
        last = self.leaf.get(self.last(slate) or "")
        return np.array([self.leaf[i] == last for i in slate.shown]) + self.popularity(slate) / 1e6

    def item_to_item(self, slate: Impression) -> Scores:
        after = self.together[self.last(slate) or ""]
        return np.array([after[i] for i in slate.shown]) + self.popularity(slate) / 1e6

    def mean_auc(self, name: str) -> float:
        found = []
        for slate in self.slates:
            positive = np.array([item_id in self.clicked[slate.request_id] for item_id in slate.shown])
            if 0 < positive.sum() < positive.size:
                found.append(auc(getattr(self, name)(slate), positive))
        assert len(found) > 800
        return float(np.mean(found))


class Catalogue:
    """What each way of ranking all items makes of an act on the last days, before it happens."""

    def __init__(self, past: Dataset, shop: Shop) -> None:
        self.past, self.shop, self.cut = past, shop, SETTINGS.end - LAST_DAYS_S
        self.row = {item_id: row for row, item_id in enumerate(shop.item_ids)}
        self.category, self.brand, self.department = (
            np.array(column)
            for column in zip(
                *((i.categories[0], i.attributes["brand"], i.categories[1]) for i in past.items), strict=True
            )
        )
        self.slate_at = {impression.request_id: impression.at for impression in past.impressions}
        self.popular = np.zeros(len(past.items))
        self.touched: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for event in past.interactions:
            if event.action in ("click", "view"):
                self.popular[self.row[event.item_id]] += event.at < self.cut
                self.touched[event.user_id].append((event.at, self.row[event.item_id]))

    def asked_at(self, event: Interaction) -> float:
        # A click answers a slate: what the user clicked further up the same slate was not known when it was made.
        return event.at if event.request_id is None else self.slate_at[event.request_id]

    def popularity(self, event: Interaction) -> Scores:
        return self.popular

    def oracle(self, event: Interaction) -> Scores:
        return self.shop.true_click_probability(event.user_id, self.shop.item_ids, self.asked_at(event))

    def near_the_last(self, event: Interaction) -> Scores:
        before = self.touched[event.user_id]
        known = bisect_left(before, (self.asked_at(event), -1))
        if not known:
            return self.popular
        last = before[known - 1][1]
        same = 2.0 * (self.category == self.category[last]) + (self.department == self.department[last])
        near: Scores = same + (self.brand == self.brand[last]) + self.popular / 1e6
        near[last] = -1.0
        return near

    def ndcg(self, action: str, score: Callable[[Interaction], Scores]) -> float:
        """Return the mean NDCG@10 of the one item acted on, ranked among all items; ties are broken against it."""
        held_out = [e for e in self.past.interactions if e.action == action and e.at >= self.cut]
        assert len(held_out) > CASES
        chosen = np.random.default_rng(0).choice(len(held_out), CASES, replace=False)
        gains = []
        for event in (held_out[case] for case in chosen):
            scores = score(event)
            place = int((scores >= scores[self.row[event.item_id]]).sum()) - 1
            gains.append(1.0 / np.log2(place + 2) if place < 10 else 0.0)
        return float(np.mean(gains))


@pytest.fixture(scope="module")
def world() -> tuple[Dataset, Shop]:
    return generate(SETTINGS)


@pytest.fixture(scope="module")
def judge(world: tuple[Dataset, Shop]) -> Judge:
    return Judge(*world)


@pytest.fixture(scope="module")
def ranking(world: tuple[Dataset, Shop]) -> Catalogue:
    return Catalogue(*world)


def test_a_shop_of_default_size_has_a_hundred_thousand_interactions_and_a_steep_popularity(
    world: tuple[Dataset, Shop],
) -> None:
    past, _ = world
    assert (len(past.items), len(past.users)) == (2000, 1000)
    assert 100_000 < len(past.interactions) < 250_000
    counts = np.array(sorted(Counter(e.item_id for e in past.interactions).values(), reverse=True))
    assert 0.10 < counts[:20].sum() / counts.sum() < 0.40
    # On logarithmic axes, popularity falls along a line.
    rank, body = np.arange(1, 1 + counts.size), slice(4, 400)
    assert -1.2 < np.polyfit(np.log(rank[body]), np.log(counts[body]), 1)[0] < -0.4


def test_the_oracle_ranks_test_clicks_far_above_popularity(judge: Judge) -> None:
    popular, best = judge.mean_auc("popularity"), judge.mean_auc("oracle")
    assert 0.5 < popular < 0.68
    assert best > 0.76
    assert best > popular + 0.12


def test_simple_heuristics_lie_between_popularity_and_the_oracle(judge: Judge) -> None:
    popular, best = judge.mean_auc("popularity"), judge.mean_auc("oracle")
    assert popular + 0.05 < judge.mean_auc("last_category") < best - 0.03
    assert popular + 0.02 < judge.mean_auc("item_to_item") < best - 0.03


def test_live_users_click_the_oracles_slates_far_more_often_than_popular_ones(
    world: tuple[Dataset, Shop], judge: Judge
) -> None:
    _, shop = world
    rng, items = np.random.default_rng(0), shop.item_ids
    popular = [item_id for item_id, _ in judge.counts.most_common(10)]
    clicks = {"oracle": 0, "popular": 0}
    for turn in range(300):
        at = SETTINGS.end + turn * 3_600.0
        for name in clicks:
            user = shop.session(rng, at)
            for look in range(3):
                now = at + 60 * look
                shown = shop.oracle_slate(user, items, now, 10) if name == "oracle" else popular
                clicks[name] += sum(action == "click" for _, action in shop.react(user, shown, now, rng))
    assert clicks["oracle"] > 2 * clicks["popular"] > 0


def test_the_oracle_ranks_what_users_find_far_above_popularity(ranking: Catalogue) -> None:
    popular = ranking.ndcg("view", ranking.popularity)
    assert 0.005 < popular < 0.06
    assert ranking.ndcg("view", ranking.oracle) > max(6 * popular, 0.15)


def test_nearness_to_the_last_item_beats_popularity_and_stays_far_below_the_oracle(ranking: Catalogue) -> None:
    near = ranking.ndcg("view", ranking.near_the_last)
    assert 1.8 * ranking.ndcg("view", ranking.popularity) < near < 0.6 * ranking.ndcg("view", ranking.oracle)


def test_logged_clicks_among_all_items_flatter_popularity_because_it_chose_what_was_shown(ranking: Catalogue) -> None:
    def lift(action: str) -> float:
        return ranking.ndcg(action, ranking.oracle) / ranking.ndcg(action, ranking.popularity)

    # So a recommender of this shop is judged by views, by held-out slates or live, never by logged clicks alone.
    assert lift("click") < lift("view") / 3
