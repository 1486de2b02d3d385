"""Items and users: fields with a meaning, and the kind of every further column."""

from pathlib import Path
from typing import Any

import pytest

from slatewise.datasets import Dataset, read_folder
from slatewise.domain.events import AttributeValue

NOW = 1_700_000_000.0


def read(folder: Path, items: str = "", users: str = "", **changes: Any) -> Dataset:
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\nu,a,100\n")
    for name, text in (("items.csv", items), ("users.csv", users)):
        if text:
            (folder / name).write_text(text)
    given: dict[str, Any] = {"mapping": {}, "default_action": "click", "actions": ("click",), "now": NOW}
    return read_folder(folder, **given | changes)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2.5", "-3e2"], [1.0, 2.5, -300.0]),
        (["1", "", "3"], [1.0, None, 3.0]),
        (["1", "two", "3"], ["1", "two", "3"]),
        (["00501", "94043", "10001"], ["00501", "94043", "10001"]),
        (["0", "0.5", "10"], [0.0, 0.5, 10.0]),
        (["12345678901234567", "1", "2"], ["12345678901234567", "1", "2"]),
        (["a|b", "c", ""], [("a", "b"), ("c",), None]),
        (["1|2", "3", "4"], [("1", "2"), ("3",), ("4",)]),
        (["nan", "1", "2"], ["nan", "1", "2"]),
        (["", " ", ""], [None, None, None]),
        ([" red ", "blue", ""], ["red", "blue", None]),
    ],
)
def test_a_column_has_one_kind_for_all_its_values(
    tmp_path: Path, cells: list[str], values: list[AttributeValue | None]
) -> None:
    text = "item_id,it\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells))
    found = read(tmp_path, text).items
    assert [item.attributes.get("it") for item in found] == values
    assert [type(item.attributes.get("it")) for item in found] == [type(value) for value in values]
    assert all(("it" in item.attributes) == (value is not None) for item, value in zip(found, values, strict=True))


def test_items_have_their_fields_and_keep_the_rest_as_attributes(tmp_path: Path) -> None:
    rows = "a,Ä,x|y,no,1970-01-02,3\nb,,x,,,4\nc,C,,YES,0,5\n"
    one, two, three = read(tmp_path, "item_id,title,categories,available,created_at,price\n" + rows).items
    assert (one.title, one.categories, one.available, one.created_at) == ("Ä", ("x", "y"), False, 86_400.0)
    assert (two.title, two.categories, two.available, two.created_at) == (None, ("x",), True, None)
    assert (three.title, three.categories, three.available, three.created_at) == ("C", (), True, 0.0)
    assert [dict(item.attributes) for item in (one, two, three)] == [{"price": 3.0}, {"price": 4.0}, {"price": 5.0}]


def test_items_that_say_no_time_were_there_when_the_events_began(tmp_path: Path) -> None:
    found = read(tmp_path, "item_id\na\n", "user_id,age\nu,3\n")
    assert found.items[0].at == 100.0
    assert found.users[0].at == 100.0


def test_categories_are_a_tuple_even_where_none_holds_a_bar(tmp_path: Path) -> None:
    found = read(tmp_path, "item_id,genre\na,Drama\nb,\n", mapping={"categories": "genre"})
    assert [item.categories for item in found.items] == [("Drama",), ()]


def test_bad_items_are_refused_and_the_last_of_repeated_ids_counts(tmp_path: Path) -> None:
    rows = "a,1,perhaps\n,2,yes\nb,old,yes\nc,3,yes\nb,new,yes\n"
    found = read(tmp_path, "item_id,title,available\n" + rows)
    assert [(item.item_id, item.title) for item in found.items] == [("c", "3"), ("b", "new")]
    assert [(r.line, r.reason) for r in found.rejects] == [
        (2, "available is neither true nor false"),
        (3, "missing item_id"),
        (4, "repeated item_id: the last row counts"),
    ]


def test_users_keep_all_columns_as_attributes_by_the_name_asked_for(tmp_path: Path) -> None:
    found = read(tmp_path, users="user_id,age,zip\nu,20,00501\nv,,94043\n", mapping={"postcode": "zip"})
    assert [(user.user_id, dict(user.attributes)) for user in found.users] == [
        ("u", {"age": 20.0, "postcode": "00501"}),
        ("v", {"postcode": "94043"}),
    ]
