"""Features: one definition, read live and read as of the past."""

from typing import Protocol

from slatewise.domain.candidate import Candidates
from slatewise.domain.columns import Interactions
from slatewise.domain.ids import Frame, Rows, Scores
from slatewise.domain.query import Resolved


class FeatureState(Protocol):
    """Counters folded from interactions in log order; the same object serves and replays."""

    def fold(self, interactions: Interactions) -> None:
        """Absorb interactions in log order. Folding in one batch or one by one gives equal states, bit for bit."""
        ...

    def next_items(self, last: Rows, limit: int) -> tuple[Rows, Scores]:
        """Return rows that tend to follow the *last* rows (newest last), best first."""
        ...

    def trending(self, at: float, limit: int) -> tuple[Rows, Scores]:
        """Return the rows many users touched lately, best first."""
        ...


class FeatureFrame(Protocol):
    """Turns a query and its candidates into the ranker's dense inputs."""

    @property
    def names(self) -> tuple[str, ...]:
        """One name per column."""
        ...

    def read(self, query: Resolved, candidates: Candidates) -> Frame:
        """Return shape ``(len(candidates), len(names))``; a missing value is NaN."""
        ...
