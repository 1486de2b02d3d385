"""What holds of every slate, however the stages behave and whatever happened before."""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
from hypothesis import example, given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from slatewise.domain.query import Query
from slatewise.domain.settings import BoostSettings, PinSettings, RerankingSettings, ServingSettings, Settings
from slatewise.filtering.available import AvailableFilter
from slatewise.filtering.excluded import ExcludedFilter
from slatewise.filtering.seen import SeenFilter
from slatewise.filtering.where import WhereFilter
from slatewise.ports.stages import Arrangement
from slatewise.ranking.retrieval_scorer import RetrievalScorer
from slatewise.reranking.compose import SlateReranker
from slatewise.retrieval.any_available import AnyAvailableSource
from slatewise.retrieval.item_to_item import ItemToItemSource
from slatewise.retrieval.new_arrivals import NewArrivalsSource
from slatewise.retrieval.pinned import PinnedSource
from slatewise.retrieval.trending import TrendingSource
from slatewise.retrieval.two_tower import TwoTowerSource
from slatewise.serving.cache import ResultCache
from slatewise.serving.cached import CachedRecommender
from slatewise.serving.cursors import Cursors
from slatewise.serving.question import Questions
from slatewise.serving.recommender import Recommender
from slatewise.serving.resolve import QueryResolver
from slatewise.serving.stages import Stages
from slatewise.testing.small_shop import DIM, NOW, FakeClock, SmallShop, item_vectors
from slatewise.testing.stages import ListSource, RowScorer

USERS = ("ann", "bob")
CATEGORIES = ("c0", "c1")


def read_line(shop, clock, bundle="b0", **parts):
    chosen = {
        "sources": [
            PinnedSource(shop.catalogue, shop.settings.reranking.pins),
            TwoTowerSource(shop.index, 6),
            ItemToItemSource(shop.state, 3),
            TrendingSource(shop.state, 2),
            NewArrivalsSource(shop.catalogue, 2),
        ],
        "filters": [AvailableFilter(shop.catalogue), SeenFilter(), ExcludedFilter(), WhereFilter()],
        "scorer": RowScorer(lambda row: float(np.sin(row + len(bundle)))),
        "plain": RetrievalScorer(),
        "reranker": SlateReranker(
            shop.settings.reranking,
            shop.catalogue,
            item_vectors,
            np.random.default_rng(0),
            shop.settings.serving.reserve,
        ),
        "fallback": [AnyAvailableSource(shop.catalogue)],
    }
    resolver = QueryResolver(
        settings=shop.settings,
        catalogue=shop.catalogue,
        users=shop.users,
        encode_user=shop.encode_user,
        dim=DIM,
        folded=shop.folded,
    )
    stages = Stages(**{**chosen, **parts})
    return Recommender(bundle=bundle, settings=shop.settings, resolver=resolver, stages=stages, clock=clock)


def assert_partition(slate):
    parts = [slate.shown.row, slate.reserve.row, *(d.candidates.row for d in slate.dropped)]
    rows = np.concatenate(parts).tolist()
    assert len(rows) == len(set(rows))
    assert sorted(rows) == sorted(slate.retrieved.row.tolist())
    assert len(slate.reasons) == len(slate.shown)


def assert_propensities(slate):
    likely = slate.propensity
    assert likely.shape == (len(slate.shown),)
    assert np.all((likely > 0) & (likely <= 1))
    assert np.all(likely[:-1] == 1.0)
    is_explored = bool(slate.reasons) and slate.reasons[-1] == "explored"
    assert (slate.explored_from > 0) == is_explored
    if is_explored:
        assert slate.explored_from <= len(slate.reserve)


class Odd:
    name = "odd"

    def keep(self, query, candidates):
        return candidates.row % 2 == 1


class Top:
    name = "top"

    def arrange(self, query, ranked, size):
        at = np.arange(min(size, len(ranked)))
        return Arrangement(at, ("ranked",) * at.size)


