"""Columns of precomputed vectors, in every form that a file or a frame gives them."""

import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slatewise.datasets import Dataset, read_folder, read_frames
from slatewise.datasets.shop import write_shop
from slatewise.domain.events import ItemChange

GIVEN: dict[str, Any] = {"mapping": {}, "default_action": "click", "actions": ("click",), "now": 1_700_000_000.0}
VECTORS = [(0.1, -2.0, 3e-7), None, (1.0, 0.5, 0.0)]


def read(items: Any) -> list[Any]:
    """Return what each item has under the name v, as text where that tells NaN apart."""
    clicks = {"user_id": ["u"], "item_id": ["a"], "timestamp": [100.0]}
    return [item.attributes.get("v") for item in read_frames(clicks, items, **GIVEN).items]


def lines(path: Path, cells: list[Any]) -> Path:
    path.write_text("".join(json.dumps({"item_id": str(n), "v": cell}) + "\n" for n, cell in enumerate(cells)))
    return path


def rows(path: Path, cells: list[str]) -> Path:
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([("item_id", "v"), *enumerate(cells)])
    return path


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_file_s_lists_of_numbers_are_vectors(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"items.{ending}"
    if ending == "csv":
        rows(path, ["" if vector is None else json.dumps(vector) for vector in VECTORS])
    elif ending == "jsonl":
        lines(path, VECTORS)
    else:
        pq.write_table(pa.table({"item_id": ["0", "1", "2"], "v": VECTORS}), path)
    assert read(path) == VECTORS


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.large_list(pa.float64()), pa.list_(pa.float64(), 3), pa.list_(pa.float16())]
)
def test_every_kind_of_arrow_list_reads_alike_in_pieces_and_with_gaps(kind: pa.DataType) -> None:
    whole = [(1.5, -2.0, 0.25), None, (1.0, 0.5, 0.0), (8.0, 0.0, 1.0)]
    column = pa.chunked_array([pa.array(whole[:2], kind), pa.array(whole[1:3], kind), pa.array(whole, kind)])
    table = pa.table({"item_id": [str(n) for n in range(8)], "v": column})
    assert read(table) == [*whole[:2], *whole[1:3], *whole]
    assert read(table.slice(2, 3)) == [None, whole[2], whole[0]]


@pytest.mark.parametrize("of", [list, np.array, lambda v: np.array(v, np.float32)])
def test_a_pandas_frame_may_hold_lists_or_arrays(of: Any) -> None:
    frame = pd.DataFrame({"item_id": ["0", "1", "2"], "v": [None if v is None else of(v) for v in VECTORS]})
    for found, vector in zip(read(frame), VECTORS, strict=True):
        assert found == (None if vector is None else pytest.approx(vector, rel=1e-6))
        assert found is None or {type(number) for number in found} == {float}


def test_lists_of_whole_numbers_are_codes_unless_one_has_a_point(tmp_path: Path) -> None:
    assert read(lines(tmp_path / "a.jsonl", [[28, 12], [12]])) == [("28", "12"), ("12",)]
    assert read(lines(tmp_path / "b.jsonl", [[28, 12], [0.5, 1], []])) == [(28.0, 12.0), (0.5, 1.0), None]
    assert read(rows(tmp_path / "c.csv", ["[28, 12]", "[12]"])) == ["[28, 12]", "[12]"]
    assert read(pa.table({"item_id": ["a"], "v": pa.array([[28, 12]])})) == [("28", "12")]


@pytest.mark.parametrize("odd", [[0.1, "a"], ["a"], "a", 3.0, [True], [[0.1]], {"a": 1}, [10**400]])
def test_a_json_column_that_holds_anything_else_is_none_of_vectors(tmp_path: Path, odd: Any) -> None:
    found = read(lines(tmp_path / "items.jsonl", [[0.1, 0.2], odd]))
    assert found[0] == ("0.1", "0.2") or found[0] == "[0.1,0.2]"


@pytest.mark.parametrize("odd", ["red", "[0.1, 0.2", "[0.1, red]", "[[0.1]]", "[" * 100_000, "0.1"])
def test_a_text_column_that_holds_anything_else_stays_text(tmp_path: Path, odd: str) -> None:
    assert read(rows(tmp_path / "items.csv", ["[0.1, 0.2]", odd])) == ["[0.1, 0.2]", odd]


def test_a_row_whose_vector_has_a_hole_is_refused_by_the_name_of_the_column(tmp_path: Path) -> None:
    clicks = {"user_id": ["u"], "item_id": ["a"], "timestamp": [100.0]}
    for source in (
        rows(tmp_path / "a.csv", ["[0.1, null]", "[NaN, 0.2]", "[Infinity, 1]"]),
        pa.table({"item_id": ["0", "1", "2"], "v": [[0.1, None], [math.nan, 0.2], [math.inf, 1.0]]}),
        lines(tmp_path / "b.jsonl", [[0.1, None], [None, 0.2], [None, 1.0]]),
    ):
        items = read_frames(clicks, source, **GIVEN)
        reason = "v is a vector with a number that is missing or not finite"
        assert [(found.reason, found.line - items.rejects[0].line) for found in items.rejects] == [
            (reason, 0), (reason, 1), (reason, 2),
        ]  # fmt: skip
        assert items.items == []
    users = read_frames(clicks, users={"user_id": ["u", "v"], "taste": [[0.5, None], [0.5, 1.0]]}, **GIVEN)
    assert [(user.user_id, dict(user.attributes)) for user in users.users] == [("v", {"taste": (0.5, 1.0)})]


def test_a_written_vector_reads_back_equal(tmp_path: Path) -> None:
    clicks = {"user_id": ["u"], "item_id": ["a"], "timestamp": [100.0]}
    items = [
        ItemChange(at=100.0, item_id=str(n), attributes={} if vector is None else {"v": vector})
        for n, vector in enumerate(VECTORS)
    ]
    whole: Dataset = dataclasses.replace(read_frames(clicks, **GIVEN), items=items)
    write_shop(whole, tmp_path / "shop")
    assert read_folder(tmp_path / "shop", **GIVEN).items == items
