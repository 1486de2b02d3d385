"""Attributes as weighted bags of tokens: categories, numbers, text and vectors of any entity in one small vocabulary.

One definition for training and serving: `fit` reads the catalogue once, `encode` is all that both call afterwards.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np

from slatewise.domain.events import AttributeValue, ItemChange, is_vector
from slatewise.features.projection import Projection, Projector, fit_projection
from slatewise.ports.models import Bag

TEXT_BUCKETS = 4096
NUMERIC_BINS = 16
MAX_VALUES = 20_000
MIN_COUNT = 2
MAX_TOKENS = 64
"""Tokens one entity keeps at most beside its vectors', so that one long text cannot widen every bag."""
COMPONENTS = 32
"""Tokens of one attribute of vectors, at most."""
VECTOR_TOKENS = 128
"""Tokens of all attributes of vectors together: where there are many, each has fewer, and none is cut."""

_WORD = re.compile(r"\w+")


CATEGORIES = "categories"
"""The name under which `describe` puts an item's categories."""
FEWEST_PEERS = 5
"""Items that say what is usual in a category, at least."""


class Usual(msgspec.Struct, frozen=True):
    """What numbers are usual in each category, in the order of the categories' values: the mean place among the bins,
    and of how many items (0: too few to say)."""

    level: tuple[float, ...]
    items: tuple[int, ...]


class Field(msgspec.Struct, frozen=True):
    """How one attribute becomes tokens ``first .. first + size - 1``: for vectors, one per component.

    Numbers also know what is *usual* in each category, where items have categories.
    """

    name: str
    kind: Literal["categorical", "numeric", "text", "vector"]
    first: int
    size: int
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    projection: Projection | None = None
    usual: Usual | None = None


class AttributeSchema(msgspec.Struct, frozen=True):
    """The fields of one kind of entity, as fitted on training time's entities. Stored in the bundle as JSON."""

    fields: tuple[Field, ...]

    @property
    def tokens(self) -> int:
        """The size of the vocabulary, the padding token 0 included."""
        return 1 + sum(f.size for f in self.fields)


def describe(item: ItemChange | None) -> Mapping[str, AttributeValue]:
    """Return all that an item says about itself as one mapping: title and categories among the attributes."""
    if item is None:
        return {}
    described: dict[str, AttributeValue] = dict(item.attributes)
    if item.title:
        described["title"] = item.title
    if item.categories:
        described[CATEGORIES] = item.categories
    return described


