"""The train.txt / test.txt layout of NGCF and LightGCN: one user per line with all their items, no times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from slatewise.datasets.assembly import Sheets, assemble
from slatewise.datasets.dataset import Dataset
from slatewise.datasets.sheet import Sheet
from slatewise.domain.errors import InputError


def read_lightgcn(folder: Path, *, action: str = "interaction") -> tuple[Dataset, dict[str, list[str]]]:
    """Return the training interactions, unordered, and each test user's items.

    A line is ``user item item ...``, parted by spaces; its order carries no meaning and is shuffled away. Users without
    a test item are left out of the test. Raises InputError where a file is missing.
    """
    folder = Path(folder)
    lines = _lines(folder / "train.txt")
    counts = np.array([len(line) - 1 for line in lines], np.int64)
    users = pa.array([line[0] for line in lines], pa.string())
    items = pa.array([item for line in lines for item in line[1:]], pa.string())
    place = np.repeat(np.arange(len(lines)), counts)
    table = pa.table({"user_id": users.take(pa.array(place)), "item_id": items})
    train = assemble(
        Sheets(Sheet("train.txt", table, place + 1, True)),
        mapping={},
        default_action=action,
        actions=(action,),
        now=0.0,
    )
    return train, {line[0]: line[1:] for line in _lines(folder / "test.txt") if len(line) > 1}


def _lines(path: Path) -> list[list[str]]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("folder", str(path.parent), f"a file {path.name} that can be read: {error}") from error
    return [parts for line in text.splitlines() if (parts := line.split())]
