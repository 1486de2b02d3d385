"""Learned functions. Arrays in, arrays out; nothing here knows users, items or HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Frame, Scores, Vectors

UNKNOWN_AGE = -1.0
"""Age of a step whose time is not known. Not NaN: sums and products with it stay numbers."""


@dataclass(frozen=True, slots=True)
class Bag:
    """A weighted bag of attribute tokens per entity: ``token`` int64 and ``weight`` float32, both ``(n, m)``.

    Token 0 is padding with weight 0. The tokens of a vector have its components as weights, of either sign.
    """

    token: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sequence:
    """A batch of histories, right-padded: what the user tower and the ranker read.

    ``item`` float32 ``(b, t, d)`` item input embeddings; ``action`` int64 ``(b, t)``; ``gap`` int64 ``(b, t)`` time-gap
    bucket to the interaction before; ``age`` float32 ``(b, t)`` seconds before the newest step of its history, -1 where
    the time is unknown and in the padding; ``mask`` float32 ``(b, t)``, 1 where there is an interaction.
    """

    item: npt.NDArray[np.float32]
    action: npt.NDArray[np.int64]
    gap: npt.NDArray[np.int64]
    age: npt.NDArray[np.float32]
    mask: npt.NDArray[np.float32]


class UserTower(Protocol):
    """Maps a history and user attributes to a unit vector; a dot product with an item vector is the affinity."""

    @property
    def dim(self) -> int: ...

    def encode(self, history: Sequence, user: Bag) -> Vectors:
        """Return shape ``(b, d)``. An empty history gives what suits an unknown user."""
        ...


class ItemTower(Protocol):
    """Maps an item's place in the training vocabulary and its attributes to vectors."""

    @property
    def dim(self) -> int: ...

    def encode(self, known: npt.NDArray[np.int64], item: Bag) -> tuple[Vectors, Vectors]:
        """Return ``(input embedding, item vector)``, each ``(n, d)``; the item vectors have unit length.

        *known* is row + 1 for items of the training vocabulary, 0 for items never seen in training.
        """
        ...


class Ranker(Protocol):
    """Predicts the probability of each action for each candidate, one candidate at a time in effect."""

    @property
    def actions(self) -> tuple[str, ...]:
        """The heads, by action name."""
        ...

    def predict(
        self, history: Sequence, user: Vectors, request: Bag, candidates: Vectors, features: Frame
    ) -> Mapping[str, Scores]:
        """Return action -> ``(n,)`` probabilities in ``[0, 1]``.

        *history* and *request*, the user's attributes and the request's context in one bag, have batch 1, *user* is
        ``(1, d)``, *candidates* are item vectors ``(n, d)``, *features* are ``(n, f)`` with NaN for missing. A
        candidate's probabilities never depend on the other candidates.
        """
        ...
