"""DataFrames, Arrow tables and single files: the same rows as from a folder."""

import math
import string
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slatewise.datasets import Dataset, read_folder, read_frames
from slatewise.domain.errors import InputError
from slatewise.domain.events import Interaction

GIVEN: dict[str, Any] = {"mapping": {}, "default_action": "click", "actions": ("click", "buy"), "now": 1_700_000_000.0}


def read(*frames: Any, **changes: Any) -> Dataset:
    return read_frames(*frames, **GIVEN | changes)


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": [1, 2, None, 1],
            "item_id": pd.Categorical(["a", "b", "a", "b"]),
            "timestamp": pd.to_datetime(["2021-01-02", "2021-01-01", "2021-01-03", "2021-01-01"]),
            "value": [1.5, float("nan"), 2.0, math.inf],
        }
    )


def test_a_pandas_frame_reads_with_whole_ids_times_and_missing_values() -> None:
    found = read(frame())
    assert [(i.user_id, i.item_id, i.at, i.value) for i in found.interactions] == [
        ("2", "b", 1_609_459_200.0, 1.0),
        ("1", "a", 1_609_545_600.0, 1.5),
    ]
    assert [(r.file, r.line, r.reason) for r in found.rejects] == [
        ("interactions", 3, "missing user_id"),
        ("interactions", 4, "value is no finite number"),
    ]


def test_a_filtered_frame_leaves_no_column_of_its_index() -> None:
    whole = frame()
    odd = whole[whole["item_id"].isin(["a", "b"]) & whole["user_id"].notna()].iloc[[2, 0, 1]].iloc[1:]
    found = read(odd, odd.rename(columns={"value": "price"})[["item_id", "price"]])
    assert found.ignored == ()
    assert [dict(item.attributes) for item in found.items] == [{"price": 1.5}, {}]


def test_a_named_index_is_a_column() -> None:
    assert len(read(frame().set_index("user_id")).interactions) == 2


def test_a_pyarrow_table_and_anything_with_an_arrow_stream_read_alike() -> None:
    class Streamed:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pa.Table.from_pandas(frame()).__arrow_c_stream__(requested_schema)

    assert (
        read(Streamed()).interactions == read(pa.Table.from_pandas(frame())).interactions == read(frame()).interactions
    )


def test_view_strings_and_dictionaries_of_several_chunks_are_text() -> None:
    items = pa.table(
        {
            "item_id": pa.array(["a", "b"], pa.string_view()),
            "colour": pa.chunked_array([pa.array(["red"]).dictionary_encode(), pa.array(["blue"]).dictionary_encode()]),
        }
    )
    found = read(frame(), items)
    assert [dict(item.attributes) for item in found.items] == [{"colour": "red"}, {"colour": "blue"}]


def test_declared_types_are_kept_and_nested_values_become_text() -> None:
    items = pa.table(
        {
            "item_id": [1, 2],
            "tags": pa.array([["x", None, "y"], None]),
            "sku": ["007", "12"],
            "size": ["12", "13"],
            "is_new": [True, None],
            "day": pa.array([1, None], pa.date32()),
            "big": [2**60, 1],
            "more": pa.array([{"a": 1}, None]),
            "nothing": pa.nulls(2),
        }
    )
    one, two = read(frame(), items).items
    assert dict(one.attributes) == {
        "tags": ("x", "y"), "sku": "007", "size": "12", "is_new": True, "day": 86_400.0, "big": str(2**60),
        "more": '{"a":1}',
    }  # fmt: skip
    assert dict(two.attributes) == {"sku": "12", "size": "13", "big": "1"}


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.jsonl"])
def test_a_single_file_reads_by_its_path(tmp_path: Path, name: str) -> None:
    whole = frame().dropna().iloc[:1].astype({"user_id": int})
    path = tmp_path / name
    writers = {
        "rows.parquet": lambda: whole.to_parquet(path),
        "rows.csv": lambda: whole.to_csv(path, index=False),
        "rows.jsonl": lambda: whole.to_json(path, orient="records", lines=True, date_format="iso"),
    }
    writers[name]()
    found = read(path if name == "rows.csv" else str(path))
    assert [(i.user_id, i.item_id, i.at, i.value) for i in found.interactions] == [("1", "a", 1_609_545_600.0, 1.5)]


@pytest.mark.parametrize("wrong", [3, ["u"], "nowhere.csv", None])
def test_what_holds_no_rows_is_an_input_error(wrong: object) -> None:
    with pytest.raises(InputError):
        read(wrong)


def test_text_that_is_no_text_is_an_input_error() -> None:
    offsets = pa.array([0, 1], pa.int32()).buffers()[1]
    broken = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff")])
    with pytest.raises(InputError, match=r"interactions: got 'values that are not what .* UTF8"):
        read(pa.table({"user_id": ["u"], "item_id": broken}))


def test_strict_names_the_frame_and_the_row() -> None:
    with pytest.raises(InputError, match=r"interactions:3.*missing user_id"):
        read(frame(), strict=True)


def test_an_empty_frame_reads_as_nothing() -> None:
    found = read(frame().iloc[:0])
    assert (found.interactions, found.rejects, found.rows_read) == ([], [], 0)


IDS = st.text(string.ascii_letters + string.digits + ",\"; |'é漢", min_size=1, max_size=6).filter(
    lambda t: t == t.strip()
)
ROWS = st.lists(
    st.tuples(
        IDS,
        IDS,
        st.integers(0, 1_600_000_000),
        st.sampled_from(["click", "buy"]),
        st.floats(-1e9, 1e9, allow_nan=False),
        st.none() | IDS,
    ),
    max_size=12,
)


def said(events: list[Interaction]) -> list[tuple[object, ...]]:
    return [(e.user_id, e.item_id, e.at, e.action, e.value, e.request_id) for e in events]


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_a_written_table_reads_back_equal(rows: list[tuple[Any, ...]]) -> None:
    names = ("user_id", "item_id", "timestamp", "action", "value", "request_id")
    types = (pa.string(), pa.string(), pa.int64(), pa.string(), pa.float64(), pa.string())
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    table = pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})
    expected = [(u, i, float(at), a, v, r) for u, i, at, a, v, r in sorted(rows, key=lambda row: row[2])]
    results = [read(table)]
    with tempfile.TemporaryDirectory() as place:
        for ending, write in (("csv", pyarrow.csv.write_csv), ("parquet", pq.write_table)):
            folder = Path(place) / ending
            folder.mkdir()
            write(table, folder / f"interactions.{ending}")
            results.append(read_folder(folder, **GIVEN))
    for found in results:
        assert said(found.interactions) == expected
        assert found.rejects == []
        assert found.rows_read == len(rows)
        assert [e.event_id for e in found.interactions] == [e.event_id for e in results[0].interactions]
        assert len({e.event_id for e in found.interactions}) == len(rows)
