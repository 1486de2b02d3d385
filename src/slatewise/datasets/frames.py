"""DataFrames, Arrow tables and single files to one dataset. Imports no DataFrame library."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from slatewise.datasets.assembly import Sheets, assemble
from slatewise.datasets.dataset import Dataset
from slatewise.datasets.sheet import Sheet
from slatewise.datasets.sheets import read_file, read_frame


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
    """Read frames, or single files, as `read_folder` reads a folder; lines in rejects of frames are 1-based rows.

    Each of *interactions*, *items* and *users* is a pandas or polars DataFrame, a pyarrow Table, a mapping of columns,
    or the path of a .csv, .parquet or .jsonl file. A named index of a pandas frame counts as a column. Raises
    InputError as `read_folder` does.
    """
    return assemble(
        Sheets(_sheet(interactions, "interactions"), _optional(items, "items"), _optional(users, "users")),
        mapping=mapping,
        default_action=default_action,
        actions=actions,
        now=now,
        strict=strict,
    )


def _optional(source: Any, name: str) -> Sheet | None:
    return None if source is None else _sheet(source, name)


def _sheet(source: Any, name: str) -> Sheet:
    return read_file(Path(source)) if isinstance(source, str | Path) else read_frame(source, name)
