"""The folded counters of one bundle: what `ports.features.FeatureState` promises, from popularity and transitions."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import BundleError
from slatewise.domain.ids import Rows, Scores
from slatewise.domain.ordering import top
from slatewise.features.popularity import Popularity
from slatewise.features.shares import Shares
from slatewise.features.transitions import Transitions

LAST = 10
FOLLOW_DECAY = 0.8
FOLLOW_PRIOR = 20.0
"""Followers of an item are shares of its count plus this many, so that rarely seen items speak softly."""


class CountedState:
    """Counts interactions of the *counted* actions (settings' indexes). One writer, many readers.

    *shares* says which repeats of one user still count, for all counts alike; without it all do.
    """

    def __init__(
        self,
        counted: Collection[int],
        popularity: Popularity | None = None,
        transitions: Transitions | None = None,
        shares: Shares | None = None,
    ) -> None:
        self._counted = np.array(sorted(counted), np.int64)
        self.shares = shares
        self.popularity = popularity or Popularity()
        self.transitions = transitions or Transitions()

    @classmethod
    def ending(cls, counted: Collection[int], interactions: Interactions, shares: Shares | None = None) -> CountedState:
        """Return an empty state for a world whose newest *interactions* these are: recent counts are relative to them.

        States compare bit for bit where they are relative to the same instant.
        """
        known = interactions.at[np.isfinite(interactions.at)]
        return cls(counted, Popularity(float(known.max()) if known.size else np.nan), shares=shares)

    def fold(self, interactions: Interactions) -> None:
        """Absorb interactions in log order; those of other actions are passed over."""
        kept = np.isin(interactions.action, self._counted)
        user, item, at = interactions.user[kept], interactions.item[kept], interactions.at[kept]
        if self.shares is not None:
            counts = self.shares.admit(user, item, at)
            user, item, at = user[counts], item[counts], at[counts]
        self.popularity.fold(item, at)
        self.transitions.fold(user, item)

    def next_items(self, last: Rows, limit: int) -> tuple[Rows, Scores]:
        """Return rows that tend to follow the *last* rows (newest last), best first."""
        rows: list[Rows] = []
        shares: list[npt.NDArray[np.float64]] = []
        for distance, row in enumerate(last[::-1][:LAST].tolist()):
            after, _, decayed = self.transitions.followers(row)
            prior = float(self.popularity.counts(np.array([row]))[0]) + FOLLOW_PRIOR
            rows.append(after)
            shares.append(decayed.astype(np.float64) * (FOLLOW_DECAY**distance / prior))
        if not rows:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        distinct, place = np.unique(np.concatenate(rows), return_inverse=True)
        score = (np.bincount(place, np.concatenate(shares), distinct.size) / 1000.0).astype(np.float32)
        best = top(score, limit)
        return distinct[best], score[best]

    def trending(self, at: float, limit: int) -> tuple[Rows, Scores]:
        """Return the rows many users touched lately, best first. All counts decay alike, so *at* does not matter."""
        return self.popularity.most_recent(limit)

    def save(self, folder: Path) -> None:
        """Write the counters into *folder*, which exists."""
        self.popularity.save(folder)
        self.transitions.save(folder)
        if self.shares is not None:
            self.shares.save(folder)

    @classmethod
    def load(cls, folder: Path, counted: Collection[int]) -> CountedState:
        """Return the counters that `save` wrote. Raises BundleError where they are damaged."""
        try:
            return cls(counted, Popularity.load(folder), Transitions.load(folder), Shares.load(folder))
        except (OSError, EOFError, BadZipFile, ValueError, KeyError) as error:
            raise BundleError(f"{folder.name}: the counters cannot be read: {error}") from error
