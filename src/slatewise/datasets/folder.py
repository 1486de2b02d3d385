"""A folder of tables to one dataset: interactions, and where there are, items, users and impressions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from slatewise.datasets.assemble import assemble
from slatewise.datasets.dataset import Dataset
from slatewise.datasets.files import ENDINGS, find_table, read_table
from slatewise.datasets.mapping import FIELDS
from slatewise.datasets.rules import ReadRules
from slatewise.domain.errors import InputError


def read_folder(
    folder: Path,
    *,
    mapping: Mapping[str, str],
    default_action: str,
    actions: Collection[str],
    now: float,
    strict: bool = False,
) -> Dataset:
    """Read ``interactions.*`` and, where there are, ``items.*``, ``users.*`` and ``impressions.*``.

    Endings are .csv, .csv.gz, .parquet, .jsonl and .jsonl.gz. *mapping* names columns (ours=theirs) in every file that
    has them; *default_action* is the action of rows that name none; *now* is in seconds since the epoch. Times are
    epoch seconds, ms, us or ns by their size, or ISO-8601. Bad rows become rejects and stop nothing, unless *strict*.

    Raises InputError where the folder holds no interactions, a column is missing, or a file is not what it says.
    """
    paths = {kind: find_table(folder, kind) for kind in FIELDS}
    if paths["interactions"] is None:
        there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else "no such folder"
        raise InputError("folder", str(folder), f"a file interactions with an ending of {', '.join(ENDINGS)} ({there})")
    tables = {kind: read_table(path) for kind, path in paths.items() if path is not None}
    rules = ReadRules(default_action=default_action, actions=actions, now=now, strict=strict)
    return assemble(tables, mapping, rules)
