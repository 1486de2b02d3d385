import numpy as np
import pytest

from slatewise.domain.errors import InputError
from slatewise.domain.query import PastAction, Query
from slatewise.domain.settings import FilteringSettings, ServingSettings, Settings, StorageSettings
from slatewise.serving.resolve import QueryResolver
from slatewise.testing.small_shop import DIM, NOW, SmallShop


def resolver(shop, **changes):
    parts = {"encode_user": shop.encode_user, "dim": DIM, "folded": shop.folded}
    return QueryResolver(settings=shop.settings, catalogue=shop.catalogue, users=shop.users, **{**parts, **changes})


def resolve(shop, **asked):
    return resolver(shop).resolve(Query(request_id="r", at=NOW, **asked))


def test_a_known_user_brings_history_seen_and_version():
    shop = SmallShop()
    shop.record("ann", "i3")
    shop.record("ann", "i4", "view")
    resolution = resolve(shop, user_id="ann")
    user = resolution.resolved.user
    assert user.history.row.tolist() == [3, 4]
    assert resolution.resolved.blocked.tolist() == [3]
    assert user.version == resolution.version == shop.offset
    assert resolution.is_settled


def test_an_unknown_or_missing_user_is_anonymous():
    shop = SmallShop()
    for user_id in (None, "nobody"):
        resolved = resolve(shop, user_id=user_id).resolved
        assert len(resolved.user.history) == 0
        assert resolved.user.version == 0
        assert resolved.blocked.size == 0


def test_a_given_history_replaces_the_stored_one_but_not_the_attributes():
    shop = SmallShop()
    shop.record("ann", "i3")
    object.__setattr__(shop.users.states["ann"], "attributes", {"age": 30.0})
    resolved = resolve(shop, user_id="ann", history=(PastAction(item_id="i8"),)).resolved
    assert resolved.user.history.row.tolist() == [8]
    assert resolved.blocked.tolist() == [8]
    assert resolved.user.attributes == {"age": 30.0}


def test_unknown_items_of_a_given_history_are_skipped_and_counted():
    shop = SmallShop()
    steps = (PastAction(item_id="gone"), PastAction(item_id="i2", action="view", at=5.0), PastAction(item_id="x"))
    resolution = resolve(shop, history=steps)
    assert resolution.resolved.user.history.row.tolist() == [2]
    assert resolution.resolved.user.history.at.tolist() == [5.0]
    assert resolution.unknown_items == 2


def test_seen_counts_the_whole_given_history_even_where_the_tower_reads_less():
    shop = SmallShop(settings=Settings(storage=StorageSettings(history_length=2)))
    steps = tuple(PastAction(item_id=f"i{i}", action="view" if i == 1 else None) for i in range(5))
    resolved = resolve(shop, history=steps).resolved
    assert resolved.user.history.row.tolist() == [3, 4]
    assert resolved.blocked.tolist() == [0, 2, 3, 4]


def test_an_empty_given_history_is_nobody_in_particular():
    shop = SmallShop()
    shop.record("ann", "i3")
    resolved = resolve(shop, user_id="ann", history=()).resolved
    assert len(resolved.user.history) == 0
    assert resolved.blocked.size == 0


def test_a_given_vector_wins_and_is_brought_to_unit_length():
    shop = SmallShop()
    shop.record("ann", "i3")
    resolving = resolver(shop)
    resolved = resolving.resolve(Query(request_id="r", at=NOW, user_id="ann", vector=(0.0, 3.0, 0.0, 4.0))).resolved
    assert resolving.encoded(resolved).vector[0].tolist() == pytest.approx([0, 0.6, 0, 0.8])
    assert resolved.blocked.tolist() == [3]


