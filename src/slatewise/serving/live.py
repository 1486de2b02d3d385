"""One bundle in memory, kept fresh by following the log. Knows the models' ports, not where their files lie."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from slatewise.domain.columns import Interactions
from slatewise.domain.events import Attributes, Interaction, ItemChange, ItemRemoval, Stored
from slatewise.domain.history import History
from slatewise.domain.ids import Rows, Vectors
from slatewise.features.attributes import AttributeEncoder, describe
from slatewise.features.content import Content, ContentLayout, Tokens
from slatewise.features.request_bag import RequestEncoder
from slatewise.features.sequences import as_sequence
from slatewise.features.spaces import Spaces
from slatewise.features.state import CountedState
from slatewise.models.spectral import SpectralFactors
from slatewise.models.taste_table import TasteTable
from slatewise.ports.index import VectorIndex
from slatewise.ports.models import Bag, ItemTower, Ranker, UserTower
from slatewise.ports.models import Sequence as HistorySequence
from slatewise.ports.relations import Relation

NO_TASTES: Vectors = np.zeros((0, 0), np.float32)
_Cell = TypeVar("_Cell", np.float32, np.int32)


@dataclass(frozen=True, slots=True)
class Models:
    """The learned parts of a bundle. ``ranker`` is None where the bundle ships none, and so is its small variant."""

    user_tower: UserTower
    item_tower: ItemTower
    ranker: Ranker | None
    items: AttributeEncoder
    requests: RequestEncoder
    actions: tuple[str, ...]
    history_length: int
    ranker_history: int
    trained_items: int
    reads_order: bool
    """False where an empty history says nothing at all (spectral towers): then there is no user vector."""
    small_ranker: Ranker | None = None
    features: tuple[str, ...] = ()
    """The columns that the rankers learned from, in order."""
    factors: SpectralFactors | None = None
    """Factors of whole histories, as they were at training."""
    tastes: TasteTable | None = None


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A bundle's neighbour lists and their weight beside the vectors' dot products."""

    relation: Relation
    weight: float


@dataclass(frozen=True, slots=True)
class _Arrays:
    embeddings: Vectors
    vectors: Vectors
    tokens: Tokens
    tastes: Vectors


class _Read(threading.local):
    """The history that this thread read last, and under which count of writes."""

    key: tuple[History, int, int] | None = None
    sequence: HistorySequence


