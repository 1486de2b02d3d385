"""A copy of the log file at one moment, taken while others write it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from slatewise.domain.errors import StorageError
from slatewise.storage.mark import check_mark
from slatewise.storage.readers import Readers
from slatewise.storage.verifying import Verdict, verify_log


def snapshot(log: Path, target: Path) -> Verdict:
    """Write all that is committed in *log* now to the new file *target*, and check every row of the copy.

    Writers are not held up. Raises StorageError where the log is damaged: a backup must not hide it.
    """
    readers = Readers(log)
    try:
        check_mark(log, readers.borrow)
        with readers.borrow() as source, closing(sqlite3.connect(target, isolation_level=None)) as copy:
            # All pages in one step: one read transaction, so one moment.
            source.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        readers.close()
    verdict = verify_log(target)
    if verdict.damages:
        raise StorageError(f"{log} is damaged: {verdict.damage[0]} ({verdict.damages} in all)")
    return verdict