def test_without_a_given_vector_the_tower_reads_history_attributes_and_context():
    shop = SmallShop()
    shop.record("ann", "i3")
    read = []
    resolving = resolver(shop, encode_user=lambda *inputs: read.append(inputs))
    resolved = resolving.resolve(Query(request_id="r", at=NOW, user_id="ann", context={"page": "home"})).resolved
    assert resolving.encoded(resolved).vector is None
    history, attributes, context = read[0]
    assert history.row.tolist() == [3]
    assert (attributes, context) == ({}, {"page": "home"})


def test_excluded_items_are_blocked_and_unknown_ones_do_no_harm():
    shop = SmallShop()
    shop.record("ann", "i9")
    resolved = resolve(shop, user_id="ann", exclude=frozenset({"i5", "nothing", "i9"})).resolved
    assert resolved.blocked.tolist() == [5, 9]


def test_seen_items_are_not_blocked_where_settings_say_so():
    shop = SmallShop(settings=Settings(filtering=FilteringSettings(seen=False)))
    shop.record("ann", "i9")
    assert resolve(shop, user_id="ann", exclude=frozenset({"i5"})).resolved.blocked.tolist() == [5]


def test_everybody_is_allowed_only_while_all_are_available_and_nothing_is_asked():
    shop = SmallShop(items=8)
    resolving = resolver(shop)
    ask = Query(request_id="r", at=NOW)
    assert resolving.resolve(ask).resolved.allow is None
    shop.remove("i2")
    assert np.flatnonzero(~resolving.resolve(ask).resolved.allow).tolist() == [2]
    where = Query(request_id="r", at=NOW, where={"categories": "c2"})
    assert np.flatnonzero(resolving.resolve(where).resolved.allow).tolist() == [6]
    shop.put("i6", available=False, categories=("c2",))
    assert not resolving.resolve(where).resolved.allow.any()


def test_a_resolution_is_unsettled_while_a_view_runs_ahead_of_the_others():
    shop = SmallShop()
    resolving = resolver(shop, folded=lambda: shop.offset - 1)
    assert not resolving.resolve(Query(request_id="r", at=NOW)).is_settled


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("size", {"size": 0}),
        ("size", {"size": 21}),
        ("size", {"size": True}),
        ("size", {"size": 2.5}),
        ("vector", {"vector": (1.0, 2.0)}),
        ("vector", {"vector": ()}),
        ("vector", {"vector": (0.0,) * DIM}),
        ("vector", {"vector": (1.0, float("nan"), 0.0, 0.0)}),
        ("vector", {"vector": (1.0, float("inf"), 0.0, 0.0)}),
        ("deadline_ms", {"deadline_ms": 0.0}),
        ("deadline_ms", {"deadline_ms": float("nan")}),
        ("history[1].action", {"history": (PastAction(item_id="i1"), PastAction(item_id="i1", action="stare"))}),
        ("where", {"where": {"colour": "red"}}),
        ("context.page", {"context": {"page": (0.5, 1.0)}}),
        ("context.device", {"context": {"device": None}}),
        ("context", {"context": {f"c{i}": 1.0 for i in range(101)}}),
        ("weights", {"weights": {"stare": 1.0}}),
        ("weights", {"weights": ("click",)}),
        ("weights.click", {"weights": {"click": float("nan")}}),
        ("weights.click", {"weights": {"click": "2"}}),
        ("weights.click", {"weights": {"click": True}}),
        ("weights.click", {"weights": {"click": -1.1e6}}),
        ("weights.click", {"weights": {"click": 10**400}}),
        ("weights", {"weights": dict.fromkeys(Settings().action_names, 0)}),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(field, asked):
    shop = SmallShop(settings=Settings(serving=ServingSettings(max_size=20)))
    with pytest.raises(InputError) as refused:
        resolve(shop, **asked)
    assert refused.value.field == field


def test_a_vector_is_refused_where_the_bundle_has_none():
    shop = SmallShop()
    with pytest.raises(InputError, match="no vectors"):
        resolver(shop, dim=None).resolve(Query(request_id="r", at=NOW, vector=(1.0,)))
