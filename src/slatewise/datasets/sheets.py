"""Opens whatever holds rows: a folder's file by its stem, a file by its ending, a data frame by its Arrow stream."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slatewise.datasets.csv_sheet import read_csv
from slatewise.datasets.json_sheet import read_json_lines
from slatewise.datasets.sheet import Sheet
from slatewise.domain.errors import InputError

_NAMELESS_INDEX = re.compile(r"__index_level_\d+__$")


def find(folder: Path, stem: str) -> Path | None:
    """Return the folder's file of this stem, None where it has none. Raises InputError where it has several."""
    found = [folder / f"{stem}{ending}" for ending in READERS if (folder / f"{stem}{ending}").is_file()]
    if len(found) > 1:
        raise InputError(str(folder), ", ".join(path.name for path in found), f"one file of {stem}, not several")
    return found[0] if found else None


def read_file(path: Path) -> Sheet:
    """Read a file by its ending. Raises InputError."""
    if not path.is_file():
        raise InputError("file", str(path), "a file that exists")
    for ending, read in READERS.items():
        if path.name.endswith(ending):
            return read(path)
    raise InputError("file", path.name, f"a file that ends in {', '.join(READERS)}")


def read_frame(source: Any, name: str) -> Sheet:
    """Read a pandas or polars DataFrame, a pyarrow Table, or a mapping of columns. Lines are 1-based rows.

    Raises InputError for anything else, and for columns of mixed types.
    """
    try:
        if isinstance(source, pa.Table):
            table = source
        elif hasattr(source, "__arrow_c_stream__") or isinstance(source, Mapping):
            table = pa.table(source)
        else:
            raise InputError(name, type(source).__name__, "a DataFrame, a pyarrow Table, or the path of a file")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:  # the last: types that it lacks
        raise InputError(name, type(source).__name__, f"columns of one type each: {error}") from error
    # pandas sends along an index that has no name, such as that of a filtered frame; it says nothing of the rows.
    return _typed(table.drop_columns([c for c in table.column_names if _NAMELESS_INDEX.match(c)]), name)


def _typed(table: pa.Table, name: str) -> Sheet:
    try:
        # What is declared as text may be any bytes, and whatever reads them would trip over those.
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InputError(name, "values that are not what their columns declare", f"whole ones: {error}") from error
    names = table.column_names
    if len(set(names)) < len(names):
        raise InputError(name, ", ".join(sorted(n for n in set(names) if names.count(n) > 1)), "names that differ")
    return Sheet(name, table, np.arange(1, table.num_rows + 1), True)


def _read_parquet(path: Path) -> Sheet:
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:  # names of columns are bytes of the file too
        raise InputError(path.name, str(path), f"a Parquet file that can be read: {error}") from error
    return _typed(table, path.name)


READERS: Mapping[str, Callable[[Path], Sheet]] = {
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".parquet": _read_parquet,
    ".jsonl": read_json_lines,
    ".jsonl.gz": read_json_lines,
}
