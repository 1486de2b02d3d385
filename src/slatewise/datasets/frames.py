"""DataFrames, Arrow tables and single files to one dataset. Imports no DataFrame library."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from slatewise.datasets.assemble import assemble
from slatewise.datasets.dataset import Dataset
from slatewise.datasets.files import read_table, table_of_arrow
from slatewise.datasets.rules import ReadRules
from slatewise.datasets.table import Table
from slatewise.domain.errors import InputError

_TAKEN = "a pandas or polars DataFrame, a pyarrow Table, or the path of a .csv, .jsonl or .parquet file"


def read_frames(
    interactions: Any,
    items: Any = None,
    users: Any = None,
    *,
    mapping: Mapping[str, str],
    default_action: str,
    actions: Collection[str],
    now: float,
    strict: bool = False,
) -> Dataset:
    """Read frames, or files, as `read_folder` reads a folder; lines in rejects of frames are 1-based rows.

    Each of *interactions*, *items* and *users* is a pandas or polars DataFrame, a pyarrow Table, anything else with the
    Arrow stream interface, or a path. An index of a pandas frame that has a name is read as a column. Raises
    InputError as `read_folder` does.
    """
    given = {"interactions": interactions, "items": items, "users": users}
    tables = {kind: _table(kind, source) for kind, source in given.items() if source is not None}
    if "interactions" not in tables:
        raise InputError("interactions", None, _TAKEN)
    rules = ReadRules(default_action=default_action, actions=actions, now=now, strict=strict)
    return assemble(tables, mapping, rules)


def _table(kind: str, source: Any) -> Table:
    if isinstance(source, str | Path):
        if not Path(source).is_file():
            raise InputError(kind, str(source), "the path of a file that exists")
        return read_table(Path(source))
    return table_of_arrow(kind, _arrow(kind, source))


def _arrow(kind: str, source: Any) -> pa.Table:
    if isinstance(source, pa.Table):
        return source
    try:
        # pandas names itself by its module; going through from_pandas turns its NaN into what it means: missing.
        if type(source).__module__.partition(".")[0] == "pandas":
            named = any(name is not None for name in source.index.names)
            return pa.Table.from_pandas(source.reset_index() if named else source, preserve_index=False)
        if hasattr(source, "__arrow_c_stream__"):
            return pa.table(source)
    except (pa.ArrowInvalid, pa.ArrowTypeError, AttributeError, ValueError) as error:
        raise InputError(kind, type(source).__name__, f"{_TAKEN} ({error})") from error
    raise InputError(kind, type(source).__name__, _TAKEN)
