"""One file's rows before any check: columns by name, each row with its line. Knows nothing of what columns mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slatewise.datasets.rejects import Reject, shortened
from slatewise.domain.errors import InputError
from slatewise.domain.ids import Mask


@dataclass(frozen=True, slots=True)
class Sheet:
    """The readable rows of one file as a pyarrow table, with ``line[i]`` the 1-based line of row i.

    ``is_typed`` tells whether column types were declared (Parquet, frames, JSON) or everything is text (CSV).
    ``rejects`` are the rows that could not even be read; they have no line here.
    """

    name: str
    table: pa.Table
    line: npt.NDArray[np.int64]
    is_typed: bool
    rejects: list[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        return int(self.line.size)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names, in file order."""
        return tuple(self.table.column_names)

    @property
    def rows_read(self) -> int:
        """All rows of the file, good or bad."""
        return len(self) + len(self.rejects)

    def column(self, name: str) -> pa.Array:
        """Return a column as declared, in one piece; dictionaries are decoded."""
        array = pa.concat_arrays(pieces) if (pieces := self.table.column(name).chunks) else pa.array([], pa.string())
        return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array

    def text(self, name: str) -> pa.Array:
        """Return a column as trimmed strings, null where empty or absent. Raises InputError for nested values."""
        if name not in self.columns:
            return pa.nulls(len(self), pa.string())
        trimmed = pc.utf8_trim_whitespace(as_text(self.column(name), f"{self.name}: {name}"))
        return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)

    def require(self, *names: str) -> None:
        """Raise InputError, with the columns there are and how to name one, where a column is missing."""
        for name in names:
            if name not in self.columns:
                near = get_close_matches(name, self.columns, 1, 0.6)
                raise InputError(
                    self.name,
                    f"no column {name}",
                    f"one; the columns are {', '.join(self.columns) or 'none'}: "
                    f"say --map {name}={near[0] if near else '<column>'} where it has another name",
                )

    def renamed(self, mapping: Mapping[str, str]) -> Sheet:
        """Return the sheet with ours read from theirs, where theirs exists; a column that had our name gives way."""
        used = {ours: theirs for ours, theirs in mapping.items() if theirs in self.columns}
        if not used:
            return self
        kept = [name for name in self.columns if name not in used and name not in used.values()]
        source = {name: name for name in kept} | used
        return replace(self, table=pa.table({name: self.table.column(theirs) for name, theirs in source.items()}))

    def row_text(self, place: int) -> str:
        """Return one row as comma-separated text, shortened."""
        values = (self.table.column(name)[place].as_py() for name in self.columns)
        return shortened(",".join("" if value is None else str(value) for value in values))


class Verdict:
    """Collects why rows of a sheet are refused; the first reason counts."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self._reasons: list[str] = []
        self._why = np.full(len(sheet), -1, np.int64)

    def refuse(self, reason: str, bad: Mask) -> None:
        """Refuse the marked rows, unless they were refused before."""
        self._why[bad & (self._why < 0)] = len(self._reasons)
        self._reasons.append(reason)

    @property
    def good(self) -> Mask:
        """The rows nobody refused."""
        mask: Mask = self._why < 0
        return mask

    def rejects(self) -> list[Reject]:
        """Return the refused rows in order of lines, unreadable ones included."""
        sheet, bad = self.sheet, np.flatnonzero(self._why >= 0)
        refused = [
            Reject(sheet.name, line, self._reasons[why], sheet.row_text(place))
            for place, line, why in zip(bad.tolist(), sheet.line[bad].tolist(), self._why[bad].tolist(), strict=True)
        ]
        return sorted([*sheet.rejects, *refused], key=lambda reject: reject.line)


def is_null(array: pa.Array) -> Mask:
    """Return a mask of the nulls."""
    mask: Mask = pc.is_null(array).to_numpy(zero_copy_only=False)
    return mask


def has_line_break(array: pa.Array) -> Mask:
    """Return a mask of the strings that hold a line break."""
    mask: Mask = pc.fill_null(pc.match_substring(array, "\n"), False).to_numpy(zero_copy_only=False)
    return mask


def as_text(array: pa.Array, name: str) -> pa.Array:
    """Return any flat column as strings: 5.0 from a column of whole numbers reads 5."""
    kind = array.type
    if pa.types.is_floating(kind):
        array = _whole(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pc.binary_join(pc.cast(array, pa.list_(pa.string())), "|")
    try:
        return pc.cast(array, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:  # Arrow's word for a cast that it lacks
        raise InputError(name, str(kind), "text or numbers") from error


def _whole(array: pa.Array) -> pa.Array:
    """Cast to integers where nothing is lost: data frames turn whole numbers with gaps into floats."""
    array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    try:
        return pc.cast(array, pa.int64())
    except pa.ArrowInvalid:
        return array
