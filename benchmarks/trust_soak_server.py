"""`slatewise serve` for a soak: KIND, and then what `slatewise serve` takes.

``plain`` is the real server but for one bound: the log's page caches may take 64 MB, which fill within an hour, and
until then look like a leak. Here they may take 4. ``leak`` loses 1 KB a slate besides, which a soak has to notice.
"""

import sqlite3
import sys

from slatewise.cli.main import main
from slatewise.domain.query import Query
from slatewise.domain.slate import Slate
from slatewise.wiring.recent import RecentQueries

KEPT: list[bytearray] = []


def leak() -> None:
    served = RecentQueries.served

    def kept(self: RecentQueries, query: Query, slate: Slate) -> None:
        KEPT.append(bytearray(1024))
        served(self, query, slate)

    RecentQueries.served = kept


if __name__ == "__main__":
    if sys.argv.pop(1) == "leak":
        leak()
    sqlite3.connect(":memory:").execute("PRAGMA soft_heap_limit = 4000000")  # of the whole process
    sys.argv.insert(1, "serve")
    main()