rows = st.lists(st.integers(0, 39), unique=True, max_size=30)
floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(deadline=None, derandomize=True, max_examples=60)
@example(a=[1, 3, 5], b=[], scores=[float("inf"), 0.9, float("nan")], size=3)
@given(a=rows, b=rows, scores=st.lists(floats, min_size=1, max_size=40), size=st.integers(1, 20))
def test_no_candidate_is_lost_or_invented(a, b, scores, size):
    broken = ListSource("broken", [], error=RuntimeError("down"))
    slate = read_line(
        SmallShop(),
        FakeClock(),
        sources=[ListSource("x", a), ListSource("y", b), broken],
        fallback=[],
        filters=[Odd()],
        scorer=RowScorer(lambda row: scores[row % len(scores)]),
        reranker=Top(),
    ).recommend(Query(request_id="r", at=NOW, size=size))
    assert_partition(slate)
    assert set(slate.retrieved.row.tolist()) == set(a) | set(b)
    assert len(slate.shown) == min(size, sum(row % 2 for row in set(a) | set(b)))
    assert slate.degraded == ("retrieval/broken: RuntimeError",)
    finite = np.isfinite(slate.shown.score)
    assert np.all(np.diff(slate.shown.score[finite]) <= 0)
    assert not np.any(~finite[:-1] & finite[1:])


@settings(deadline=None, derandomize=True, max_examples=30)
@given(first=rows.filter(bool), second=rows)
def test_a_score_does_not_depend_on_who_else_was_retrieved(first, second):
    def scores(offered):
        slate = read_line(SmallShop(), FakeClock(), sources=[ListSource("x", offered)], fallback=[]).recommend(
            Query(request_id="r", at=NOW, size=5)
        )
        ranked = [*zip(slate.shown.row.tolist(), slate.shown.score.tolist(), strict=True)]
        ranked += zip(slate.reserve.row.tolist(), slate.reserve.score.tolist(), strict=True)
        return dict(ranked)

    alone, together = scores(first), scores(list(dict.fromkeys(second + first)))
    assert all(together[row] == score for row, score in alone.items())


RULES = [
    RerankingSettings(),
    RerankingSettings(cap=1, diversity=0.3, pins=(PinSettings("i2", 1), PinSettings("i5", 0))),
    RerankingSettings(cap=2, exploration=0.5),
    RerankingSettings(diversity=0.4, boosts=(BoostSettings(where={"categories": "c0"}, factor=3.0),)),
    RerankingSettings(
        cap=2,
        exploration=0.5,
        pins=(PinSettings("i2", 1),),
        boosts=(
            BoostSettings(where={"categories": "c1"}, factor=0.2),
            BoostSettings(where={"categories": "c0"}, factor=5),
        ),
    ),
]
users = st.sampled_from((None, *USERS))
items = st.integers(0, 29).map(lambda i: f"i{i}")


