"""The four request-time stages.

A stage returns a *decision* about the candidates, never the candidates themselves, so a scorer cannot drop an item
and a filter cannot reorder one. Only `serving` applies decisions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Frame, Mask, Positions, Scores
from slatewise.domain.query import Resolved


class Source(Protocol):
    """Retrieval: proposes candidates. One source may fail alone."""

    @property
    def name(self) -> str: ...

    @property
    def limit(self) -> int:
        """How many candidates this source should still hold after filtering (a setting)."""
        ...

    def retrieve(self, query: Resolved, limit: int) -> Candidates:
        """Return at most *limit* candidates, best first. Empty is a fine answer."""
        ...


class Filter(Protocol):
    """Filtering: says which candidates may be shown at all. Runs in declared order."""

    @property
    def name(self) -> str: ...

    def keep(self, query: Resolved, candidates: Candidates) -> Mask:
        """Return one verdict per candidate, True to keep. Pure: no I/O, no memory. Cheap: it re-runs on cache hits."""
        ...


@dataclass(frozen=True, slots=True)
class Scored:
    """A scorer's decision. ``features`` and ``probabilities`` are what it rests on, for `explain`."""

    score: Scores
    feature_names: tuple[str, ...]
    features: Frame
    probabilities: Mapping[str, Scores]


class Scorer(Protocol):
    """Ranking: prices each candidate on its own.

    A candidate's score depends on the query and that candidate only, never on its neighbours in the batch.
    """

    @property
    def name(self) -> str: ...

    def score(self, query: Resolved, candidates: Candidates) -> Scored:
        """Return one score per candidate, higher is better, NaN for no opinion."""
        ...


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A reranker's decision: distinct positions in display order, and per place why it stands there.

    ``propensity`` is, per place, the probability in (0, 1] with which this item came to stand there given the
    candidates: 1 where nothing was drawn; None where the reranker does not say. ``explored_from`` is the number of
    items that the last place was drawn from; 0 where it was not drawn. ``order`` holds all positions, best first, as
    the reranker weighs them before it composes; None where that is the ranked order. It says what is worth keeping for
    the next slate.
    """

    position: Positions
    reason: tuple[str, ...]
    propensity: Scores | None = None
    explored_from: int = 0
    order: Positions | None = None


class Reranker(Protocol):
    """Re-ranking: composes the slate; the only stage that sees neighbours."""

    @property
    def name(self) -> str: ...

    def arrange(self, query: Resolved, ranked: Candidates, size: int) -> Arrangement:
        """Return up to *size* distinct positions in *ranked*, in display order."""
        ...
