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
from slatewise.features.attributes import AttributeSchema, Field
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


@dataclass(frozen=True, slots=True)
class ContentLayout:
    """Where the tokens of which field lie in `Tokens`, and which columns are made of them. Made from a schema alone."""

    fields: tuple[Field, ...]
    starts: tuple[int, ...]
    width: int
    tokens: int
    """The size of the vocabulary, padding included."""

    @staticmethod
    def of(schema: AttributeSchema) -> ContentLayout:
        """Choose the first `MOST_FIELDS` fields with values to compare: what has few values each comes first."""
        order = list(SLOTS)
        known = [field for field in schema.fields if field.kind in SLOTS]
        kept = tuple(sorted(known, key=lambda field: (order.index(field.kind), field.name))[:MOST_FIELDS])
        ends = np.cumsum([0, *(SLOTS[field.kind] for field in kept)]).tolist()
        return ContentLayout(kept, tuple(ends[:-1]), ends[-1], schema.tokens)

    @property
    def names(self) -> tuple[str, ...]:
        """One name per column: two columns per field."""
        pairs = (("level", "distance") if field.kind == "numeric" else ("share", "lately") for field in self.fields)
        return tuple(f"{kind}_{field.name}" for field, pair in zip(self.fields, pairs, strict=True) for kind in pair)

    def pack(self, bag: Bag) -> Tokens:
        """Return the bag's tokens in their fields' places ``(n, width)``; what does not fit is left out."""
        packed = np.zeros((len(bag.token), self.width), np.int32)
        for field, start in zip(self.fields, self.starts, strict=True):
            held = (bag.token >= field.first) & (bag.token < field.first + field.size)
            place = held.cumsum(1) - 1
            row, column = np.nonzero(held & (place < SLOTS[field.kind]))
            packed[row, start + place[row, column]] = bag.token[row, column]
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


def _weights(steps: int) -> npt.NDArray[np.float64]:
    """Return what each of so many interactions counts, oldest first."""
    return WEIGHTS[-steps:] if 0 < steps <= WEIGHTS.size else _falling(steps)


def _falling(steps: int) -> npt.NDArray[np.float64]:
    return np.power(LATELY, np.arange(steps, dtype=np.float64))[::-1].copy()


WEIGHTS = _falling(256)
"""Those of the newest interactions, made once."""
