"""Bundles change under traffic: whole, warmed, caught up, and the old one leaves nothing behind."""

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from slatewise.domain.errors import BundleError, NotReady
from slatewise.domain.events import Interaction
from slatewise.domain.query import Query
from slatewise.serving.recommender import Recommender
from slatewise.testing.worlds import walkers
from slatewise.wiring import engine
from slatewise.wiring.home import Home
from slatewise.wiring.recent import EVERY, KEPT, RecentQueries

SPECTRAL = {"training.deep": "off", "training.dim": 16}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("swap") / "home"
    items, users, events = walkers()
    for dim in (16, 24):
        with Home(path, settings={**SPECTRAL, "training.dim": dim}) as home:
            home.put_items(items)
            home.put_users(users)
            home.record(events)
            home.train()
    return path


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Iterator[Home]:
    with Home(copytree(built, tmp_path / "home")) as opened:
        yield opened


def ids(home: Home) -> list[str]:
    return sorted(bundle.id for bundle in home.bundles())


def test_no_request_fails_or_meets_two_bundles_while_they_are_swapped(home: Home) -> None:
    old, new = ids(home)
    home.watch()
    problems: list[object] = []
    over = threading.Event()

    def ask(user: str) -> None:
        while not over.is_set():
            try:
                slate = home.slate(Query(request_id="", at=home.clock.now(), user_id=user, size=5))
                if slate.bundle not in (old, new) or len(slate.shown) != 5:
                    problems.append(slate)
            except Exception as error:  # noqa: BLE001
                problems.append(error)

    asking = [threading.Thread(target=ask, args=(f"u{n}",)) for n in range(2)]
    for thread in asking:
        thread.start()
    for bundle in (old, new, old, new):
        assert home.promote(bundle) == bundle
        assert home.recommend("u5").bundle == bundle, "acknowledged is live"
    over.set()
    for thread in asking:
        thread.join()
    assert problems == []


def test_a_promotion_is_acknowledged_once_every_serving_process_answers_from_it(home: Home) -> None:
    old, new = ids(home)
    home.promote(old)
    with Home(home.path) as other:
        assert other.live_bundle == old
        other.watch()
        home.promote(new)
        assert other._engine._loaded is not None
        assert other._engine._loaded.live.id == new, "without a request having been there"
        assert other.recommend("u1").bundle == new


def test_a_promotion_that_a_serving_process_cannot_follow_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = ids(home)
    home.promote(old)
    with Home(home.path) as other:
        assert other.live_bundle == old
        other.watch()
        monkeypatch.setattr(other._engine, "_opened", _broken)
        with pytest.raises(BundleError, match="cannot open it"):
            home.promote(new)
        assert other.recommend("u1").bundle == old, "what it holds goes on serving"


def _broken(bundle: str, *, is_tried: bool = True) -> None:
    raise BundleError(f"{bundle} is damaged")


def test_a_process_that_never_follows_is_waited_for_only_so_long(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = ids(home)
    home.promote(old)
    with Home(home.path) as other:
        assert other.live_bundle == old
        other.watch()
        monkeypatch.setattr(engine, "SPREAD_S", 0.05)
        monkeypatch.setattr(other._engine, "_has_moved", lambda: False)
        with pytest.raises(NotReady, match="1 serving processes"):
            home.promote(new)


def test_a_bundle_that_cannot_be_opened_is_refused_before_anything_points_at_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = ids(home)
    home.promote(old)
    # Every digest is right; it is this process that cannot make sense of it.
    monkeypatch.setattr(home._engine, "_opened", _broken)
    with pytest.raises(BundleError, match="is damaged"):
        home.promote(new)
    assert home.registry.live() == old
    assert home.recommend("u1").bundle == old


def test_a_bundle_is_warmed_with_what_was_asked_before_it_answers(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = ids(home)
    home.promote(old)
    for n in range(2 * EVERY):
        home.recommend(f"u{n}", size=7)
    warmed: list[tuple[str, str | None, str]] = []
    recommend = Recommender.recommend

    def noted(self: Recommender, query: Query) -> object:
        warmed.append((self.bundle, query.user_id, home.recommend("u9").bundle))
        return recommend(self, query)

    monkeypatch.setattr(Recommender, "recommend", noted)
    home.promote(new)
    assert (new, "u0", old) in warmed
    assert (new, f"u{EVERY}", old) in warmed


def test_a_bundle_that_was_swapped_out_is_gone_without_a_sweep(home: Home) -> None:
    old, new = ids(home)
    home.promote(old)
    home.recommend("u1", explain=True)
    assert home._engine._loaded is not None
    left = weakref.ref(home._engine._loaded.live)
    gc.collect()
    gc.disable()
    try:
        home.promote(new)
        home.recommend("u1")
        assert left() is None
    finally:
        gc.enable()


def test_what_is_remembered_to_warm_bundles_is_bounded_and_forgets_users() -> None:
    recent = RecentQueries()
    queries = [Query(request_id="", at=1.0, user_id=f"u{n}", context={"secret": "x"}) for n in range(EVERY * KEPT * 2)]
    for query in queries:
        recent.served(query, None)  # type: ignore[arg-type]
    recent.served(Query(request_id="", at=1.0, exclude=frozenset(map(str, range(1000)))), None)  # type: ignore[arg-type]
    asked: list[Query] = []
    assert recent.replay(asked.append, at=5.0) == KEPT
    assert {(query.at, len(query.context)) for query in asked} == {(5.0, 0)}
    recent.forget(lambda user: user == asked[0].user_id)
    assert recent.replay(lambda query: None, at=6.0) == KEPT - 1


def test_a_user_forgotten_in_one_process_is_forgotten_in_what_the_others_keep(home: Home) -> None:
    with Home(home.path) as other:
        for _ in range(EVERY):
            other.recommend("u3")
        assert any(query.user_id == "u3" for query in other._engine.recent._queries)
        removed = home.delete_user("u3").version
        assert other._impressions.flush()
        other.recommend("u9")
        assert all(query.user_id != "u3" for query in other._engine.recent._queries)
        later = [s.event for s in home._log.read(removed)]
        assert [event for event in later if getattr(event, "user_id", "") == "u3"] == [], "no impression follows"
        home.record(Interaction(user_id="u3", item_id="c1-1", action="click", at=home.clock.now()))
