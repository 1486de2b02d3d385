"""`slatewise serve` for a soak: LEAK, and then what `slatewise serve` takes.

The real server but for one bound: the log's page caches may take 64 MB, which fill within an hour, and until then look
like a leak. Here they may take 1. It loses LEAK bytes a slate: 0, or what a soak has to notice.
"""

import sqlite3
import sys

from slatewise.cli.main import main
from slatewise.domain.query import Query
from slatewise.domain.slate import Slate
from slatewise.wiring.recent import RecentQueries

KEPT: list[bytearray] = []


def leak(size: int) -> None:
    served = RecentQueries.served

    def kept(self: RecentQueries, query: Query, slate: Slate) -> None:
        KEPT.append(bytearray(size))
        served(self, query, slate)

    RecentQueries.served = kept


if __name__ == "__main__":
    if leaked := int(sys.argv.pop(1)):
        leak(leaked)
    sqlite3.connect(":memory:").execute("PRAGMA soft_heap_limit = 1000000")  # of the whole process
    sys.argv.insert(1, "serve")
    main()
