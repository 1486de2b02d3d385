"""Boosts: the operator's factors on the scores of items that meet conditions. Knows nothing of slates."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from slatewise.domain.errors import ConfigError, InputError
from slatewise.domain.ids import Rows, Scores
from slatewise.domain.settings import BoostSettings
from slatewise.ports.stores import Catalogue

_log = logging.getLogger(__name__)

Factors: TypeAlias = npt.NDArray[np.float64]
"""One factor per candidate or catalogue row, shape ``(n,)``, finite and above 0; 1 changes nothing."""

LARGEST = 1e150
"""Bound of a product of factors, and its inverse the other: no score of 32 bits overflows or vanishes by it."""


class Boosts:
    """The factor of every item under the boosts of the settings; factors of one item multiply.

    Conditions are evaluated over the whole catalogue once per catalogue version, so a request only looks factors up.
    Thread-safe. Raises ConfigError for a condition that the catalogue cannot answer, as one on an attribute that no
    item has: a boost that does nothing is more often a slip of the pen than meant.
    """

    def __init__(self, boosts: Sequence[BoostSettings], catalogue: Catalogue) -> None:
        self._boosts = tuple(boosts)
        self._catalogue = catalogue
        self._made: tuple[int, Factors] = (-1, np.ones(0))
        self._warned: set[int] = set()
        for number, boost in enumerate(self._boosts):
            try:
                catalogue.meeting(boost.where)
            except InputError as error:
                raise ConfigError(f"reranking.boosts[{number}].{error}") from error

    def __bool__(self) -> bool:
        return bool(self._boosts)

    def factor(self, rows: Rows) -> Factors:
        """Return the factor of each row, 1 for rows that no boost knows; shape ``(n,)``."""
        by_row = self._by_row()
        if not rows.size or not by_row.size:
            return np.ones(rows.size)
        # A candidate may have entered the catalogue since the factors were made.
        known = rows < by_row.size
        return np.where(known, by_row[np.where(known, rows, 0)], 1.0)

    def _by_row(self) -> Factors:
        # The version is read first: factors may be newer than it, never older.
        version = self._catalogue.version
        made_for, held = self._made
        if made_for == version:
            return held
        size = len(self._catalogue)
        product = np.ones(size)
        for number, boost in enumerate(self._boosts):
            try:
                mask = self._catalogue.meeting(boost.where)[:size]
            except InputError as error:
                # The last item with that attribute left while serving: nothing meets the condition, and nobody waits.
                if number not in self._warned:
                    self._warned.add(number)
                    _log.warning("reranking.boosts[%d] boosts nothing now: %s", number, error)
                continue
            part = product[: mask.size]
            with np.errstate(over="ignore"):
                np.multiply(part, min(max(boost.factor, 1 / LARGEST), LARGEST), out=part, where=mask)
        np.clip(product, 1 / LARGEST, LARGEST, out=product)
        self._made = (version, product)
        return product


def boosted(score: Scores, factor: Factors) -> npt.NDArray[np.float64]:
    """Return the scores with their factors applied; all shapes ``(n,)``.

    A score of at least 0 is multiplied. A negative one (a disliked item, the similarity of a model without
    probabilities) is divided, so that a factor above 1 always helps and one below 1 always hurts. What is not finite
    stays as it is.
    """
    wide = score.astype(np.float64)
    return np.where(np.isfinite(wide), wide * np.where(wide < 0, 1.0 / factor, factor), wide)
