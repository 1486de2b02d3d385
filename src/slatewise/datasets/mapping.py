"""The names of columns: which ones we know, and how ``ours=theirs`` renames those of a file. Knows no values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from slatewise.datasets.table import Table
from slatewise.domain.errors import InputError

FIELDS: Mapping[str, tuple[str, ...]] = {
    "interactions": ("user_id", "item_id", "timestamp", "action", "value", "request_id"),
    "items": ("item_id", "title", "categories", "available", "created_at"),
    "users": ("user_id",),
    "impressions": ("request_id", "user_id", "item_id", "position", "timestamp"),
}
"""Per kind of table, the columns with a meaning of their own."""
_KNOWN = frozenset(name for names in FIELDS.values() for name in names)
_FREE = ("items", "users")
"""Kinds whose further columns are attributes, so that any name may be given."""


def rename(tables: Mapping[str, Table], mapping: Mapping[str, str]) -> dict[str, Table]:
    """Return the tables, by kind, with columns named as *mapping* (ours=theirs) says.

    A name applies in every table that has the column and a use for our name; a column that had our name before gives
    way. Raises InputError for a column that no table has, or a name that none has a use for.
    """
    used: set[str] = set()
    renamed = {kind: _renamed(kind, table, mapping, used) for kind, table in tables.items()}
    for ours, theirs in mapping.items():
        if ours in used:
            continue
        there = list(dict.fromkeys(name for table in tables.values() for name in table.columns))
        if theirs not in there:
            raise InputError("map", f"{ours}={theirs}", f"one of the columns {', '.join(there)} after the =")
        raise InputError("map", f"{ours}={theirs}", f"one of our names before the =: {', '.join(sorted(_KNOWN))}")
    return renamed


def unknown(kind: str, table: Table) -> tuple[str, ...]:
    """Return the columns without a meaning in this kind of table."""
    return tuple(name for name in table.columns if name not in FIELDS[kind])


def _renamed(kind: str, table: Table, mapping: Mapping[str, str], used: set[str]) -> Table:
    fields = FIELDS[kind]
    ours_of: dict[str, list[str]] = {}
    for ours, theirs in mapping.items():
        if theirs in table.columns and _applies(kind, fields, ours, theirs, table, mapping):
            ours_of.setdefault(theirs, []).append(ours)
            used.add(ours)
    taken = {ours for names in ours_of.values() for ours in names}
    columns = {}
    for name, column in table.columns.items():
        if name in ours_of:
            columns.update(dict.fromkeys(ours_of[name], column))
        elif name not in taken:
            columns[name] = column
    return replace(table, columns=columns)


def _applies(
    kind: str, fields: Sequence[str], ours: str, theirs: str, table: Table, mapping: Mapping[str, str]
) -> bool:
    if ours not in fields and (kind not in _FREE or ours in _KNOWN):
        return False
    # ``timestamp=position`` is meant for histories: slates have both columns already, each with its own meaning.
    return not (theirs in fields and ours in table.columns and theirs not in mapping)
