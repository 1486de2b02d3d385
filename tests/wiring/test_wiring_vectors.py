"""Precomputed vectors through the whole loop: told, trained on, served, and refused where they make no sense."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import slatewise
from slatewise.domain.errors import InputError
from slatewise.domain.events import ItemChange
from slatewise.testing.worlds import walkers
from slatewise.wiring.home import Home

SETTINGS = {"training.deep": "off", "training.dim": 16, "reranking.cap_attribute": "embedding", "reranking.cap": 2}
RNG = np.random.default_rng(1)
KINDS = RNG.standard_normal((8, 64))


def embedding(kind: int) -> tuple[float, ...]:
    return tuple((KINDS[kind] + 0.5 * RNG.standard_normal(64)).tolist())


def new_item(item_id: str, vector: object) -> ItemChange:
    return ItemChange(at=1.0, item_id=item_id, attributes={"embedding": vector})  # type: ignore[dict-item]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose items say nothing of themselves but a vector."""
    items, users, events = walkers(users=60, steps=15)
    with slatewise.open(tmp_path_factory.mktemp("vectors") / "home", settings=SETTINGS) as home:
        home.put_items([replace(new_item(i.item_id, embedding(int(i.item_id[1]))), at=i.at) for i in items])
        home.put_users(users)
        home.record(events)
        home.train()
        yield home


def test_an_unseen_item_with_nothing_but_a_vector_is_like_the_items_of_its_kind(home: Home) -> None:
    for kind in range(8):
        home.put_items([new_item(f"new-{kind}", embedding(kind))])
        near = [found.item_id for found in home.similar(f"new-{kind}", 5)]
        assert sum(item_id.startswith(f"c{kind}-") for item_id in near) >= 4


def test_the_cap_finds_nothing_to_cap_in_vectors_and_the_slate_is_whole(home: Home) -> None:
    answer = home.recommend("u1", size=10)
    assert (len(answer.items), answer.degraded) == (10, ())


@pytest.mark.parametrize("condition", [0.5, (0.5, 1.0), {"ne": 1.0}])
def test_a_condition_on_vectors_is_refused(home: Home, condition: object) -> None:
    with pytest.raises(InputError, match=r"where\.embedding.*holds vectors"):
        home.recommend("u1", where={"embedding": condition})  # type: ignore[dict-item]


def test_a_mixed_list_is_refused_by_name_and_nothing_is_stored(home: Home) -> None:
    before = home.version
    with pytest.raises(InputError, match=r"events\[1\]\.attributes\.embedding: got \(0.1, 'a'\), expected a list"):
        home.put_items([new_item("sound", (0.1, 0.2)), new_item("mixed", (0.1, "a"))])
    assert home.version == before


def test_vectors_of_any_size_and_length_leave_the_answers_sound(home: Home) -> None:
    home.put_items([new_item("far", (1e300,) * 64), new_item("short", (0.1, 0.2))])
    assert home.item("far").attributes["embedding"] == (1e300,) * 64
    assert home.recommend("u1", size=10).degraded == ()
    assert len(home.similar("far", 5)) == 5


def test_an_import_keeps_vectors_and_counts_those_with_holes(home: Home, tmp_path: Path) -> None:
    clicks = pd.DataFrame({"user_id": ["u1"], "item_id": ["whole"], "timestamp": [1_700_000_000]})
    items = pd.DataFrame({"item_id": ["whole", "holed"], "embedding": [np.ones(64) / 4, np.full(64, np.nan)]})
    items.to_parquet(tmp_path / "items.parquet")
    report = home.import_data(clicks, items=tmp_path / "items.parquet")
    assert report.items == 1
    assert home.item("whole").attributes["embedding"] == (0.25,) * 64
    assert report.rejected == {"embedding is a vector with a number that is missing or not finite": 1}
