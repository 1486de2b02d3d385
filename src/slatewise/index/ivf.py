"""The index for large catalogues: inverted lists of 8-bit codes, scanned by the kernel. Knows nothing of towers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock, Thread

import numpy as np

from slatewise.domain.ids import Mask, Positions, Rows, Scores, Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.index.checks import checked_allow, checked_query, checked_rows, checked_vectors
from slatewise.index.fresh import Fresh, fresh_beside
from slatewise.index.ivf_files import write_ivf
from slatewise.index.kernel import kernel
from slatewise.index.lists import Lists
from slatewise.index.plan import Plan
from slatewise.index.probing import fewest_probes, with_filters
from slatewise.index.recent import RecentQueries
from slatewise.index.renewal import Renewed, grouped, renewed
from slatewise.index.segment import Segment

SHORTLIST = 1.5
"""Candidates by code whose exact products are taken, per result asked for; and some more."""

MORE = 32
DUE_SHARE, DUE_LEAST = 32, 2_048
"""Changes, as a part of all vectors, after which the lists are renewed."""


@dataclass(frozen=True, slots=True)
class _State:
    """What a search sees. Immutable in effect: what is written later lies beyond ``length`` or after ``at``."""

    base: Segment
    lists: Lists
    fresh: Fresh
    length: int
    at: int
    live: int
    position_of: Positions
    """Per row its newest position (fresh ones follow the base's), or -1."""
    plan: Plan
    changed: int = 0
    """Changes since the centroids were made."""
    pending: int = 0
    """Changes that the lists do not hold: fresh vectors, and dead ones that are still listed."""


class IvfIndex:
    """Finds almost all of the nearest rows by scanning the codes of the lists that promise most. Thread-safe.

    A search reads one immutable state: lists, and beside them a segment of what was written since, which is scanned
    whole. Products are exact (float32); only which rows are found is approximate. Readers wait for nobody. A replaced
    vector is stamped as dead and its successor appended, then both are shown at once; a thread brings the lists up to
    date and swaps them in, making new clusters where much has changed. Equal scores come in the order of their rows.
    """

    kind = "ivf"
    is_exact = False

    def __init__(
        self,
        dim: int,
        settings: IndexSettings,
        made: Renewed | None = None,
        plan: Plan | None = None,
        queries: Vectors | None = None,
    ) -> None:
        self._dim = dim
        self._settings = settings
        made = made or grouped(np.empty(0, np.int64), np.empty((0, dim), np.float32), settings.lists)
        live = made.live
        self._state = _State(
            made.base,
            made.lists,
            fresh_beside(live, dim),
            length=0,
            at=1,
            live=live,
            position_of=made.position_of,
            plan=plan or Plan.usual(len(made.lists), settings),
        )
        self._writing = Lock()
        self._renewing = Lock()
        self._renewal_planned = False
        self._recent = RecentQueries(dim) if queries is None else RecentQueries.of(queries)

    @property
    def dim(self) -> int:
        return self._dim

    def __len__(self) -> int:
        return self._state.live

    @property
    def plan(self) -> Plan:
        """How far a search goes."""
        return self._state.plan

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return len(self._state.lists)

    @property
    def rows_end(self) -> int:
        """One more than the largest row that ever was."""
        return int(self._state.position_of.size)

    def with_plan(self, plan: Plan) -> IvfIndex:
        """Search by *plan* from now on; returns the index itself."""
        with self._writing:
            self._state = replace(self._state, plan=plan)
        return self

    def search(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        state = self._state
        query, allow = checked_query(query, self._dim), checked_allow(allow)
        permitted = state.live if allow is None else min(state.live, int(np.count_nonzero(allow)))
        probes = state.plan.probes_for(permitted, state.live)
        self._recent.note(query)
        return self._searched(state, query, k, allow, permitted, probes)

    def search_exactly(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        """Return what `search` does, with every list scanned and a short list four times as long."""
        return self.search_with(query, k, allow, self.lists, widen=4)

    def search_with(
        self, query: Vectors, k: int, allow: Mask | None, probes: int | None, widen: int = 1
    ) -> tuple[Rows, Scores]:
        """Search *probes* lists whatever the plan says (None: score each allowed row), with a short list *widen* times
        as long: for measurements.
        """
        state, allow = self._state, checked_allow(allow)
        permitted = state.live if allow is None else min(state.live, int(np.count_nonzero(allow)))
        return self._searched(state, checked_query(query, self._dim), k, allow, permitted, probes, widen)

    @staticmethod
    def _searched(
        state: _State, query: Vectors, k: int, allow: Mask | None, permitted: int, probes: int | None, widen: int = 1
    ) -> tuple[Rows, Scores]:
        k = min(k, permitted)
        rows, scores = np.empty(max(k, 0), np.int64), np.empty(max(k, 0), np.float32)
        if k <= 0:
            return rows, scores
        seen = (state.base.handle, state.lists.handle, state.fresh.segment.handle, state.length, state.at, query, allow)
        if probes is None:
            found = kernel.search_allowed(*seen, rows, scores, state.position_of, state.fresh.earlier)
        else:
            quota = 0 if allow is None else int(permitted * min(1.0, probes / len(state.lists)))
            found = kernel.search(*seen, rows, scores, int(k * SHORTLIST * widen) + MORE, probes, quota)
        return rows[:found], scores[:found]

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        rows, vectors = checked_vectors(rows, vectors, self._dim)
        if not rows.size:
            return
        while True:
            with self._writing:
                if self._append(rows, vectors):
                    break
            if rows.size > self._state.fresh.room // 2:
                return self._absorb(rows, vectors)
            # Far ahead of the lists: this writer brings them up to date.
            self._renew()
        self._renew_when_due()

    def _append(self, rows: Rows, vectors: Vectors) -> bool:
        state = self._state
        if state.length + rows.size > state.fresh.room:
            return False
        position_of = _grown(state.position_of, int(rows.max()) + 1)
        earlier = position_of[rows]
        state.fresh.append(state.length, rows, vectors, earlier)
        replaced = earlier[earlier >= 0]
        listed = _bury(state, replaced, state.at + 1)
        position_of[rows] = np.arange(state.length, state.length + rows.size) + state.base.positions
        self._state = replace(
            state,
            length=state.length + rows.size,
            at=state.at + 1,
            live=state.live + rows.size - replaced.size,
            position_of=position_of,
            changed=state.changed + rows.size,
            pending=state.pending + rows.size + listed,
        )
        return True

    def remove(self, rows: Rows) -> None:
        rows = np.unique(checked_rows(rows))
        with self._writing:
            state = self._state
            known = rows[(rows >= 0) & (rows < state.position_of.size)]
            known = known[state.position_of[known] >= 0]
            if not known.size:
                return
            listed = _bury(state, state.position_of[known], state.at + 1)
            state.position_of[known] = -1
            self._state = replace(
                state,
                at=state.at + 1,
                live=state.live - known.size,
                changed=state.changed + known.size,
                pending=state.pending + listed,
            )
        self._renew_when_due()

    def renew(self) -> None:
        """Bring the lists up to date now, in the caller's thread. Searches go on meanwhile, and so do writes."""
        self._renew()

    def _renew(self) -> None:
        with self._renewing:
            state = self._state
            if state.pending:
                made = self._made(state)
                with self._writing:
                    self._state = self._swapped(state, made)
                if not made.changed:
                    self._replan()

    def _replan(self) -> None:
        """Choose probes for new clusters, by the queries that were asked of late."""
        queries = self._recent.some()
        if len(queries) and not self._settings.probes:
            plan = fewest_probes(self, queries, self._settings.recall)
            self.with_plan(with_filters(self, plan, queries[: len(queries) // 4], self._settings.recall))

    def _absorb(self, rows: Rows, vectors: Vectors) -> None:
        """Make lists that hold these too: more than may be fresh. Other writers wait, readers do not."""
        with self._renewing, self._writing:
            state = self._state
            made = self._made(replace(state, changed=state.changed + rows.size), (rows, vectors))
            self._state = self._beside(state, made, made.live)
        if not made.changed:
            self._replan()

    def _made(self, state: _State, added: tuple[Rows, Vectors] | None = None) -> Renewed:
        return renewed(
            state.base,
            state.lists,
            state.fresh.segment,
            state.length,
            state.at,
            added,
            changed=state.changed,
            wanted=self._settings.lists,
        )

    def _swapped(self, before: _State, made: Renewed) -> _State:
        """Return a state with *made*, which holds what *before* showed, and with what was written since."""
        now = self._state
        died = [
            np.flatnonzero((deaths > before.at) & (deaths <= now.at)) + offset
            for deaths, offset in (
                (now.base.deaths, 0),
                (now.fresh.segment.deaths[: before.length], now.base.positions),
            )
        ]
        gone = made.moved(np.concatenate(died))
        made.base.bury(gone, now.at)
        tail = now.fresh.segment.alive(now.at, before.length, now.length)
        rows = now.fresh.segment.rows[tail].astype(np.int64)
        state = self._beside(now, made, now.live)
        position_of = _grown(state.position_of, now.position_of.size)
        position_of[np.flatnonzero(now.position_of < 0)] = -1
        state.fresh.append(0, rows, now.fresh.segment.vectors[tail], np.full(rows.size, -1))
        position_of[rows] = np.arange(rows.size) + state.base.positions
        changed = made.changed + now.changed - before.changed
        pending = rows.size + gone.size
        return replace(state, length=rows.size, position_of=position_of, changed=changed, pending=pending)

    def _beside(self, state: _State, made: Renewed, live: int) -> _State:
        """Return a state that shows just the lists of *made*."""
        plan = state.plan.scaled(len(state.lists), len(made.lists))
        fresh = fresh_beside(made.live, self._dim)
        return _State(made.base, made.lists, fresh, 0, state.at + 1, live, made.position_of, plan, made.changed)

    def columns(self) -> tuple[Rows, Vectors]:
        """Return copies of all living rows and their vectors."""
        state = self._state
        parts = ((state.base, state.base.positions), (state.fresh.segment, state.length))
        alive = [segment.alive(state.at, end=end) for segment, end in parts]
        rows = np.concatenate([segment.rows[at] for (segment, _), at in zip(parts, alive, strict=True)])
        vectors = np.concatenate([np.take(s.vectors, at, axis=0) for (s, _), at in zip(parts, alive, strict=True)])
        return rows.astype(np.int64), vectors

    def save(self, folder: Path) -> None:
        self.renew()
        with self._renewing, self._writing:
            if self._state.pending:
                self._state = self._swapped(self._state, self._made(self._state))
            state = self._state
        write_ivf(
            folder, self.kind, state.base, state.lists, state.live, state.changed, state.plan, self._recent.some()
        )

    def _renew_when_due(self) -> None:
        state = self._state
        if state.pending < max(state.live // DUE_SHARE, DUE_LEAST):
            return
        with self._writing:
            planned, self._renewal_planned = self._renewal_planned, True
        if not planned:
            # Not a daemon: one that is torn down inside the kernel at exit would abort the process.
            Thread(target=self._renew_as_planned, name="slatewise-index-renewal").start()

    def _renew_as_planned(self) -> None:
        try:
            self._renew()
        finally:
            self._renewal_planned = False


def _bury(state: _State, positions: Positions, at: int) -> int:
    """Stamp *positions* as dead; return how many of them are in lists."""
    base = state.base.positions
    listed = positions[positions < base]
    state.base.bury(listed, at)
    state.fresh.segment.bury(positions[positions >= base] - base, at)
    return int(listed.size)


def _grown(position_of: Positions, needed: int) -> Positions:
    """Return room for *needed* rows; readers of before keep the old array, which lacks only what they cannot see."""
    if needed <= position_of.size:
        return position_of
    grown = np.full(max(needed, position_of.size * 3 // 2), -1)
    grown[: position_of.size] = position_of
    return grown
