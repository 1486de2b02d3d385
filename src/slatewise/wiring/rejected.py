"""Takes a user's lines out of HOME/rejects, which quote what an import refused. Knows no log."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

from slatewise.bundles.durable import sync_folder, write_atomically
from slatewise.datasets.rejects import MAX_TEXT
from slatewise.domain.errors import StorageError

LEAST_CUT = 4
"""Characters of a name at the end of a line that was cut off there which are taken for the user's."""


def forget_rejects(folder: Path, user_id: str) -> int:
    """Delete every line that names the user, from all files of *folder*, and return how many it were.

    A name counts where it stands alone, between anything but letters, digits, ``_`` and ``-``, as it is or escaped, or
    where it was cut off. Rather a line too many than one too few: they are reports. Raises StorageError.
    """
    names = sorted({user_id, json.dumps(user_id)[1:-1], repr(user_id)[1:-1]}, key=len)
    alone = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, names))})(?![\w-])")
    cuts = tuple({name[:length] for name in names for length in range(LEAST_CUT, len(name) + 1)})
    gone = 0
    try:
        for path in sorted(folder.glob("*.csv")):
            gone += _without(path, alone, cuts)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StorageError(f"{folder} cannot be searched for the user: {error}; delete it and ask again") from error
    return gone


def _without(path: Path, alone: re.Pattern[str], cuts: tuple[str, ...]) -> int:
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    kept = [row for row in rows if not any(_names(field, alone, cuts) for field in row)]
    if len(kept) == len(rows):
        return 0
    if kept:
        out = io.StringIO(newline="")
        csv.writer(out).writerows([head, *kept])
        write_atomically(path, out.getvalue().encode())
    else:
        path.unlink()
        sync_folder(path.parent)
    return len(rows) - len(kept)


def _names(field: str, alone: re.Pattern[str], cuts: tuple[str, ...]) -> bool:
    return alone.search(field) is not None or (len(field) >= MAX_TEXT and field.removesuffix("...").endswith(cuts))
