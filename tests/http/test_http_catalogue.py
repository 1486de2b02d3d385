"""/v1/items and /v1/users."""

import pytest

ODD_IDS = ["a/b", "a%2Fb", "ü ß", "a?b#c", "a/similar", "similar", "..", "100%", "a//b", "/", "日本", "a+b", "a\nb"]


def put(call, *items):
    return call("PUT", "/v1/items", {"items": list(items)})


def encoded(item_id: str) -> str:
    return "".join(f"%{byte:02X}" for byte in item_id.encode())


def test_item_comes_back_as_it_was_put(call):
    item = {
        "item_id": "a",
        "title": "Red shoe",
        "categories": ["shoes", "red"],
        "attributes": {
            "price": 79.5,
            "sale": True,
            "brand": "Acme",
            "sizes": ["41", "42"],
            "embedding": [0.25, -1.0, 3e-9],
        },
        "available": False,
        "created_at": 1_700_000_000.0,
    }
    assert put(call, item).json() == {"accepted": 1, "duplicates": 0, "version": 1}
    told = call("GET", "/v1/items/a").json()
    assert told.pop("changed_at") > 1.6e9
    assert told == item


def test_flag_stays_a_flag_and_number_a_number(call, home):
    put(call, {"item_id": "a", "attributes": {"flag": True, "whole": 1}})
    assert home.items["a"].attributes["flag"] is True
    assert type(home.items["a"].attributes["whole"]) is float


def test_attribute_that_is_null_is_left_out(call, home):
    put(call, {"item_id": "a", "attributes": {"price": None, "brand": "Acme"}})
    assert home.items["a"].attributes == {"brand": "Acme"}


def test_list_of_numbers_is_a_vector_of_floats(call, home):
    put(call, {"item_id": "a", "attributes": {"one_hot": [0, 1, 0], "long": [0.5] * 4096}})
    assert home.items["a"].attributes == {"one_hot": (0.0, 1.0, 0.0), "long": (0.5,) * 4096}
    assert {type(number) for number in home.items["a"].attributes["one_hot"]} == {float}
    call("PUT", "/v1/users", {"users": [{"user_id": "u", "attributes": {"taste": [0.5, -1]}}]})
    assert call("GET", "/v1/users/u").json()["attributes"] == {"taste": [0.5, -1.0]}


ODD_VALUES = [{"deep": 1}, [1, "a"], ["a", 1], [True], [0.5] * 4097, [10**400], [["a"]], [None], "x" * 10_001]


@pytest.mark.parametrize("value", [*ODD_VALUES, ["a"] * 1_001, 10**400])
def test_attribute_of_no_known_kind_is_refused_by_field(call, value):
    answer = put(call, {"item_id": "a", "attributes": {"odd": value}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "items[0].attributes.odd"
    assert "a list of at most 4096 finite numbers" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("item_id", ODD_IDS)
def test_odd_item_id_survives_the_path(call, home, item_id):
    put(call, {"item_id": item_id}, {"item_id": "other"})
    assert call("GET", f"/v1/items/{encoded(item_id)}").json()["item_id"] == item_id
    similar = call("GET", f"/v1/items/{encoded(item_id)}/similar").json()
    assert similar["item_id"] == item_id
    assert [i["item_id"] for i in similar["items"]] == ["other"]
    assert call("DELETE", f"/v1/items/{encoded(item_id)}").status_code == 200
    assert item_id not in home.items
    assert "other" in home.items


def test_slash_in_an_item_id_may_stand_as_it_is(call):
    put(call, {"item_id": "a/b"})
    assert call("GET", "/v1/items/a/b").json()["item_id"] == "a/b"
    assert call("GET", "/v1/items/a/b/similar").status_code == 200


def test_path_that_is_not_utf_8_is_refused(call):
    answer = call("GET", "/v1/items/%ff")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "item_id"


def test_deleted_item_is_gone(call):
    put(call, {"item_id": "a"})
    assert call("DELETE", "/v1/items/a").status_code == 200
    assert call("GET", "/v1/items/a").status_code == 404
    assert call("DELETE", "/v1/items/a").status_code == 404


def test_similar_items_are_at_most_as_many_as_asked_for(call):
    put(call, *({"item_id": f"i{n}"} for n in range(5)))
    assert len(call("GET", "/v1/items/i0/similar?size=3").json()["items"]) == 3
    assert call("GET", "/v1/items/i0/similar?size=501").status_code == 422
    assert call("GET", "/v1/items/i0/similar?size=0").status_code == 422
    assert call("GET", "/v1/items/none/similar").status_code == 404


def test_user_comes_back_as_put_and_can_be_forgotten(call):
    call("PUT", "/v1/users", {"users": [{"user_id": "u/1", "attributes": {"age": 31}}]})
    told = call("GET", "/v1/users/u%2F1").json()
    assert told.pop("changed_at") > 1.6e9
    assert told == {"user_id": "u/1", "attributes": {"age": 31.0}}
    call("POST", "/v1/events", {"events": [{"user_id": "u/1", "item_id": "a"}]})
    exported = call("GET", "/v1/users/u%2F1/export").json()
    assert exported["attributes"] == {"age": 31.0}
    assert [done["item_id"] for done in exported["interactions"]] == ["a"]
    receipt = call("DELETE", "/v1/users/u%2F1").json()
    assert (receipt["version"], receipt["interactions"], receipt["entry"]) == (3, 1, "e1")
    assert receipt["bundles"] == ["b1", "b2", "broken"]
    assert call("GET", "/v1/users/u%2F1/export").status_code == 404
    assert call("GET", "/v1/users/u%2F1").status_code == 404
