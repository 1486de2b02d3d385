"""One table as read: named columns, the line of each row, the rows refused so far. Knows no meaning of a column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slatewise.datasets.rejects import Reject
from slatewise.domain.errors import InputError
from slatewise.domain.ids import Mask

TEXT_SHOWN = 200
"""Characters of a refused row that are kept."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of one length ``(n,)`` as Arrow arrays of any type; ``line`` is 1-based, as an editor counts."""

    file: str
    columns: dict[str, pa.Array]
    line: npt.NDArray[np.int64]
    rejects: list[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        return int(self.line.size)

    def take(self, keep: Mask) -> Table:
        """Return the rows marked by *keep*; the rejects are shared."""
        if bool(keep.all()):
            return self
        mask = pa.array(keep)
        return Table(self.file, {n: c.filter(mask) for n, c in self.columns.items()}, self.line[keep], self.rejects)

    def text(self, row: int) -> str:
        """Return what one row says, its values joined by commas, shortened."""
        values = (column[row].as_py() for column in self.columns.values())
        return ",".join("" if value is None else str(value) for value in values)[:TEXT_SHOWN]

    def refuse(self, bad: Iterable[tuple[Mask, str]]) -> Table:
        """Return the rows marked by none of the masks; note each other row once, by the first reason that holds."""
        keep = np.ones(len(self), bool)
        for mask, reason in bad:
            for row in np.flatnonzero(mask & keep).tolist():
                self.rejects.append(Reject(self.file, int(self.line[row]), reason, self.text(row)))
            keep &= ~mask
        return self.take(keep)


def require(table: Table, names: Iterable[str]) -> None:
    """Raise InputError where a column is missing, saying which there are and how to name one."""
    for name in names:
        if name not in table.columns:
            there = ", ".join(table.columns) or "none"
            raise InputError(
                table.file, f"columns {there}", f"a column {name!r}; if another one is meant: --map {name}=<its name>"
            )


def stop_if_strict(rejects: list[Reject], strict: bool) -> None:
    """Raise InputError for the first of the rejects, by line, where nothing may be refused."""
    if strict and rejects:
        first = min(rejects, key=lambda reject: reject.line)
        raise InputError(f"{first.file}:{first.line}", first.text, f"a good row ({first.reason})")
