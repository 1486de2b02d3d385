"""Published layouts, small and written here, and the real sets where they lie beside the repository."""

import time
from pathlib import Path
from typing import Any

import pytest

from slatewise.datasets import read_folder, read_lightgcn, read_movielens
from slatewise.domain.errors import InputError

SHARED = Path(__file__).parents[2] / ".." / "shared" / "datasets"
GIVEN: dict[str, Any] = {
    "default_action": "interaction",
    "actions": ("interaction",),
    "now": 1_700_000_000.0,
}


def real(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name} is not beside the repository")
    return folder


def test_movielens_100k_reads_genres_from_flags_and_users(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("1\t10\t4\t881250949\n2\t10\t3\t881250940\n")
    flags = "|".join("1" if n in (1, 5) else "0" for n in range(19))
    (tmp_path / "u.item").write_bytes(f"10|Café (1995)|01-Jan-1995||http://x|{flags}\n".encode("latin-1"))
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|05301\n")
    found = read_movielens(tmp_path)
    assert [(i.user_id, i.item_id, i.at, i.value, i.action) for i in found.interactions] == [
        ("2", "10", 881250940.0, 3.0, "interaction"),
        ("1", "10", 881250949.0, 4.0, "interaction"),
    ]
    (film,) = found.items
    assert (film.title, film.categories, film.attributes["year"]) == ("Café (1995)", ("Action", "Comedy"), 1995.0)
    assert dict(found.users[1].attributes) == {"age": 53.0, "gender": "F", "occupation": "other", "zip_code": "05301"}


def test_movielens_1m_reads_double_colons_in_latin_1(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::7::5::978300760\n")
    (tmp_path / "movies.dat").write_bytes("7::Les Misérables (1995)::Drama|Musical\n".encode("latin-1"))
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n")
    found = read_movielens(tmp_path)
    assert [(i.user_id, i.item_id, i.at, i.value) for i in found.interactions] == [("1", "7", 978300760.0, 5.0)]
    assert (found.items[0].title, found.items[0].categories) == ("Les Misérables (1995)", ("Drama", "Musical"))
    assert found.users[0].attributes["age"] == 1.0


def test_movielens_latest_reads_quoted_titles_and_the_commonest_tags(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,2.5,1260759144\n")
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n2,"Piano, The (1993)",Drama|Romance\n3,Odd,(no genres listed)\n'
    )
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,2,Sea,1\n1,2,mud,2\n2,2,MUD,3\n")
    found = read_movielens(tmp_path)
    piano, odd = found.items
    assert (piano.title, piano.categories) == ("Piano, The (1993)", ("Drama", "Romance"))
    assert dict(piano.attributes) == {"year": 1993.0, "tags": ("mud", "sea")}
    assert (odd.categories, dict(odd.attributes)) == ((), {})
    assert found.interactions[0].value == 2.5


def test_a_folder_of_no_known_layout_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"u\.data, ratings\.dat, ratings\.csv"):
        read_movielens(tmp_path)


def test_lightgcn_reads_users_with_their_items_and_no_order(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 5 6 7\n1\n2 5\n")
    (tmp_path / "test.txt").write_text("0 8 9\n1\n")
    train, test = read_lightgcn(tmp_path)
    assert sorted((i.user_id, i.item_id) for i in train.interactions) == [
        ("0", "5"),
        ("0", "6"),
        ("0", "7"),
        ("2", "5"),
    ]
    assert all(i.at is None and i.action == "interaction" for i in train.interactions)
    assert test == {"0": ["8", "9"]}


def test_lightgcn_without_a_test_file_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 5\n")
    with pytest.raises(InputError, match=r"test\.txt"):
        read_lightgcn(tmp_path)


def test_real_movielens_1m_reads_whole_and_fast() -> None:
    folder = real("ml1m")
    start = time.perf_counter()
    found = read_folder(folder, mapping={"timestamp": "position"}, **GIVEN)
    # Guards against reading gone quadratic; how fast it is depends on what else the machine does.
    assert time.perf_counter() - start < 60
    assert len(found.interactions) == 999_611
    assert len({i.user_id for i in found.interactions}) == len(found.users) == 6_040
    assert len({i.item_id for i in found.interactions}) == 3_416
    assert found.rejects == []
    assert len({i.event_id for i in found.interactions}) == 999_611
    assert found.items[0].attributes["genres"] == ("Animation", "Children's", "Comedy")
    assert all(isinstance(genres, tuple) for item in found.items if (genres := item.attributes.get("genres")))
    assert all(isinstance(user.attributes["zip"], str) for user in found.users)


def test_real_movielens_100k_reads_ratings_as_values() -> None:
    found = read_folder(real("ml100k"), mapping={"value": "rating"}, **GIVEN)
    assert len(found.interactions) == 100_000
    assert found.ignored == ()
    assert {i.value for i in found.interactions} == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert len(found.items) == 1_682
    assert len(found.users) == 943


def test_real_movielens_latest_reads_by_its_layout() -> None:
    found = read_movielens(real("ml-latest-small"))
    assert len(found.interactions) == 100_004
    assert found.rejects == []
    assert found.is_ordered
    assert next(item for item in found.items if item.item_id == "1").categories[:2] == ("Adventure", "Animation")


def test_real_gowalla_reads_train_and_test() -> None:
    train, test = read_lightgcn(real("gowalla"))
    assert len(train.interactions) == 810_128
    assert sum(len(items) for items in test.values()) == 217_242
    assert not train.is_ordered
