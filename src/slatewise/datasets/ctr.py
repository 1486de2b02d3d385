"""Labelled rows of categorical fields (train, valid, test): ids per field out. Knows no model and no split rule."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slatewise.datasets.sheet import Sheet, is_null
from slatewise.datasets.sheets import find, read_file
from slatewise.domain.errors import InputError

LABEL = "label"
UNKNOWN = 0
"""The id, in every field, of a value that training never held."""

LABELS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows of one file: ``value`` ``(n, fields)`` int64 ids counted per field, ``label`` ``(n,)`` float32, 0 or 1."""

    value: npt.NDArray[np.int64]
    label: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.label.size)


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a training file, in its order, and each one's values as text, sorted; value i has the id i + 1."""

    names: tuple[str, ...]
    values: tuple[pa.Array, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many ids each field has, the unknown one included."""
        return tuple(len(values) + 1 for values in self.values)


def read_training(folder: Path) -> tuple[Fields, Examples]:
    """Read ``train.csv`` (or .csv.gz, .parquet, .jsonl) of a folder: a column ``label`` and at least one field.

    Values of a field may be texts or numbers; an empty one is a value like any other. Raises InputError, naming file,
    column and value, for a missing or unreadable file, rows of another width, no rows, no label or a label not 0 or 1.
    """
    sheet = _sheet(Path(folder), "train")
    names = tuple(name for name in sheet.columns if name != LABEL)
    if not names:
        raise InputError(sheet.name, f"no column but {LABEL}", "at least one field beside it")
    texts = [_text(sheet, name) for name in names]
    fields = Fields(names, tuple(_distinct(text) for text in texts))
    return fields, Examples(_ids(fields, texts), _labels(sheet))


def read_examples(folder: Path, stem: str, fields: Fields) -> Examples:
    """Read a folder's file *stem* (``valid``, ``test``) with the ids of training; unseen values become `UNKNOWN`.

    Columns may stand in another order. Raises InputError as `read_training` does, and for columns that differ.
    """
    sheet = _sheet(Path(folder), stem)
    missing = [name for name in fields.names if name not in sheet.columns]
    extra = [name for name in sheet.columns if name not in (*fields.names, LABEL)]
    if missing or extra:
        said = " and ".join(f"{kind} {', '.join(names)}" for kind, names in (("no", missing), ("also", extra)) if names)
        raise InputError(sheet.name, said, f"the columns of training: {', '.join((LABEL, *fields.names))}")
    return Examples(_ids(fields, [_text(sheet, name) for name in fields.names]), _labels(sheet))


def _sheet(folder: Path, stem: str) -> Sheet:
    path = find(folder, stem)
    if path is None:
        raise InputError(f"{stem}.csv", str(folder), f"a folder with {stem}.csv or {stem}.csv.gz")
    sheet = read_file(path)
    if sheet.rejects:
        worst = sheet.rejects[0]
        raise InputError(f"{sheet.name}, line {worst.line}", worst.text, f"rows like the header; {worst.reason}")
    if LABEL not in sheet.columns:
        raise InputError(sheet.name, ", ".join(sheet.columns), f"a column {LABEL}")
    if not len(sheet):
        raise InputError(sheet.name, "no rows", "at least one row")
    return sheet


def _labels(sheet: Sheet) -> npt.NDArray[np.float32]:
    text = sheet.text(LABEL)
    place = pc.index_in(text, value_set=pa.array(list(LABELS)))
    bad = np.flatnonzero(is_null(place))
    if bad.size:
        at = int(bad[0])
        raise InputError(f"{sheet.name}, line {sheet.line[at]}: {LABEL}", text[at].as_py(), "0 or 1")
    labels: npt.NDArray[np.float32] = np.array(list(LABELS.values()), np.float32)[place.to_numpy()]
    return labels


def _text(sheet: Sheet, name: str) -> pa.Array:
    return pc.fill_null(sheet.text(name), "")


def _distinct(text: pa.Array) -> pa.Array:
    values = pc.unique(text)
    return values.take(pc.sort_indices(values))


def _ids(fields: Fields, texts: list[pa.Array]) -> npt.NDArray[np.int64]:
    columns = [
        pc.fill_null(pc.index_in(text, value_set=values), UNKNOWN - 1).to_numpy().astype(np.int64) + 1
        for text, values in zip(texts, fields.values, strict=True)
    ]
    return np.stack(columns, 1)
