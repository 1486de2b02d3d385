"""Writes a data set in the import layout, as a shop would export it. Knows nothing of how it came about."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from slatewise.datasets.attributes import SEPARATOR
from slatewise.datasets.dataset import Dataset
from slatewise.domain.events import Attributes, AttributeValue, is_vector


def write_shop(dataset: Dataset, folder: Path) -> None:
    """Write interactions.csv.gz, items.csv, users.csv and impressions.csv.gz into a folder, made where missing.

    `read_folder` gives the same data set back, as long as the values of an attribute are of one kind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    acted = dataset.interactions
    columns: dict[str, list[str | None]] = {
        "user_id": [e.user_id for e in acted],
        "item_id": [e.item_id for e in acted],
        "timestamp": [_number(e.at) for e in acted],
        "action": [e.action for e in acted],
        "value": [_number(e.value) for e in acted],
        "request_id": [e.request_id for e in acted],
    }
    if all(e.value == 1.0 for e in acted):
        del columns["value"]
    _write(folder / "interactions.csv.gz", columns)
    items = dataset.items
    _write(
        folder / "items.csv",
        {
            "item_id": [i.item_id for i in items],
            "title": [i.title for i in items],
            "categories": [_cell(i.categories) for i in items],
            "available": [_cell(i.available) for i in items],
            "created_at": [_number(i.created_at) for i in items],
            **_attributes([i.attributes for i in items]),
        },
    )
    users = dataset.users
    _write(folder / "users.csv", {"user_id": [u.user_id for u in users], **_attributes([u.attributes for u in users])})
    shown = [(i, place, item_id) for i in dataset.impressions for place, item_id in enumerate(i.shown)]
    slates: dict[str, list[str | None]] = {
        "request_id": [i.request_id for i, _, _ in shown],
        "user_id": [i.user_id for i, _, _ in shown],
        "item_id": [item_id for _, _, item_id in shown],
        "position": [str(place) for _, place, _ in shown],
        "timestamp": [_number(i.at) for i, _, _ in shown],
    }
    if any(i.propensity is not None for i in dataset.impressions):
        slates["propensity"] = [None if i.propensity is None else _number(i.propensity[place]) for i, place, _ in shown]
        slates["explored_from"] = [str(i.explored_from if place == len(i.shown) - 1 else 0) for i, place, _ in shown]
    _write(folder / "impressions.csv.gz", slates | _attributes([i.context for i, _, _ in shown]))


def _attributes(described: Sequence[Attributes]) -> dict[str, list[str | None]]:
    names = dict.fromkeys(name for attributes in described for name in attributes)
    return {name: [_cell(attributes.get(name)) for attributes in described] for name in names}


def _cell(value: AttributeValue | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return json.dumps(value) if is_vector(value) else SEPARATOR.join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else _number(value)


def _number(value: float | None) -> str | None:
    if value is None:
        return None
    return str(int(value)) if value == int(value) else repr(float(value))


def _write(path: Path, columns: Mapping[str, Sequence[str | None]]) -> None:
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    with _open(path) as out:
        pacsv.write_csv(table, out)


def _open(path: Path) -> BufferedIOBase:
    # Half the size for a tenth of the time, and the same bytes for the same shop.
    return gzip.GzipFile(path, "wb", compresslevel=1, mtime=0) if path.suffix == ".gz" else path.open("wb")
