"""CSV files as sheets of text: wrong widths and broken encodings are set aside, lines are counted as an editor does."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from slatewise.datasets.rejects import Reject, shortened
from slatewise.datasets.sheet import Sheet
from slatewise.domain.errors import InputError

BLOCK_BYTES = 16 << 20


def read_csv(path: Path) -> Sheet:
    """Read a CSV file (gzip where it ends in .gz) with a header line, every column as text.

    Rows of another width than the header and rows that are not UTF-8 become rejects; blank lines are passed over.
    Raises InputError for an empty or unreadable file and for a column named twice.
    """
    try:
        names = _header(path)
        return _read(path, names)
    except (OSError, EOFError, zlib.error, csv.Error, pa.ArrowInvalid) as error:
        raise InputError(path.name, str(path), f"a CSV file that can be read: {error}") from error


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _header(path: Path) -> list[str]:
    with _open(path) as raw, io.TextIOWrapper(raw, "utf-8-sig", errors="replace", newline="") as lines:
        names = [name.strip() for name in next(csv.reader(lines), [])]
    if not names:
        raise InputError(path.name, str(path), "a header line with the names of the columns")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(path.name, ", ".join(repeated), "column names that differ")
    return names


def _read(path: Path, names: list[str]) -> Sheet:
    odd: list[Any] = []

    def skip(row: Any) -> str:
        odd.append(row)
        return "skip"

    try:
        table = _table(path, names, pa.string(), skip)
        undecodable: npt.NDArray[np.bool_] | None = None
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise
        odd.clear()
        table, undecodable = _decoded(_table(path, names, pa.binary(), skip))
    line, odd_lines = _lines(table, odd)
    rejects = [
        Reject(path.name, at, f"wrong number of columns: {row.actual_columns}, not {row.expected_columns}", _shown(row))
        for row, at in zip(odd, odd_lines, strict=True)
    ]
    keep = ~_blank(table)
    if undecodable is not None:
        sheet = Sheet(path.name, table, line, False)
        rejects += [
            Reject(path.name, int(line[place]), "not UTF-8", sheet.row_text(place))
            for place in np.flatnonzero(undecodable).tolist()
        ]
        keep &= ~undecodable
    return Sheet(path.name, table.filter(pa.array(keep)), line[keep], False, rejects)


def _shown(row: Any) -> str:
    return shortened(str(row.text))


def _table(path: Path, names: list[str], kind: pa.DataType, skip: Any) -> pa.Table:
    return pacsv.read_csv(
        path,
        # Rows have numbers only where one thread reads them.
        read_options=pacsv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names, skip_rows=1),
        parse_options=pacsv.ParseOptions(invalid_row_handler=skip, newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(names, kind), strings_can_be_null=False),
    )


def _lines(table: pa.Table, odd: list[Any]) -> tuple[npt.NDArray[np.int64], list[int]]:
    """Return the line each good row and each odd row starts on: rows are longer where quoted values break lines."""
    total = table.num_rows + len(odd)
    is_odd = np.zeros(total, bool)
    is_odd[[row.number - 2 for row in odd]] = True
    extra = np.zeros(total, np.int64)
    extra[~is_odd] = _breaks(table)
    extra[is_odd] = [str(row.text).count("\n") for row in odd]
    line = np.arange(total) + 2 + np.concatenate([[0], np.cumsum(extra)[:-1]])[:total]
    return line[~is_odd].astype(np.int64), line[is_odd].tolist()


def _breaks(table: pa.Table) -> npt.NDArray[np.int64]:
    breaks = np.zeros(table.num_rows, np.int64)
    for column in table.columns:
        breaks += pc.count_substring(column, "\n").to_numpy()
    return breaks


def _blank(table: pa.Table) -> npt.NDArray[np.bool_]:
    blank = np.ones(table.num_rows, bool)
    for column in table.columns:
        blank &= pc.equal(pc.binary_length(column), 0).to_numpy()
    return blank


def _decoded(table: pa.Table) -> tuple[pa.Table, npt.NDArray[np.bool_]]:
    """Return the table as text, bad bytes marked in place, and which rows hold some."""
    bad = np.zeros(table.num_rows, bool)
    columns = {}
    for name in table.column_names:
        texts = [value.decode("utf-8", "replace") for value in table.column(name).to_pylist()]
        columns[name] = pa.array(texts, pa.string())
        bad |= np.fromiter(("�" in text for text in texts), bool, len(texts))
    return pa.table(columns), bad
