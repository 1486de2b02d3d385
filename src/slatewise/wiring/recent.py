"""A few of the latest queries, to warm a bundle with what is really asked. Ids only; knows no bundle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from slatewise.domain.errors import InputError
from slatewise.domain.query import Query
from slatewise.domain.slate import Slate
from slatewise.ports.clock import Again

KEPT = 32
"""Queries kept: enough to touch every path that traffic takes, few enough to be answered before a swap."""

EVERY = 4
"""One query of so many is kept, so that one busy client does not fill the ring."""

LONGEST = 100
"""Ids in a query that is worth keeping: this bounds the ring in bytes."""


class RecentQueries:
    """An `Observer` that remembers what was asked, without contexts, vectors and answers. Thread-safe."""

    def __init__(self) -> None:
        self._queries: deque[Query] = deque(maxlen=KEPT)
        self._asked = 0

    def served(self, query: Query, slate: Slate) -> None:
        """Keep the query, now and then."""
        # Not exact between threads, and it need not be.
        self._asked += 1
        named = len(query.exclude) + len(query.history or ())
        if self._asked % EVERY == 1 and query.vector is None and named <= LONGEST:
            self._queries.append(
                replace(
                    query,
                    request_id="warm-up",
                    context={},
                    cursor=None,
                    min_version=None,
                    deadline_ms=60_000.0,
                    explain=False,
                )
            )

    def again(self, query: Query, slate: Slate) -> Again | None:
        # It has been asked a few times by then, and each time would be the same.
        return None

    def forget(self, is_gone: Callable[[str], bool]) -> None:
        """Drop what users that *is_gone* asked."""
        for query in tuple(self._queries):
            if query.user_id is not None and is_gone(query.user_id):
                with suppress(ValueError):
                    self._queries.remove(query)

    def replay(self, recommend: Callable[[Query], object], at: float) -> int:
        """Ask *recommend* all of it, as of the instant *at*, and return how many queries it was.

        A query that makes no sense any more is passed over; whatever else is raised is the caller's to hear.
        """
        queries = tuple(self._queries)
        for query in queries:
            with suppress(InputError):
                recommend(replace(query, at=at))
        return len(queries)