class LiveBundle:
    """Item vectors, index and counters of one bundle; events change them at once. One writer, many readers."""

    def __init__(
        self,
        bundle: str,
        models: Models,
        index: VectorIndex,
        state: CountedState,
        embeddings: Vectors,
        vectors: Vectors,
        layout: ContentLayout,
        tokens: Tokens,
        action_names: tuple[str, ...],
        neighbours: Neighbours | None = None,
        tastes: Vectors = NO_TASTES,
    ) -> None:
        self.id = bundle
        self.models = models
        self.index = index
        self.state = state
        self.neighbours = neighbours
        # Weak, or the bundle would hold itself: one that was swapped out would keep its memory until the next sweep.
        self.content = Content(layout, _tokens_of(weakref.ref(self)))
        self._layout = layout
        self._arrays = _Arrays(embeddings, vectors, tokens, tastes)
        self._action_names = action_names
        # Actions declared after training have no embedding of their own; they read as the first one.
        self._action = np.array([max(0, _find(models.actions, name)) for name in action_names], np.int64)
        self._write = threading.Lock()
        self._writes = 0
        self._read = _Read()

    def follow(self, events: Sequence[Stored]) -> None:
        """Fold accepted events, in log order: counters by all interactions at once, items one by one."""
        with self._write:
            self._fold_interactions([e for e in events if isinstance(e.event, Interaction)])
            for stored in events:
                if isinstance(stored.event, ItemChange):
                    self._upsert(stored.item, stored.event)
                elif isinstance(stored.event, ItemRemoval):
                    self.index.remove(np.array([stored.item], np.int64))

    def fold(self, interactions: Interactions) -> None:
        """Fold interactions into the counters alone: replays, and what training held out."""
        with self._write:
            self.state.fold(interactions)

    def _fold_interactions(self, stored: Sequence[Stored]) -> None:
        if not stored:
            return
        actions = {name: i for i, name in enumerate(self._action_names)}
        events = [e.event for e in stored if isinstance(e.event, Interaction)]
        self.state.fold(
            Interactions(
                offset=np.array([e.offset for e in stored], np.int64),
                user=np.array([e.user for e in stored], np.int64),
                item=np.array([e.item for e in stored], np.int64),
                action=np.array([actions[e.action] for e in events], np.int64),
                at=np.array([np.nan if e.at is None else e.at for e in events], np.float64),
                value=np.array([e.value for e in events], np.float32),
            )
        )

    def _upsert(self, row: int, change: ItemChange) -> None:
        known = np.array([row + 1 if row < self.models.trained_items else 0], np.int64)
        bag = self.models.items.encode([describe(change)])
        embedding, vector = self.models.item_tower.encode(known, bag)
        self._grow(row + 1)
        held = self._arrays
        held.embeddings[row], held.vectors[row], held.tokens[row] = embedding[0], vector[0], self._layout.pack(bag)[0]
        if self.models.tastes is not None:
            held.tastes[row] = self.models.tastes.item(row, bag)
        self._writes += 1
        if np.any(vector[0]):
            self.index.upsert(np.array([row], np.int64), vector)

    def _grow(self, size: int) -> None:
        held = self._arrays
        if size <= len(held.vectors) and held.vectors.flags.writeable:
            return
        capacity = max(size, len(held.vectors) + len(held.vectors) // 8 + 64)
        self._arrays = _Arrays(
            _wider(held.embeddings, capacity),
            _wider(held.vectors, capacity),
            _wider(held.tokens, capacity),
            held.tastes if self.models.tastes is None else _wider(held.tastes, capacity),
        )

    def vectors(self, rows: Rows) -> Vectors:
        """Return item vectors by row; zeros for rows that no tower has seen. Shape ``(n, d)``."""
        return _lookup(self._arrays.vectors, rows)

    def tokens(self, rows: Rows) -> Tokens:
        """Return items' packed attribute tokens by row; zeros for rows without. Shape ``(n, width)``."""
        return _lookup(self._arrays.tokens, rows)

    def tastes(self, rows: Rows) -> Vectors:
        """Return items' places among tastes and their appeal by row; zeros for rows without. Shape ``(n, d + 1)``."""
        return _lookup(self._arrays.tastes, rows)

    def spaces(self) -> Spaces | None:
        """Return what candidates are compared in beside the towers' vectors; None for a bundle without factors."""
        factors = self.models.factors
        if factors is None:
            return None
        return Spaces(
            lambda rows: _lookup(factors.input, rows),
            lambda rows: _lookup(factors.output, rows),
            self.tastes if self.models.tastes is not None else None,
        )

    def encode_user(self, history: History, attributes: Attributes, context: Attributes) -> Vectors | None:
        """Return the user vector ``(1, d)`` for a history; None where this bundle's tower has nothing to go by."""
        if not self.models.reads_order and not len(history):
            return None
        bag = self.models.requests.users([attributes], [context])
        return self.models.user_tower.encode(self.sequence(history, self.models.history_length), bag)

    def request_bag(self, attributes: Attributes, context: Attributes) -> Bag:
        """Return a user's *attributes* and the request's *context* as the ranker reads them."""
        return self.models.requests.bags([attributes], [context])

    def sequence(self, history: History, limit: int) -> HistorySequence:
        """Return the newest interactions as the models read them."""
        # A request asks twice, for the tower and for the ranker. The count is read before the embeddings are: they may
        # be newer than it says, never older.
        key, read = (history, limit, self._writes), self._read
        if read.key is not None and read.key[0] is history and read.key[1:] == key[1:]:
            return read.sequence
        recent = history.last(limit)
        mapped = History(recent.row, self._action.take(recent.action), recent.at)
        sequence = as_sequence(mapped, limit, _lookup(self._arrays.embeddings, recent.row))
        read.key, read.sequence = key, sequence
        return sequence


def _tokens_of(bundle: weakref.ref[LiveBundle]) -> Callable[[Rows], Tokens]:
    def tokens(rows: Rows) -> Tokens:
        held = bundle()
        if held is None:
            raise ReferenceError("the bundle is gone")
        return held.tokens(rows)

    return tokens


def _wider(array: npt.NDArray[_Cell], capacity: int) -> npt.NDArray[_Cell]:
    wider = np.zeros((capacity, array.shape[1]), array.dtype)
    wider[: len(array)] = array
    return wider


def _lookup(array: npt.NDArray[_Cell], rows: Rows) -> npt.NDArray[_Cell]:
    try:
        return array.take(rows, axis=0)
    except IndexError:  # rarer than a look at every row: one came since the array was made
        pass
    found = np.zeros((rows.size, array.shape[1]), array.dtype)
    held = rows < len(array)
    found[held] = array[rows[held]]
    return found


def _find(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else -1
