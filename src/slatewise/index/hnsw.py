"""The approximate index: a frozen graph, and an exact scan of what changed since. Knows nothing of towers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread

import numpy as np

from slatewise.domain.ids import Mask, Positions, Rows, Scores, Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.index.checks import checked_allow, checked_query, checked_rows, checked_vectors
from slatewise.index.files import GraphHeader, write_store
from slatewise.index.graph import REACH, Graph
from slatewise.index.store import VectorStore, View

WIDEST = 2_000
"""Most neighbours asked of the graph; further ones come cheaper from a scan."""
ROWS_PER_STEP = 50
"""Rows scanned in the time the graph takes per neighbour: 0.55 us against 11 ns, measured with 20k and 200k rows."""
FEWEST_CHANGES, MOST_CHANGES = 1_024, 8_192
"""Bounds of how many changes are scanned beside the graph before it is renewed."""
REPEATABLE_UP_TO = 50_000
"""Additions up to which one thread is fast enough, so that the same vectors give the same graph."""


@dataclass(frozen=True, slots=True)
class _State:
    view: View
    graph: Graph


class HnswIndex:
    """Finds most of the nearest rows in logarithmic time. Meant for unit vectors. Thread-safe.

    A search reads one immutable state: a frozen graph and a view of the store. Vectors written after the graph are
    scored exactly beside it and those replaced or removed since are dropped, so a row is never missing while it is
    replaced, and a removed row never returns. Writers wait for no graph either, unless they are far ahead of it: a
    thread extends a copy and swaps it in. Scores are exact inner products; only which rows are found is approximate.
    """

    kind = "hnsw"
    is_exact = False

    def __init__(
        self, dim: int, settings: IndexSettings, store: VectorStore | None = None, graph: Graph | None = None
    ) -> None:
        self._dim = dim
        self._settings = settings
        self._store = VectorStore(dim) if store is None else store
        self._state = _State(self._store.view, Graph.empty(dim, settings) if graph is None else graph)
        self._writing = Lock()
        self._renewing = Lock()
        self._renewal_planned = False

    @property
    def dim(self) -> int:
        return self._dim

    def __len__(self) -> int:
        return self._state.view.live

    def search(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        query, allow = checked_query(query, self._dim), checked_allow(allow)
        state = self._state
        view = state.view
        permitted = view.live if allow is None else min(view.live, int(np.count_nonzero(allow)))
        k = min(k, permitted)
        if k <= 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        # Twice as many as needed: a wider search finds more of the true neighbours, and some may be dead.
        width = max(2 * k * view.live // permitted, REACH)
        while width <= WIDEST and max(width, self._settings.expansion_search) * ROWS_PER_STEP < permitted:
            near = view.born(state.graph.near(query, width))
            near = near[view.permitted(near, allow)]
            # Newer rows do not count: they are not what lies nearest, they only compete with it.
            if near.size >= k:
                return view.rank(np.concatenate((near, _newer(state, allow))), query, k)
            width *= 2
        return view.scan(query, k, allow)

    def search_exactly(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        """Return what `search` does, by scanning every vector."""
        return self._state.view.scan(checked_query(query, self._dim), k, checked_allow(allow))

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        rows, vectors = checked_vectors(rows, vectors, self._dim)
        with self._writing:
            self._store.upsert(rows, vectors)
            self._state = _State(self._store.view, self._state.graph)
        self._renew_when_due()

    def remove(self, rows: Rows) -> None:
        rows = checked_rows(rows)
        with self._writing:
            self._store.remove(rows)
            self._state = _State(self._store.view, self._state.graph)
        self._renew_when_due()

    def renew(self) -> None:
        """Bring the graph up to date now, in the caller's thread. Searches go on meanwhile, and so do writes."""
        changes = self._state.view.at - self._state.graph.at
        self._renew(threads=1 if changes < REPEATABLE_UP_TO else 0)

    def _renew(self, threads: int) -> None:
        with self._renewing:
            state = self._state
            if state.view.at == state.graph.at:
                return
            graph = state.graph.extended(state.view, self._settings, threads)
            with self._writing:
                self._state = _State(self._store.view, graph)

    def save(self, folder: Path) -> None:
        self.renew()
        # The graph first: whatever is written after it is found by its birth, and scanned beside it.
        graph = self._state.graph
        graph.save(folder)
        write_store(folder, self.kind, self._store.view, GraphHeader(graph.at, tuple(graph.unreached.tolist())))

    def _renew_when_due(self) -> None:
        state = self._state
        changes = state.view.at - state.graph.at
        limit = min(max(state.view.live // 16, FEWEST_CHANGES), MOST_CHANGES)
        if changes >= 4 * limit:
            self.renew()
        elif changes >= limit:
            with self._writing:
                planned, self._renewal_planned = self._renewal_planned, True
            if not planned:
                # Not a daemon: one that is torn down inside the library at exit would abort the process.
                Thread(target=self._renew_as_planned, name="slatewise-index-renewal").start()

    def _renew_as_planned(self) -> None:
        try:
            # usearch asks the interpreter for signals after each vector of its first worker, which takes 5 ms while
            # requests keep the interpreter busy; a second worker is not held up.
            self._renew(threads=2)
        finally:
            self._renewal_planned = False


def _newer(state: _State, allow: Mask | None) -> Positions:
    """Return the permitted slots that the graph does not know yet."""
    newer = state.view.since(state.graph.at)
    slots: Positions = newer.start + np.flatnonzero(state.view.permitted(newer, allow))
    return slots
