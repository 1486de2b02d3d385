import msgspec
import numpy as np
import pytest

from slatewise.domain.history import EMPTY_HISTORY, History
from slatewise.features.attributes import AttributeEncoder, fit_schema
from slatewise.features.content import LATELY, MOST_FIELDS, SLOTS, Content, ContentLayout

NOW = 1.7e9
ITEMS = [
    {"brand": "acme", "categories": ("shoes", "sport"), "price": 1.0, "title": "red running shoe"},
    {"brand": "acme", "categories": ("shoes", "city"), "price": 2.0, "title": "blue walking shoe"},
    {"brand": "bolt", "categories": ("hats", "sport"), "price": 3.0, "title": "red woollen hat"},
    {"brand": "bolt", "categories": ("hats", "city"), "price": 4.0, "title": "blue woollen hat"},
    {},
]
SCHEMA = fit_schema(ITEMS)
LAYOUT = ContentLayout.of(SCHEMA)
TOKENS = LAYOUT.pack(AttributeEncoder(SCHEMA).encode(ITEMS))


def read(history: History, rows: list[int]) -> dict[str, list[float]]:
    frame = Content(LAYOUT, lambda rows: TOKENS[rows]).read(history, np.array(rows, np.int64))
    return dict(zip(LAYOUT.names, frame.tolist(), strict=True))


def past(*rows: int) -> History:
    return History(np.array(rows), np.zeros(len(rows), np.int64), NOW - np.arange(len(rows), 0, -1.0))


def test_every_comparable_field_has_its_two_columns() -> None:
    assert {field.name: field.kind for field in LAYOUT.fields} == {
        "brand": "categorical",
        "categories": "categorical",
        "price": "numeric",
        "price_within_category": "numeric",
        "title": "text",
    }
    assert LAYOUT.names[:2] == ("share_brand", "lately_brand")
    assert {"level_price", "distance_price", "share_title", "lately_title"} <= set(LAYOUT.names)


def test_shares_count_the_history_that_has_the_candidates_values() -> None:
    values = read(past(0, 0, 1, 2), [1, 3])
    assert values["share_brand"] == pytest.approx([3 / 4, 1 / 4])
    assert values["share_categories"] == pytest.approx([(3 + 1) / 8, (1 + 1) / 8]), "the mean over its values"
    weight = LATELY ** np.array([3, 2, 1, 0])
    assert values["lately_brand"] == pytest.approx([weight[:3].sum() / weight.sum(), weight[3] / weight.sum()])


def test_numbers_are_compared_by_their_quantiles() -> None:
    values = read(past(0, 1), [0, 3])
    low, high = values["level_price"]
    assert low < high
    assert values["distance_price"][1] > 0 > values["distance_price"][0]
    assert values["distance_price"][1] - values["distance_price"][0] == pytest.approx(high - low)


def test_what_cannot_be_compared_is_missing_and_not_zero() -> None:
    values = read(past(0), [4])
    assert all(np.isnan(value[0]) for value in values.values()), "an item that says nothing"
    values = read(EMPTY_HISTORY, [0])
    assert np.isnan([values[name][0] for name in LAYOUT.names if name != "level_price"]).all()
    assert np.isfinite(values["level_price"][0]), "known without a history"
    assert np.isnan(read(past(4), [0])["distance_price"][0]), "a history that says nothing"
    assert read(past(4), [0])["share_brand"] == [0.0]


def test_a_candidates_values_do_not_depend_on_the_others() -> None:
    content, history = Content(LAYOUT, lambda rows: TOKENS[rows]), past(0, 1, 2, 1)
    whole = content.read(history, np.array([0, 1, 2, 3, 4]))
    for row in range(5):
        np.testing.assert_array_equal(content.read(history, np.array([row]))[:, 0], whole[:, row])


def test_fields_with_few_values_come_before_text_where_there_are_too_many() -> None:
    many = [{f"a{i}": v for i in range(MOST_FIELDS)} | {"words": f"{v} of {i} and more"} for i, v in enumerate("xyxy")]
    layout = ContentLayout.of(fit_schema(many))
    assert len(layout.fields) == MOST_FIELDS
    assert "words" not in {field.name for field in layout.fields}


def test_more_values_than_there_is_room_for_are_left_out() -> None:
    crowded = [{"tags": tuple("abcdefg")}, {"tags": tuple("abcdefg")}]
    schema = fit_schema(crowded)
    layout = ContentLayout.of(schema)
    assert layout.width == SLOTS["categorical"]
    assert (layout.pack(AttributeEncoder(schema).encode(crowded)) > 0).all()


def test_a_shop_without_attributes_has_no_columns() -> None:
    layout = ContentLayout.of(fit_schema([{}, {}]))
    assert layout.names == ()
    assert layout.width == 0
    tokens = layout.pack(AttributeEncoder(fit_schema([{}])).encode([{}, {}]))
    assert Content(layout, lambda rows: tokens[rows]).read(past(0, 1), np.array([0, 1])).shape == (0, 2)


def test_a_price_is_also_compared_within_its_narrowest_category() -> None:
    cheap = [{"categories": ("socks", "clothes"), "price": 1.0 + n} for n in range(8)]
    dear = [{"categories": ("coats", "clothes"), "price": 101.0 + n} for n in range(12)]
    lonely = [{"categories": ("hats",), "price": 50.0}, {"price": 3.0}]
    items = [*cheap, *dear, *lonely]
    layout = ContentLayout.of(fit_schema(items))
    tokens = layout.pack(AttributeEncoder(fit_schema(items)).encode(items))
    columns = Content(layout, lambda rows: tokens[rows]).read(past(7), np.arange(len(items)))
    level, distance = (
        dict(zip(layout.names, columns, strict=True))["level_price_within_category"],
        columns[layout.names.index("distance_price_within_category")],
    )
    assert (np.diff(level[:8]) >= 0).all()
    assert (np.diff(level[8:20]) >= 0).all()
    assert level[7] > level[8], "the dearest sock is dearer for a sock than the cheapest coat for a coat"
    assert level[:8].mean() == pytest.approx(level[8:20].mean(), abs=0.1)
    assert distance[7] == pytest.approx(0.0)
    assert distance[0] < 0.0
    assert np.isnan(level[20:]).all(), "of a category with one item, or of none, nothing is usual"


def test_a_schema_of_before_has_no_such_column() -> None:
    old = msgspec.structs.replace(SCHEMA, fields=tuple(msgspec.structs.replace(f, usual=None) for f in SCHEMA.fields))
    assert set(LAYOUT.names) - set(ContentLayout.of(old).names) == {
        "level_price_within_category",
        "distance_price_within_category",
    }
