import numpy as np
import pytest

from slatewise.domain.errors import InputError, NotFound
from slatewise.serving.similar import SimilarItems
from slatewise.testing.small_shop import SmallShop, item_vectors


def similar_items(shop, vectors=item_vectors):
    return SimilarItems(index=shop.index, vectors=vectors, state=shop.state, catalogue=shop.catalogue, max_size=50)


def test_similar_items_are_the_nearest_without_the_item_itself():
    shop = SmallShop()
    found = similar_items(shop).similar("i7", 5)
    rows = shop.catalogue.rows([item.item_id for item in found])
    likeness = item_vectors(np.arange(40)) @ item_vectors(np.array([7]))[0]
    likeness[7] = -2
    assert rows.tolist() == np.argsort(-likeness)[:5].tolist()
    assert [item.position for item in found] == [0, 1, 2, 3, 4]
    assert {item.source for item in found} == {"two_tower"}


def test_similar_items_are_available_ones():
    shop = SmallShop()
    best = similar_items(shop).similar("i7", 1)[0].item_id
    shop.put(best, available=False)
    assert best not in [item.item_id for item in similar_items(shop).similar("i7", 30)]


@pytest.mark.parametrize("missing", [0.0, np.nan])
def test_an_item_without_a_vector_is_like_what_follows_it(missing):
    shop = SmallShop()
    shop.remove("i8")
    found = similar_items(shop, lambda rows: np.full((rows.size, 4), missing, np.float32)).similar("i7", 5)
    assert [item.item_id for item in found] == ["i6", "i9"]
    assert {item.source for item in found} == {"item_to_item"}


def test_similar_fills_up_with_what_follows_where_the_index_is_short():
    shop = SmallShop()
    shop.index.remove(np.arange(3, 40))
    found = similar_items(shop).similar("i7", 5)
    assert {item.item_id for item in found} == {"i0", "i1", "i2", "i6", "i8"}


def test_similar_of_an_unknown_or_removed_item_is_not_found():
    shop = SmallShop()
    shop.remove("i7")
    for item_id in ("nothing", "i7"):
        with pytest.raises(NotFound):
            similar_items(shop).similar(item_id, 5)


@pytest.mark.parametrize("size", [0, 51, True])
def test_similar_refuses_a_size_out_of_range(size):
    with pytest.raises(InputError):
        similar_items(SmallShop()).similar("i7", size)
