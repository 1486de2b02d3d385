import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slatewise.domain.events import ItemChange
from slatewise.features.attributes import AttributeEncoder, AttributeSchema, describe, fit_schema

ITEMS = [
    {"title": f"{adjective} {noun} number {n}", "price": float(n), "colour": colour, "tags": (noun, adjective)}
    for n, (adjective, noun, colour) in enumerate(
        (a, b, c) for a in ("big", "small") for b in ("shoe", "hat", "coat") for c in ("red", "blue")
    )
]


def test_each_attribute_finds_its_kind() -> None:
    kinds = {field.name: field.kind for field in fit_schema(ITEMS).fields}
    assert kinds == {"title": "text", "price": "numeric", "colour": "categorical", "tags": "categorical"}


def test_tokens_lie_in_the_vocabulary_and_each_field_weighs_one() -> None:
    schema = fit_schema(ITEMS)
    bag = AttributeEncoder(schema).encode(ITEMS)
    assert bag.token.max() < schema.tokens
    assert ((bag.weight > 0) == (bag.token > 0)).all()
    np.testing.assert_allclose(bag.weight.sum(1), len(schema.fields), rtol=1e-5)


def test_alike_items_share_tokens_and_unlike_ones_do_not() -> None:
    bag = AttributeEncoder(fit_schema(ITEMS)).encode(ITEMS)
    tokens = [set(row[row > 0].tolist()) for row in bag.token]
    big_red_shoe, big_blue_shoe, small_blue_coat = tokens[0], tokens[1], tokens[-1]
    assert len(big_red_shoe & big_blue_shoe) > len(big_red_shoe & small_blue_coat)


def test_schema_survives_json_and_encodes_the_same() -> None:
    schema = fit_schema(ITEMS)
    again = msgspec.json.decode(msgspec.json.encode(schema), type=AttributeSchema)
    assert again == schema
    assert np.array_equal(AttributeEncoder(again).encode(ITEMS).token, AttributeEncoder(schema).encode(ITEMS).token)


def test_what_training_never_saw_is_ignored() -> None:
    encoder = AttributeEncoder(fit_schema(ITEMS))
    bag = encoder.encode([{"colour": "ultraviolet", "unheard": "of", "price": float("nan")}])
    assert not bag.token.any()
    assert bag.token.shape == (1, 1)


def test_no_entities_and_no_attributes_make_an_empty_schema() -> None:
    assert fit_schema([]).tokens == 1
    assert AttributeEncoder(fit_schema([{}, {}])).encode([{}, {}]).token.shape == (2, 1)
    assert AttributeEncoder(fit_schema([])).encode([]).token.shape == (0, 1)


def test_title_and_categories_are_attributes_too() -> None:
    item = ItemChange(at=0.0, item_id="a", title="T", categories=("x", "y"), attributes={"price": 2.0})
    assert describe(item) == {"title": "T", "categories": ("x", "y"), "price": 2.0}
    assert describe(None) == {}


values = st.one_of(
    st.text(max_size=20),
    st.floats(width=32),
    st.booleans(),
    st.lists(st.text(max_size=5), max_size=4).map(tuple),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3).map(tuple),
)


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), values, max_size=4), max_size=12))
def test_any_mixture_of_values_can_be_fitted_and_encoded(entities: list[dict[str, object]]) -> None:
    finite = [{k: v for k, v in e.items() if not (isinstance(v, float) and not np.isfinite(v))} for e in entities]
    schema = fit_schema(finite)  # type: ignore[arg-type]
    bag = AttributeEncoder(schema).encode(entities)  # type: ignore[arg-type]
    assert bag.token.shape == bag.weight.shape
    assert (bag.token < schema.tokens).all()
    assert np.isfinite(bag.weight).all()
