"""What a candidate says about itself that the user's history says too: shared values, near numbers. Knows no counters.

The item tower reads the same attributes, but a dot product of vectors of fixed width blurs which of them agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.history import History
from slatewise.domain.ids import Frame, Rows
from slatewise.features.attributes import CATEGORIES, AttributeSchema, Field, Usual
from slatewise.features.counting import counting
from slatewise.ports.models import Bag

Tokens = npt.NDArray[np.int32]
"""Attribute tokens by item row, ``(n, width)``, 0 where there is none: what `ContentLayout.pack` makes of bags."""

SLOTS = {"categorical": 4, "numeric": 1, "text": 8}
"""Tokens of one field that are compared at most. Vectors have none: they are compared as item vectors."""
MOST_FIELDS = 8
LATELY = 0.7
"""What each earlier interaction counts of the next for what is wanted lately."""
NO_TOKENS: Tokens = np.zeros((0, 0), np.int32)


WITHIN = "_within_category"
"""Ends the name of a number's place among its category's."""
STEPS = 16
"""Tokens per bin of a number's place among its category's: categories' means lie between bins."""


@dataclass(frozen=True, slots=True)
class ContentLayout:
    """Where the tokens of which field lie in `Tokens`, and which columns are made of them. Made from a schema alone.

    Beside each number stands its place among those of its category: dear for a shirt is cheap for a coat.
    """

    fields: tuple[Field, ...]
    starts: tuple[int, ...]
    width: int
    tokens: int
    """The size of the vocabulary, padding included."""
    within: tuple[tuple[Field, Field], ...] = ()
    """Numbers, and beside each the field of its place among its category's."""
    categories: Field | None = None

    @staticmethod
    def of(schema: AttributeSchema) -> ContentLayout:
        """Choose the first `MOST_FIELDS` fields with values to compare: what has few values each comes first."""
        order = list(SLOTS)
        known = [field for field in schema.fields if field.kind in SLOTS]
        kept = sorted(known, key=lambda field: (order.index(field.kind), field.name))[:MOST_FIELDS]
        taken, first = {field.name for field in schema.fields}, schema.tokens
        within = []
        for field in kept:
            if field.usual is not None and field.name + WITHIN not in taken:
                within.append((field, Field(field.name + WITHIN, "numeric", first, 2 * STEPS * field.size + 1)))
                first += within[-1][1].size
        fields = (*kept, *(place for _, place in within))
        ends = np.cumsum([0, *(SLOTS[field.kind] for field in fields)]).tolist()
        categories = next((field for field in schema.fields if field.name == CATEGORIES), None)
        return ContentLayout(fields, tuple(ends[:-1]), ends[-1], first, tuple(within), categories)

    @property
    def names(self) -> tuple[str, ...]:
        """One name per column: two columns per field."""
        pairs = (("level", "distance") if field.kind == "numeric" else ("share", "lately") for field in self.fields)
        return tuple(f"{kind}_{field.name}" for field, pair in zip(self.fields, pairs, strict=True) for kind in pair)

    def pack(self, bag: Bag) -> Tokens:
        """Return the bag's tokens in their fields' places ``(n, width)``; what does not fit is left out."""
        packed = np.zeros((len(bag.token), self.width), np.int32)
        for field, start in zip(self.fields, self.starts, strict=True):
            held = _tokens_of(field, bag)
            place = held.cumsum(1) - 1
            row, column = np.nonzero(held & (place < SLOTS[field.kind]))
            packed[row, start + place[row, column]] = bag.token[row, column]
        if self.categories is not None:
            starts = dict(zip((field.name for field in self.fields), self.starts, strict=True))
            for field, place_of in self.within:
                packed[:, starts[place_of.name]] = _within(field, place_of.first, self.categories, bag)
        return packed


class Content:
    """Reads ``len(names)`` columns of candidates against a history. *tokens* gives packed tokens by row. Thread-safe.

    Per field of values: the share of the history that has the candidate's values (mean over its values), evenly and
    with what is newest counting most. Per numeric field: the candidate's quantile, and how far it lies above the mean
    of the history. NaN where the candidate has no value, or the history none to compare with.
    """

    def __init__(self, layout: ContentLayout, tokens: Callable[[Rows], Tokens]) -> None:
        self.names = layout.names
        self._layout = layout
        self._tokens = tokens
        slots = zip(layout.fields, layout.starts, strict=True)
        self._fields = np.array(
            [(start, SLOTS[field.kind], field.first, field.kind == "numeric") for field, start in slots], np.int64
        )

    def read(self, history: History, rows: Rows) -> Frame:
        """Return ``(len(names), n)``."""
        layout = self._layout
        frame = np.empty((len(self.names), rows.size), np.float32)
        if layout.fields and rows.size:
            own, past, weight = self._tokens(rows), self._tokens(history.row), _weights(len(history))
            total = float(weight.sum())
            counting.shared(own, past, layout.width, self._fields, weight, total, layout.tokens, frame)
        return frame


def _tokens_of(field: Field, bag: Bag) -> npt.NDArray[np.bool_]:
    """Mark the bag's tokens that are of the field."""
    held: npt.NDArray[np.bool_] = (bag.token >= field.first) & (bag.token < field.first + field.size)
    return held


def _within(field: Field, first: int, categories: Field, bag: Bag) -> npt.NDArray[np.int64]:
    """Return the token of each number's place among those of its category ``(n,)``, 0 where there is none.

    Of several categories the one with the fewest items counts: it says most.
    """
    usual = field.usual or Usual((), ())
    level = np.where(_tokens_of(field, bag), bag.token - field.first, -1).max(1, initial=-1)
    items, mean = np.array([*usual.items, 0]), np.array([*usual.level, 0.0])
    code = np.where(_tokens_of(categories, bag), bag.token - categories.first, items.size - 1)
    peers = np.where(items[code] > 0, items[code], np.iinfo(np.int64).max)
    narrowest = np.take_along_axis(code, peers.argmin(1)[:, None], 1)[:, 0]
    place = np.rint(STEPS * (level - mean[narrowest] + field.size)).astype(np.int64)
    known = (level >= 0) & (items[narrowest] > 0)
    return np.where(known, first + place, 0)


def _weights(steps: int) -> npt.NDArray[np.float64]:
    """Return what each of so many interactions counts, oldest first."""
    return WEIGHTS[-steps:] if 0 < steps <= WEIGHTS.size else _falling(steps)


def _falling(steps: int) -> npt.NDArray[np.float64]:
    return np.power(LATELY, np.arange(steps, dtype=np.float64))[::-1].copy()


WEIGHTS = _falling(256)
"""Those of the newest interactions, made once."""