class ShopLife(RuleBasedStateMachine):
    """Any order of events, removals, bans, returns, bundle swaps, time and queries."""

    @initialize(reranking=st.sampled_from(RULES), reserve=st.sampled_from([0, 2, 100]))
    def open(self, reranking, reserve):
        chosen = Settings(reranking=reranking, serving=ServingSettings(reserve=reserve))
        self.shop = SmallShop(items=18, settings=chosen)
        self.clock = FakeClock()
        self.bundles = 0
        self.live = read_line(self.shop, self.clock)
        self.cached = CachedRecommender(
            settings=chosen,
            live=lambda: self.live,
            cache=ResultCache(chosen.cache, self.clock),
            wait=lambda version, ms: None,
            questions=Questions(b"secret"),
            cursors=Cursors(b"secret", self.clock, 3600.0),
        )
        self.seen = {user: set() for user in USERS}
        self.out = set()
        self.answered = {}
        self.walks = []

    @rule(user=st.sampled_from(USERS), item=items, action=st.sampled_from(["view", "buy", "interaction"]))
    def event(self, user, item, action):
        if self.shop.catalogue.row(item) >= 0:
            self.shop.record(user, item, action)
            if action != "view":
                self.seen[user].add(item)

    @rule(item=items, category=st.sampled_from(CATEGORIES))
    def add_or_change(self, item, category):
        self.shop.put(item, categories=(category,), created_at=NOW)
        self.out.discard(item)

    @rule(item=items)
    def remove(self, item):
        if self.shop.catalogue.row(item) >= 0:
            self.shop.remove(item)
            self.out.add(item)

    @rule(item=items, category=st.sampled_from(CATEGORIES))
    def ban(self, item, category):
        self.shop.put(item, available=False, categories=(category,))
        self.out.add(item)

    @rule(item=items)
    def slip_out_between_look_up_and_answer(self, item):
        row = self.shop.catalogue.row(item)
        if row >= 0 and self.shop.catalogue.exists(row):
            self.shop.catalogue.remove(item, self.shop.catalogue.version)
            self.out.add(item)

    @rule()
    def swap_bundle(self):
        self.bundles += 1
        self.live = read_line(self.shop, self.clock, "b" * self.bundles + "0")

    @rule(seconds=st.sampled_from([1.0, 70.0]))
    def wait(self, seconds):
        self.clock.ms += seconds * 1000.0

    @rule(
        user=users,
        size=st.sampled_from([4, 9]),
        exclude=st.frozensets(st.sampled_from(["i1", "i2"])),
        category=st.sampled_from([None, "c0"]),
    )
    def ask(self, user, size, exclude, category):
        where = {} if category is None else {"categories": category}
        query = Query(request_id="r", at=NOW, user_id=user, size=size, exclude=exclude, where=where)
        slate = self.cached.recommend(query)
        shown = self.shop.catalogue.ids(slate.shown.row)
        self.obeys_the_rules(shown, query)
        assert slate.degraded == ()
        assert slate.bundle == self.live.bundle
        assert_partition(slate)
        assert_propensities(slate)
        state = (self.shop.users.state(user).version if user else 0, self.shop.catalogue.version, slate.bundle)
        known = {item for item in exclude if self.shop.catalogue.row(item) >= 0}
        question = (user, size, frozenset(known | self.seen.get(user, set())), category)
        if slate.cursor is not None:
            self.walks.append((query, slate, set(shown)))
        if slate.cached:
            answered, offset = self.answered[question]
            assert answered == state, "nothing that names this user, the catalogue or the bundle may have changed"
            if offset == self.shop.offset and not slate.dropped and not self.shop.settings.reranking.exploration:
                assert slate.shown.row.tolist() == self.live.recommend(query).shown.row.tolist()
        else:
            self.answered[question] = state, self.shop.offset

    @rule(which=st.integers(0, 9), size=st.sampled_from([2, 7]))
    def go_on(self, which, size):
        """Ask for the next page of one of the walks begun so far, whatever happened meanwhile."""
        if not self.walks:
            return
        query, last, met = self.walks.pop(which % len(self.walks))
        page = self.cached.recommend(replace(query, size=size, cursor=last.cursor))
        shown = self.shop.catalogue.ids(page.shown.row)
        assert set(shown) <= self.may_show(query)
        assert len(shown) == len(set(shown))
        assert not met & set(shown), "no item twice in one walk"
        assert (page.version, page.bundle, page.page) == (last.version, last.bundle, last.page + 1)
        assert_partition(page)
        assert len(shown) == size or page.cursor is None, "full while anything is left"
        if page.cursor is not None:
            self.walks.append((query, page, met | set(shown)))

    def may_show(self, query):
        catalogue = self.shop.catalogue
        return {
            item
            for row, item in enumerate(catalogue.ids(np.arange(len(catalogue))))
            if item not in self.out
            and item not in query.exclude
            and item not in self.seen.get(query.user_id, ())
            and (not query.where or query.where["categories"] in catalogue.item(row).categories)
        }

    def obeys_the_rules(self, shown, query):
        allowed = self.may_show(query)
        assert set(shown) <= allowed
        assert len(shown) == len(set(shown)) == min(query.size, len(allowed))


ShopLife.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, derandomize=True)
TestShopLife = ShopLife.TestCase
