"""Folders of tables: what is read, in which order, and what is refused with which line."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slatewise.datasets import Dataset, Reject, read_folder, write_rejects
from slatewise.datasets.shop import write_shop
from slatewise.domain.errors import InputError
from slatewise.domain.events import Impression, Interaction

NOW = 1_700_000_000.0
ACTIONS = ("click", "buy")


def read(folder: Path, **changes: Any) -> Dataset:
    given: dict[str, Any] = {"mapping": {}, "default_action": "click", "actions": ACTIONS, "now": NOW}
    return read_folder(folder, **given | changes)


def write(folder: Path, name: str, text: str | bytes) -> None:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def reasons(found: Dataset) -> list[tuple[int, str]]:
    return [(reject.line, reject.reason) for reject in found.rejects]


ROWS = [("u1", "a", 30, "buy", 2.5, "r1"), ("u2", "b", 10, None, None, None), ("u1", "c", 20, "click", 1.0, None)]
NAMES = ("user_id", "item_id", "timestamp", "action", "value", "request_id")


def as_csv() -> bytes:
    lines = [",".join(NAMES), *(",".join("" if v is None else str(v) for v in row) for row in ROWS)]
    return ("\n".join(lines) + "\n").encode()


def as_jsonl() -> bytes:
    return "\n".join(
        json.dumps({n: v for n, v in zip(NAMES, row, strict=True) if v is not None}) for row in ROWS
    ).encode()


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({n: list(c) for n, c in zip(NAMES, zip(*ROWS, strict=True), strict=True)}), path)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_every_format_reads_the_same_interactions_in_time_order(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"interactions.{ending}"
    if ending == "parquet":
        write_parquet(path)
    else:
        content = as_csv() if ending.startswith("csv") else as_jsonl()
        path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    found = read(tmp_path)
    assert [(i.user_id, i.item_id, i.at, i.action, i.value, i.request_id) for i in found.interactions] == [
        ("u2", "b", 10.0, "click", 1.0, None),
        ("u1", "c", 20.0, "click", 1.0, None),
        ("u1", "a", 30.0, "buy", 2.5, "r1"),
    ]
    assert found.rows_read == 3
    assert found.rejects == []


def test_bad_rows_are_refused_with_their_line_and_reason_and_stop_nothing(tmp_path: Path) -> None:
    rows = [
        "user_id,item_id,timestamp,action,value",  # line 1
        "u,a,5,click,1",
        "",  # line 3: blank lines count as lines
        ",a,5,click,1",
        "u,,5,click,1",
        "u,a,soon,click,1",
        "u,a,-1,click,1",
        f"u,a,{int(NOW) + 90_000},click,1",
        "u,a,5,hover,1",
        "u,a,5,click,inf",
        "u,a,5",
        "u,a,6,click,1,extra",
        '"x\ny",a,6,click,1',  # lines 13 and 14
        "u,b,6,click,1",
        "u,a,6,click,lots",  # line 16
    ]
    write(tmp_path, "interactions.csv", "\n".join(rows).encode() + b"\n\xff,b,7,click,1\n")
    found = read(tmp_path)
    assert [i.item_id for i in found.interactions] == ["a", "b"]
    assert reasons(found) == [
        (4, "missing user_id"),
        (5, "missing item_id"),
        (6, "timestamp is no time"),
        (7, "timestamp is negative"),
        (8, "timestamp lies in the future"),
        (9, "action is none of click, buy"),
        (10, "value is no finite number"),
        (11, "wrong number of columns: 3, not 5"),
        (12, "wrong number of columns: 6, not 5"),
        (13, "line break in user_id"),
        (16, "value is no finite number"),
        (17, "not UTF-8"),
    ]
    assert found.rejects[2] == Reject("interactions.csv", 6, "timestamp is no time", "u,a,soon,click,1")
    assert found.rows_read == 14
    assert "12 of 14 rows refused" in found.summary()


def test_invalid_json_lines_are_refused_with_their_line(tmp_path: Path) -> None:
    write(tmp_path, "interactions.jsonl", '{"user_id":1,"item_id":"a"}\n{oops\n\n[1]\n{"user_id":2,"item_id":"b"}\n')
    found = read(tmp_path)
    assert sorted(i.user_id for i in found.interactions) == ["1", "2"]
    assert reasons(found) == [(2, "invalid JSON"), (4, "not a JSON object")]


def test_strict_stops_at_the_first_bad_row_and_names_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id\nu,a\n,b\nu,\n")
    with pytest.raises(InputError, match=r"interactions\.csv:3.*missing user_id"):
        read(tmp_path, strict=True)


def test_strict_stops_at_a_bad_item_too(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id\nu,a\n")
    write(tmp_path, "items.csv", "item_id,title\na,A\n,B\n")
    with pytest.raises(InputError, match=r"items\.csv:3.*missing item_id"):
        read(tmp_path, strict=True)


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
def test_the_unit_of_a_time_is_told_by_its_size(tmp_path: Path, factor: int) -> None:
    write(tmp_path, "interactions.csv", f"user_id,item_id,timestamp\nu,a,{1_600_000_000 * factor}\nu,b,0\n")
    assert [i.at for i in read(tmp_path).interactions] == [0.0, 1_600_000_000.0]
    write(tmp_path, "interactions.csv", f"user_id,item_id,timestamp\nu,a,{1_600_000_000 * factor}\n")
    assert [i.at for i in read(tmp_path).interactions] == [1_600_000_000.0]


def test_iso_times_are_utc_unless_they_name_a_zone(tmp_path: Path) -> None:
    rows = "u,a,1970-01-02\nu,b,1970-01-02T00:00:01Z\nu,c,1970-01-02 02:00:02+02:00\nu,d,1970-01-02T00:00:03.5\n"
    write(tmp_path, "interactions.csv", "user_id,item_id,timestamp\n" + rows)
    assert [i.at for i in read(tmp_path).interactions] == [86_400.0, 86_401.0, 86_402.0, 86_403.5]


def test_positions_mapped_to_the_timestamp_are_plain_seconds(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id,position\nu,b,1\nv,c,0\nu,a,0\n")
    found = read(tmp_path, mapping={"timestamp": "position"})
    assert [(i.item_id, i.at) for i in found.interactions] == [("c", 0.0), ("a", 0.0), ("b", 1.0)]


def test_equal_times_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = "".join(f"u,i{n},{n % 3}\n" for n in range(300))
    write(tmp_path, "interactions.csv", "user_id,item_id,timestamp\n" + rows)
    expected = [f"i{n}" for third in range(3) for n in range(300) if n % 3 == third]
    assert [i.item_id for i in read(tmp_path).interactions] == expected


def test_lines_are_right_below_a_refused_row_of_several_lines(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", 'user_id,item_id\n"u\nv",a,odd\nu,b\n,c\n')
    assert reasons(read(tmp_path)) == [(2, "wrong number of columns: 3, not 2"), (5, "missing user_id")]


def test_rows_without_a_time_come_first_where_others_have_one(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id,timestamp\nu,a,9\nu,b,\nu,c,3\n")
    assert [(i.item_id, i.at) for i in read(tmp_path).interactions] == [("b", None), ("c", 3.0), ("a", 9.0)]


def test_unordered_rows_are_shuffled_the_same_way_each_time(tmp_path: Path) -> None:
    items = [f"i{n}" for n in range(200)]
    write(tmp_path, "interactions.csv", "user_id,item_id\n" + "".join(f"u,{item}\n" for item in items))
    once, again = ([i.item_id for i in read(tmp_path).interactions] for _ in range(2))
    assert once == again
    assert once != items
    assert sorted(once) == sorted(items)
    assert not read(tmp_path).is_ordered


def test_the_same_rows_have_the_same_event_ids_in_any_order_and_repeats_are_told_apart(tmp_path: Path) -> None:
    rows = ["u,a,5\n", "u,a,5\n", "u,b,5\n", "u,a,6\n"]
    ids = []
    for order in (rows, rows[::-1]):
        write(tmp_path, "interactions.csv", "user_id,item_id,timestamp\n" + "".join(order))
        ids.append({i.event_id for i in read(tmp_path).interactions})
    assert ids[0] == ids[1]
    assert len(ids[0]) == 4
    assert all(each is not None and each.startswith("imp:") for each in ids[0])


def test_impressions_are_one_slate_per_request_by_position_in_time_order(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id,position\nu,a,0\n")
    shown = "r2,u,x,1,50\nr2,u,y,0,50\nr1,v,z,0,40\n,u,x,0,40\nr3,u,x,first,40\nr4,u,x,0,\n"
    write(tmp_path, "impressions.csv", "request_id,user_id,item_id,position,timestamp\n" + shown)
    found = read(tmp_path, mapping={"timestamp": "position"})
    assert [(s.request_id, s.user_id, s.at, s.shown) for s in found.impressions] == [
        ("r1", "v", 40.0, ("z",)),
        ("r2", "u", 50.0, ("y", "x")),
    ]
    assert reasons(found) == [(5, "missing request_id"), (6, "position is no number"), (7, "missing timestamp")]


def test_unknown_columns_of_interactions_are_named_as_ignored(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id,mood,rating\nu,a,fine,3\n")
    found = read(tmp_path, mapping={"value": "rating"})
    assert found.ignored == ("mood",)
    assert found.interactions[0].value == 3.0
    assert "mood" in found.summary()


def test_a_name_meant_for_items_takes_no_column_from_interactions(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id,timestamp\nu,a,5\n")
    write(tmp_path, "items.csv", "item_id,timestamp\na,3\n")
    found = read(tmp_path, mapping={"created_at": "timestamp"})
    assert found.interactions[0].at == 5.0
    assert found.items[0].created_at == 3.0


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"timestamp": "when"}, "interactions.csv has user_id, item_id, time"),
        ({"timestmap": "time"}, "one of our names before the =: .*timestamp"),
    ],
)
def test_a_mapping_that_cannot_be_meant_says_what_there_is(tmp_path: Path, mapping: dict[str, str], said: str) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id,time\nu,a,5\n")
    with pytest.raises(InputError, match=said):
        read(tmp_path, mapping=mapping)


def test_columns_can_trade_names_and_one_can_have_two(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id,n\nu,a,5\n")
    mapping = {"user_id": "item_id", "item_id": "user_id", "timestamp": "n", "value": "n"}
    (event,) = read(tmp_path, mapping=mapping).interactions
    assert (event.user_id, event.item_id, event.at, event.value) == ("a", "u", 5.0, 5.0)


def test_a_missing_column_says_which_there_are_and_how_to_map_one(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "userId,item_id\nu,a\n")
    with pytest.raises(InputError, match=r"no column user_id.*userId, item_id.*--map user_id=userId"):
        read(tmp_path)


def test_a_folder_without_interactions_says_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path, "ratings.csv", "user_id,item_id\n")
    with pytest.raises(InputError, match=r"a file interactions.*it holds ratings\.csv"):
        read(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["interactions.csv", "interactions.csv.gz", "interactions.parquet", "interactions.jsonl.gz"]
)
def test_a_broken_file_is_an_input_error_that_names_it(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, b"" if name == "interactions.csv" else b"\x00\x01 this is no such file")
    with pytest.raises(InputError, match=name):
        read(tmp_path)


def test_two_interactions_files_are_refused_rather_than_chosen_from(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", as_csv())
    write(tmp_path, "interactions.jsonl", as_jsonl())
    with pytest.raises(InputError, match="not several"):
        read(tmp_path)


def test_rejects_are_written_as_csv_that_reads_back(tmp_path: Path) -> None:
    rejects = [Reject("a.csv", 3, 'odd, "very"', "1,\n2"), Reject("b.csv", 1, "x", "ü")]
    write_rejects(tmp_path / "rejects.csv", rejects)
    with (tmp_path / "rejects.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.reader(lines))
    assert rows == [
        ["file", "line", "reason", "text"],
        ["a.csv", "3", 'odd, "very"', "1,\n2"],
        ["b.csv", "1", "x", "ü"],
    ]


def test_propensities_come_with_impressions_where_a_slate_has_them_all(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id\nu,a\n")
    shown = [
        "r1,u,x,0,40,1,",
        "r1,u,y,1,40,0.05,2",
        "r2,u,x,0,50,1,0",
        "r2,u,y,1,50,,0",  # one is unknown
        "r3,u,x,0,60,1,0",
        "r3,u,y,1,60,1.5,0",  # no probability: the row goes, and with it what was said of the places
        "r4,u,x,0,70,0,0",
        "r5,u,x,0,80,1,half",
    ]
    head = "request_id,user_id,item_id,position,timestamp,propensity,explored_from\n"
    write(tmp_path, "impressions.csv", head + "\n".join(shown) + "\n")
    found = read(tmp_path)
    assert [(s.request_id, s.shown, s.propensity, s.explored_from) for s in found.impressions] == [
        ("r1", ("x", "y"), (1.0, 0.05), 2),
        ("r2", ("x", "y"), None, 0),
        ("r3", ("x",), None, 0),
    ]
    assert reasons(found) == [
        (7, "propensity is no probability above 0"),
        (8, "propensity is no probability above 0"),
        (9, "explored_from is no whole number"),
    ]


SHOWN = "request_id,user_id,item_id,position,timestamp"


def slates(folder: Path, head: str, *rows: str, **changes: Any) -> Dataset:
    write(folder, "interactions.csv", "user_id,item_id\nu,a\n")
    write(folder, "impressions.csv", "\n".join((f"{SHOWN},{head}", *rows)) + "\n")
    return read(folder, **changes)


def test_further_columns_of_impressions_are_the_context_of_their_requests(tmp_path: Path) -> None:
    found = slates(
        tmp_path,
        "surface,hour,tests,price,clicked",
        "r1,u,x,0,40,home,7,a|b,9.5,0",
        "r1,u,y,1,40,,7,a|b,3,1",  # said once is said of the slate
        "r2,u,x,0,50,search,8,,9.5,1",
        mapping={"where": "surface"},
    )
    assert [s.context for s in found.impressions] == [
        {"where": "home", "hour": 7.0, "tests": ("a", "b")},
        {"where": "search", "hour": 8.0},
    ]
    assert found.ignored == ("price", "clicked"), "what differs within a slate speaks of its items"
    assert "price, clicked" in found.summary()
    assert found.rejects == []


def test_an_interactions_columns_are_no_context_of_a_slate(tmp_path: Path) -> None:
    found = slates(tmp_path, "action,value,surface", "r1,u,x,0,40,click,1,home", "r2,u,x,0,50,,,home")
    assert [s.context for s in found.impressions] == [{"surface": "home"}] * 2


def test_a_vector_in_a_context_is_refused_by_row(tmp_path: Path) -> None:
    found = slates(tmp_path, "page", 'r1,u,x,0,40,"[0.5, 1]"', "r2,u,x,0,50,")
    assert [(s.request_id, s.context) for s in found.impressions] == [("r2", {})]
    assert reasons(found) == [(2, "page is a vector: a request's context takes none")]


def test_a_refused_row_says_nothing_of_the_request(tmp_path: Path) -> None:
    found = slates(tmp_path, "surface", "r1,u,x,0,40,home", "r1,,y,1,40,search", "r1,u,z,one,40,search")
    assert [s.context for s in found.impressions] == [{"surface": "home"}]


def test_contexts_that_were_written_read_back(tmp_path: Path) -> None:
    said = {"surface": "home", "hour": 7.5, "tests": ("a", "b")}
    told = Impression(at=5.0, user_id="u", request_id="r", shown=("a", "b"), context=said)
    unsaid = Impression(at=6.0, user_id="u", request_id="q", shown=("a",))
    acted = [Interaction(user_id="u", item_id="a", action="click", at=7.0)]
    write_shop(Dataset(items=[], users=[], interactions=acted, impressions=[told, unsaid]), tmp_path)
    assert read(tmp_path).impressions == [told, unsaid]


def test_propensities_that_were_written_read_back(tmp_path: Path) -> None:
    told = Impression(at=5.0, user_id="u", request_id="r", shown=("a", "b"), propensity=(1.0, 1 / 30), explored_from=3)
    unsaid = Impression(at=6.0, user_id="u", request_id="q", shown=("a",))
    acted = [Interaction(user_id="u", item_id="a", action="click", at=7.0)]
    write_shop(Dataset(items=[], users=[], interactions=acted, impressions=[told, unsaid]), tmp_path)
    assert read(tmp_path).impressions == [told, unsaid]
