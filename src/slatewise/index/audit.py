"""Measures the recall of an index while it serves: some searches are repeated exactly, in the background."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Lock, Thread

import numpy as np

from slatewise.domain.ids import Mask, Rows, Scores, Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.ports.index import SearchesExactly, VectorIndex

WINDOW = 200
"""Audits whose mean is told."""

FEWEST = 20
"""Audits before a low mean is worth a warning."""

WAITING = 16
"""Searches that may wait for their audit; further ones go without."""

IDLE_S = 1.0
"""Seconds after which a worker without work ends."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    query: Vectors
    k: int
    allow: Mask | None
    scores: Scores


class AuditedIndex:
    """An approximate index that tells its recall as it is: the mean of the last `WINDOW` audits. Thread-safe.

    Every ``1 / settings.audit``-th search is repeated by `SearchesExactly.search_exactly` in a thread of its own, never
    in the request; where audits come too fast, some are left out. Warns when the mean falls below ``settings.recall``.
    """

    def __init__(self, index: SearchesExactly, settings: IndexSettings, tell: Callable[[float], None]) -> None:
        self._index = index
        self._target = settings.recall
        self._every = max(1, round(1 / settings.audit))
        self._tell = tell
        self._count = 0
        self._lock = Lock()
        self._queue: Queue[_Asked] = Queue(WAITING)
        self._is_working = False
        self._recalls: deque[float] = deque(maxlen=WINDOW)
        self._is_low = False

    @property
    def kind(self) -> str:
        return self._index.kind

    @property
    def is_exact(self) -> bool:
        return self._index.is_exact

    @property
    def dim(self) -> int:
        return self._index.dim

    def __len__(self) -> int:
        return len(self._index)

    def search(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        rows, scores = self._index.search(query, k, allow)
        # Not exact under concurrency, and it need not be.
        self._count += 1
        if self._count % self._every == 0 and scores.size:
            self._enqueue(_Asked(np.array(query), k, None if allow is None else allow.copy(), scores.copy()))
        return rows, scores

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        self._index.upsert(rows, vectors)

    def remove(self, rows: Rows) -> None:
        self._index.remove(rows)

    def save(self, folder: Path) -> None:
        self._index.save(folder)

    def _enqueue(self, asked: _Asked) -> None:
        try:
            self._queue.put_nowait(asked)
        except Full:
            return
        with self._lock:
            if self._is_working:
                return
            self._is_working = True
        Thread(target=self._work, name="slatewise-index-audit", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                asked = self._queue.get(timeout=IDLE_S)
            except Empty:
                with self._lock:
                    if self._queue.empty():
                        self._is_working = False
                        return
                continue
            try:
                self._audit(asked)
            except Exception:  # noqa: BLE001 - whatever goes wrong with one audit must not end the others
                _log.exception("a search could not be audited")

    def _audit(self, asked: _Asked) -> None:
        _, right = self._index.search_exactly(asked.query, asked.k, asked.allow)
        if not right.size:
            return
        # By scores, so that equals count; products may differ in the last bit with the order of the sums.
        worst = right[-1] - 1e-5 * abs(float(right[-1]))
        self._recalls.append(min(1.0, float(np.count_nonzero(asked.scores >= worst)) / right.size))
        mean = float(np.mean(self._recalls))
        self._tell(mean)
        was_low, self._is_low = self._is_low, len(self._recalls) >= FEWEST and mean < self._target
        if self._is_low and not was_low:
            advice = "train again, or raise index.probes"
            _log.warning("index recall %.4f is below index.recall %.4f: %s", mean, self._target, advice)


def audited(index: VectorIndex, settings: IndexSettings, tell: Callable[[float], None]) -> VectorIndex:
    """Return *index* with audits where it is approximate, can search exactly and settings ask for them."""
    if index.is_exact or settings.audit <= 0 or not isinstance(index, SearchesExactly):
        return index
    return AuditedIndex(index, settings, tell)
