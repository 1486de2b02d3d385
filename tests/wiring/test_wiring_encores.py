"""An answer is given once more only while it is what an answer would be: every way in which it could lie, and twins."""

import shutil

import pytest

from slatewise.domain.events import Interaction, ItemChange
from slatewise.domain.query import Query
from slatewise.storage.log import SqliteEventLog
from slatewise.testing.worlds import START, batched, walkers
from slatewise.wiring.home import Home

NAME = b"/v1/recommendations/u1"
LINEAR = {"training.deep": "off"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A HOME with two bundles."""
    folder = tmp_path_factory.mktemp("encores") / "home"
    items, users, events = walkers(24, 3, 8)
    with Home(folder, settings=LINEAR) as home:
        home.put_items(items)
        home.put_users(users)
        for batch in batched(events, 1000):
            home.record(batch)
        home.train()
    with Home(folder, settings=LINEAR | {"training.lists": "off"}) as home:
        home.train()
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "home")


@pytest.fixture
def home(folder):
    with Home(folder) as home:
        assert home.live_bundle
        home.watch()
        yield home


@pytest.fixture
def other(folder, home):
    """Another process's view of the same HOME."""
    with Home(folder) as other:
        yield other


def ask(home, user="u1"):
    query = Query(request_id=home.new_request_id(), at=home.clock.now(), user_id=user, size=5)
    answer = home.answer(query)
    if answer.cached:
        home.encores.remember(NAME if user == "u1" else user.encode(), query)
    return answer


def settled(home, user="u1"):
    """Ask until the answer is known at once, and return its items."""
    for _ in range(4):
        answer = ask(home, user)
    found = found_at_once(home, NAME if user == "u1" else user.encode())
    assert found is not None
    assert [item.item_id for item in found.answer.items] == [item.item_id for item in answer.items]
    return [item.item_id for item in answer.items]


def found_at_once(home, name=NAME):
    found = home.encores.find(name)
    return None if found is None else found[0]


def acts(writer, shown):
    writer.record(Interaction(user_id="u1", item_id=shown[0], action="click", at=writer.clock.now()))


def bans(writer, shown):
    writer.put_items([ItemChange(at=writer.clock.now(), item_id=shown[0], available=False)])


def deletes(writer, shown):
    writer.delete_item(shown[0])


def erases(writer, shown):
    writer.delete_user("u1")


def describes(writer, shown):
    writer.put_users([walkers(2, 1, 2)[1][1]])


def launches(writer, shown):
    writer.put_items([ItemChange(at=writer.clock.now(), item_id="new", title="Item of kind0", categories=("kind0",))])


BY_OTHERS = [(write, "other") for write in (acts, bans, deletes, erases, describes, launches)]


@pytest.mark.parametrize(("write", "by"), [*BY_OTHERS, (acts, "home"), (erases, "home")])
def test_a_write_by_whichever_process_ends_it_before_it_is_acknowledged(home, other, write, by):
    shown = settled(home)
    write(home if by == "home" else other, shown)
    assert found_at_once(home) is None
    if write in (bans, deletes):
        assert shown[0] not in [item.item_id for item in ask(home).items]


@pytest.mark.parametrize("write", [acts, deletes])
def test_it_lies_where_nobody_looks_how_far_the_log_is(home, other, write, monkeypatch):
    shown = settled(home)
    monkeypatch.setattr(SqliteEventLog, "glance", lambda log: 0)
    home._engine._closing.set()  # nor may the watch look
    home._engine._watcher.join()
    write(other, shown)
    assert found_at_once(home) is not None, "the twin has to be found out"


def test_what_others_do_does_not_end_it_once_this_process_has_seen_it(home, other):
    shown = settled(home)
    other.record(Interaction(user_id="u2", item_id=shown[0], action="click", at=START))
    assert found_at_once(home) is None, "it might have been of this user"
    home.slate(Query(request_id="r", at=home.clock.now(), user_id="u3"))
    assert found_at_once(home) is not None


def test_a_promotion_by_another_process_ends_it_before_it_is_acknowledged(home, other):
    settled(home)
    before, after = found_at_once(home).answer.bundle, other.rollback()
    assert after != before
    assert found_at_once(home) is None
    settled(home)
    assert found_at_once(home).answer.bundle == after


def test_without_a_watch_for_promotions_nothing_is_known_at_once(folder):
    with Home(folder) as home:
        for _ in range(5):
            ask(home)
        assert found_at_once(home) is None


def test_each_time_counts_as_shown_under_its_own_request_id(home):
    settled(home)
    home._impressions.flush()
    shown_before = [impression for _, impression in home._log.impressions()]
    for number in range(3):
        found_at_once(home).told(f"again-{number}", 0.1)
    assert home._impressions.flush()
    told = [impression for _, impression in home._log.impressions()][len(shown_before) :]
    last = shown_before[-1]
    assert [impression.request_id for impression in told] == ["again-0", "again-1", "again-2"]
    for impression in told:
        assert (impression.user_id, impression.shown, impression.propensity) == ("u1", last.shown, last.propensity)
        assert impression.at >= last.at
    text = home.metrics.exposition().decode()
    assert 'slatewise_slates_served_total{cached="true"} 6.0' in text
    assert 'slatewise_stage_seconds_count{stage="total"} 7.0' in text


def test_an_erased_user_leaves_no_name_behind(home, other):
    settled(home)
    settled(home, "u2")
    other.delete_user("u2")
    ask(home, "u3")
    assert len(home.encores._asked) == len(home.encores._ready) == 0


def test_what_takes_more_than_a_look_is_never_remembered(home):
    home.encores.remember(b"long" * 1000, Query(request_id="r", at=0.0, user_id="u1"))
    home.encores.remember(b"where", Query(request_id="r", at=0.0, user_id="u1", where={"title": "x"}))
    assert len(home.encores._asked) == 0


def test_request_ids_are_drawn_once_each(home):
    ids = [home.new_request_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {len(i) for i in ids} == {24}
