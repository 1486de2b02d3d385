"""Tables of all kinds to one dataset: the one way every reader takes. Knows no file format."""

from __future__ import annotations

from collections.abc import Mapping

from slatewise.datasets.dataset import Dataset
from slatewise.datasets.entities import read_items, read_users
from slatewise.datasets.impressions import read_impressions
from slatewise.datasets.interactions import read_interactions
from slatewise.datasets.mapping import rename, unknown
from slatewise.datasets.rejects import Reject
from slatewise.datasets.rules import ReadRules
from slatewise.datasets.table import Table, stop_if_strict


def assemble(tables: Mapping[str, Table], mapping: Mapping[str, str], rules: ReadRules) -> Dataset:
    """Return the dataset of these tables, by kind: ``interactions``, and where there are, items, users, impressions.

    Items and users change at ``rules.now``, or with the first interaction where that is unknown. Raises InputError for
    missing or wrongly mapped columns, and for the first bad row where the rules are strict.
    """
    rows_read = sum(len(table) + len(table.rejects) for table in tables.values())
    tables = rename(tables, mapping)
    interactions = read_interactions(tables["interactions"], rules)
    first = next((i.at for i in interactions if i.at is not None), 0.0)
    at = first if rules.now is None else rules.now
    data = Dataset(
        interactions=interactions,
        items=read_items(tables["items"], at) if "items" in tables else [],
        users=read_users(tables["users"], at) if "users" in tables else [],
        impressions=read_impressions(tables["impressions"], rules) if "impressions" in tables else [],
        ignored=tuple(
            n for kind in ("interactions", "impressions") if kind in tables for n in unknown(kind, tables[kind])
        ),
        rows_read=rows_read,
    )
    for table in tables.values():
        in_order: list[Reject] = sorted(table.rejects, key=lambda reject: reject.line)
        stop_if_strict(in_order, rules.strict)
        data.rejects.extend(in_order)
    return data