def fit_schema(entities: Sequence[Mapping[str, AttributeValue]]) -> AttributeSchema:
    """Choose a field per attribute from its values: numbers into quantile bins, long text hashed, vectors projected to
    their principal components, the rest as values.

    Values seen in fewer than two entities say nothing about others and get no token. Of vectors of several lengths
    the most frequent length counts.
    """
    columns: dict[str, list[AttributeValue]] = {}
    for entity in entities:
        for name, value in entity.items():
            columns.setdefault(name, []).append(value)
    vectors = sum(_holds_vectors(column) for column in columns.values())
    components = max(1, min(COMPONENTS, VECTOR_TOKENS // max(1, vectors)))
    fields: list[Field] = []
    first = 1
    for name in sorted(columns):
        field = _fit_field(name, columns[name], first, components)
        if field is not None:
            fields.append(field)
            first += field.size
    known = next((f for f in fields if f.name == CATEGORIES and f.kind == "categorical"), None)
    if known is None:
        return AttributeSchema(tuple(fields))
    return AttributeSchema(
        tuple(
            msgspec.structs.replace(f, usual=_usual(f, known, entities)) if f.kind == "numeric" else f for f in fields
        )
    )


def _usual(field: Field, categories: Field, entities: Sequence[Mapping[str, AttributeValue]]) -> Usual:
    code = {value: place for place, value in enumerate(categories.values)}
    total, items = np.zeros(len(code)), np.zeros(len(code), np.int64)
    for entity in entities:
        level = _field_tokens(field, {}, entity[field.name]) if field.name in entity else []
        if level and CATEGORIES in entity:
            at = [code[value] for value in dict.fromkeys(_values(entity[CATEGORIES])) if value in code]
            total[at] += level[0] - field.first
            items[at] += 1
    items[items < FEWEST_PEERS] = 0
    return Usual(tuple(np.where(items > 0, total / np.maximum(items, 1), 0.0).tolist()), tuple(items.tolist()))


def _holds_vectors(column: list[AttributeValue]) -> bool:
    return sum(map(is_vector, column)) * 2 > len(column)


def _fit_field(name: str, column: list[AttributeValue], first: int, components: int) -> Field | None:
    if _holds_vectors(column):
        projection = fit_projection([v for v in column if is_vector(v)], components)
        return Field(name, "vector", first, projection.size, projection=projection) if projection else None
    numbers = [float(v) for v in column if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) * 2 > len(column):
        edges = tuple(sorted(set(np.quantile(numbers, np.linspace(0, 1, NUMERIC_BINS + 1)[1:-1]).tolist())))
        return Field(name, "numeric", first, len(edges) + 1, edges=edges)
    texts = [v for v in column if isinstance(v, str)]
    if len(texts) * 2 > len(column) and _is_text(texts):
        return Field(name, "text", first, TEXT_BUCKETS)
    counted = Counter(v for value in column for v in _values(value))
    kept = tuple(sorted(v for v, n in counted.most_common(MAX_VALUES) if n >= MIN_COUNT))
    return Field(name, "categorical", first, len(kept), values=kept) if kept else None


def _is_text(texts: list[str]) -> bool:
    words = sum(len(_WORD.findall(t)) for t in texts) / len(texts)
    return words >= 2 and len(set(texts)) > 0.5 * len(texts)


def _values(value: AttributeValue) -> tuple[str, ...]:
    if is_vector(value):
        return ()
    return tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)


class AttributeEncoder:
    """Turns attributes into a `Bag` by a fitted schema. Thread-safe.

    Unknown values and attributes are ignored, and so are vectors of another length than the fitted ones.
    """

    def __init__(self, schema: AttributeSchema) -> None:
        self.schema = schema
        self._codes = [{v: f.first + i for i, v in enumerate(f.values)} for f in schema.fields]
        self._vectors = [(f, Projector(f.projection)) for f in schema.fields if f.projection is not None]

    def encode(self, entities: Sequence[Mapping[str, AttributeValue]]) -> Bag:
        """Return the bag of each entity, ``(n, m)`` with m the longest, at least 1.

        Each field's weights sum to 1, but for vectors: there they are the components, of either sign, which makes the
        tokens' embeddings a linear layer. They stand behind all others.
        """
        bags = [self._tokens(entity) for entity in entities]
        width = max((len(tokens) for tokens, _ in bags), default=0) or 1
        token = np.zeros((len(bags), width), np.int64)
        weight = np.zeros((len(bags), width), np.float32)
        for i, (tokens, weights) in enumerate(bags):
            token[i, : len(tokens)] = tokens
            weight[i, : len(weights)] = weights
        return Bag(token, weight)

    def _tokens(self, entity: Mapping[str, AttributeValue]) -> tuple[list[int], list[float]]:
        tokens: list[int] = []
        weights: list[float] = []
        for field, codes in zip(self.schema.fields, self._codes, strict=True):
            value = entity.get(field.name)
            if value is None:
                continue
            found = _field_tokens(field, codes, value)
            tokens += found
            weights += [1.0 / len(found) for _ in found]
        tokens, weights = tokens[:MAX_TOKENS], weights[:MAX_TOKENS]
        for field, projector in self._vectors:
            value = entity.get(field.name)
            components = projector.project(value) if is_vector(value) else []
            tokens += range(field.first, field.first + len(components))
            weights += components
        return tokens, weights


def _field_tokens(field: Field, codes: Mapping[str, int], value: AttributeValue) -> list[int]:
    if field.kind == "numeric":
        if isinstance(value, (str, tuple)) or not np.isfinite(value):
            return []
        return [field.first + int(np.searchsorted(field.edges, float(value), side="right"))]
    if field.kind == "text":
        words = _WORD.findall(" ".join(_values(value)).lower())
        return sorted({field.first + zlib.crc32(w.encode()) % field.size for w in words})
    return [codes[v] for v in dict.fromkeys(_values(value)) if v in codes]  # none for a field of vectors: no values
