"""A folder of tables to one dataset: interactions and, where there are, items, users and impressions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from slatewise.datasets.assembly import Sheets, assemble
from slatewise.datasets.dataset import Dataset
from slatewise.datasets.sheets import READERS, find, read_file
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

    Files end in .csv, .csv.gz, .parquet, .jsonl or .jsonl.gz. *mapping* (ours=theirs) applies in every file that has
    the column; *default_action* is the action of rows that name none; *now* is in seconds since the epoch. Times are
    epoch seconds, ms, us or ns by their size, or ISO-8601. Bad rows become rejects, unless *strict*.

    Raises InputError where the folder holds no interactions, a file cannot be read, a column is missing or wrongly
    mapped, and, where *strict*, for the first bad row.
    """
    folder = Path(folder)
    path = find(folder, "interactions")
    if path is None:
        there = ", ".join(sorted(entry.name for entry in folder.iterdir())) if folder.is_dir() else ""
        endings = ", ".join(READERS)
        held = f"it holds {there}" if there else "it is empty" if folder.is_dir() else "there is no such folder"
        raise InputError("folder", str(folder), f"a folder with a file interactions ending in {endings}; {held}")
    others = (find(folder, stem) for stem in ("items", "users", "impressions"))
    items, users, impressions = (None if other is None else read_file(other) for other in others)
    return assemble(
        Sheets(read_file(path), items, users, impressions),
        mapping=mapping,
        default_action=default_action,
        actions=actions,
        now=now,
        strict=strict,
    )
