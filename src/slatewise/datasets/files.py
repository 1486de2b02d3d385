"""Files to tables: CSV, JSON lines and Parquet, packed or not. Finds lines that cannot be read; judges no value."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from slatewise.datasets.rejects import Reject
from slatewise.datasets.table import TEXT_SHOWN, Table
from slatewise.domain.errors import InputError

ENDINGS = (".csv", ".csv.gz", ".parquet", ".jsonl", ".jsonl.gz")
_BLOCK_BYTES = 1 << 24


def find_table(folder: Path, name: str) -> Path | None:
    """Return the file of that name with one of our endings, None if there is none. Raises InputError for several."""
    there = [folder / f"{name}{ending}" for ending in ENDINGS if (folder / f"{name}{ending}").is_file()]
    if len(there) > 1:
        raise InputError(name, [path.name for path in there], f"one {name} file in {folder}")
    return there[0] if there else None


def read_table(path: Path) -> Table:
    """Return the table in one file, whole. Raises InputError where the file is not what its name says."""
    if not path.name.endswith(ENDINGS):
        raise InputError("file", path.name, "a name ending in " + ", ".join(ENDINGS))
    try:
        if path.name.endswith(".parquet"):
            return table_of_arrow(path.name, pyarrow.parquet.read_table(path))
        with pa.input_stream(str(path), compression="gzip" if path.name.endswith(".gz") else None) as source:
            content = source.read()
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError("file", path.name, f"a readable file ({error})") from error
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return table_of_json_lines(path.name, content)
    return table_of_csv(path.name, content)


def table_of_arrow(file: str, table: pa.Table) -> Table:
    """Return an Arrow table as ours; lines are 1-based rows."""
    if len(set(table.column_names)) < len(table.column_names):
        raise InputError(file, table.column_names, "column names that appear once")
    columns = {name: _whole(table.column(name)) for name in table.column_names}
    return Table(file, columns, np.arange(1, table.num_rows + 1))


def table_of_csv(file: str, content: bytes, delimiter: str = ",", names: list[str] | None = None) -> Table:
    """Return CSV as a table of strings; rows with too few or too many values, or not in UTF-8, are refused.

    Without *names* the first line is the header. Empty lines are passed over.
    """
    if not content.strip():
        raise InputError(file, "an empty file", "a header line with column names")
    header = names or next(csv.reader([_first_line(content)], delimiter=delimiter))
    if len(set(header)) < len(header):
        raise InputError(file, header, "column names that appear once")
    wrong: list[tuple[int, str, int]] = []

    def note(row: Any) -> str:
        wrong.append((row.number, row.text, row.actual_columns))
        return "skip"

    try:
        read = pyarrow.csv.read_csv(
            io.BytesIO(content),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, column_names=names),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=names is None, invalid_row_handler=note
            ),
            # Bytes, because one name in another encoding would otherwise cost the whole file.
            convert_options=pyarrow.csv.ConvertOptions(column_types={name: pa.binary() for name in header}),
        )
    except pa.ArrowInvalid as error:
        raise InputError(file, _first_line(content), f"CSV ({error})") from error
    first = 1 if names else 2
    lines = _csv_lines(content, first, read.num_rows + len(wrong), delimiter)
    bad = np.array([number - first for number, _, _ in wrong], np.int64)
    rejects = [
        Reject(file, int(lines[at]), f"wrong number of columns: expected {len(header)}", text[:TEXT_SHOWN])
        for at, (_, text, _) in zip(bad.tolist(), wrong, strict=True)
    ]
    return _decoded(Table(file, {name: _whole(read.column(name)) for name in header}, np.delete(lines, bad), rejects))


def table_of_json_lines(file: str, content: bytes) -> Table:
    """Return JSON lines as a table, columns in order of first appearance; lines that hold no object are refused."""
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    rejects: list[Reject] = []
    names: dict[str, None] = {}
    for line, raw in enumerate(content.split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            row = json.loads(raw)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            rejects.append(
                Reject(file, line, "not a JSON object", raw[:TEXT_SHOWN].decode("utf-8", "backslashreplace"))
            )
            continue
        names.update(dict.fromkeys(row))
        rows.append(row)
        lines.append(line)
    columns = {name: _array([row.get(name) for row in rows]) for name in names}
    return Table(file, columns, np.array(lines, np.int64), rejects)


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # Mixed types: fall back to text, which is what a CSV file would have said.
        return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string())


def _whole(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def _first_line(content: bytes) -> str:
    return content[: 1 << 20].lstrip(b"\xef\xbb\xbf\r\n").split(b"\n", 1)[0].decode("utf-8", "replace").rstrip("\r")


def _csv_lines(content: bytes, first: int, rows: int, delimiter: str) -> npt.NDArray[np.int64]:
    """Return the line of each row: counted, unless empty lines or line breaks within quotes make them differ."""
    plain = np.arange(first, first + rows)
    ends = content.count(b"\n") + (not content.endswith(b"\n"))
    if ends == first + rows - 1:
        return plain
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=""), delimiter=delimiter)
    lines, start = [], 1
    for row in reader:
        if row:
            lines.append(start)
        start = reader.line_num + 1
    found = np.array(lines[first - 1 :], np.int64)
    return found if found.size == rows else plain


def _decoded(table: Table) -> Table:
    good = np.ones(len(table), bool)
    columns = {}
    for name, column in table.columns.items():
        try:
            columns[name] = column.cast(pa.string())
        except pa.ArrowInvalid:
            texts = [raw.decode("utf-8", "surrogateescape") for raw in column.to_pylist()]
            clean = [text.encode("utf-8", "backslashreplace").decode() for text in texts]
            good &= np.array([text == other for text, other in zip(texts, clean, strict=True)])
            columns[name] = pa.array(clean, pa.string())
    return Table(table.file, columns, table.line, table.rejects).refuse([(~good, "not UTF-8")])
