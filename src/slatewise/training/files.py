"""The files of a bundle and what describes them. Written by training, read by `wiring`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from slatewise.bundles.arrays import save_array
from slatewise.domain.holdout import HoldoutMode
from slatewise.domain.ids import Vectors
from slatewise.domain.settings import Settings
from slatewise.features.attributes import AttributeSchema
from slatewise.features.content import Tokens
from slatewise.features.state import CountedState
from slatewise.index.build import build_index, measure_recall, why_index
from slatewise.models.item_item import ItemItem
from slatewise.models.spectral import SpectralFactors
from slatewise.models.taste_table import TasteTable
from slatewise.ports.models import Bag
from slatewise.ports.stores import Catalogue
from slatewise.training.progress import Progress

RANKER_HISTORY = 50
RANKER, RANKER_INT8, RANKER_SMALL = "ranker.onnx", "ranker_int8.onnx", "ranker_small.onnx"
ATTRIBUTE_MAP = "attribute_map.npy"
ITEM_TOKENS = "item_tokens.npy"
TASTE_VECTORS, TASTE_TOKENS, TASTE_RESIDUAL = "taste_vectors.npy", "taste_tokens.npy", "taste_residual.npy"
RECALL_QUERIES = 250
RECALL_K = 100


class NeighbourSchema(msgspec.Struct, frozen=True):
    """How a bundle's neighbour lists are read: see `models.item_item.ItemItem`."""

    decay: float
    last: int
    weight: float


class RidgeSchema(msgspec.Struct, frozen=True):
    """What folding a history into ALS factors needs: see `models.least_squares.Ridge`."""

    spectrum: tuple[float, ...]
    others: int
    unobserved: float
    regularisation: float
    exponent: float


class BundleSchema(msgspec.Struct, frozen=True):
    """What the models of a bundle expect of the data: the contract between training and serving."""

    kind: Literal["deep", "spectral", "als"]
    dim: int
    history_length: int
    actions: tuple[str, ...]
    items: AttributeSchema
    users: AttributeSchema
    n_items: int
    holdout: HoldoutMode
    trained_to: int
    counted: tuple[str, ...]
    heads: tuple[str, ...] = ()
    """The ranker's actions; empty where the bundle has no ranker."""
    ranker_history: int = RANKER_HISTORY
    features: tuple[str, ...] = ()
    precision: Literal["int8", "float"] = "float"
    """Which of the ranker's graphs training found best."""
    neighbours: NeighbourSchema | None = None
    ridge: RidgeSchema | None = None
    contexts: AttributeSchema = AttributeSchema(())
    """The contexts of the slates the ranker learned from; a bundle from before they were logged knows none."""
    tastes: int = 0
    """The width of the items' tastes, appeal left out; 0 where none were learned from what was shown."""


@dataclass(slots=True)
class Learned:
    """What training made: arrays for the bundle, sample user vectors for the index, facts for the card."""

    schema: BundleSchema
    embeddings: Vectors
    vectors: Vectors
    tokens: Tokens
    queries: Vectors
    lists: ItemItem | None = None
    weight: float = 0.0
    mapped: Vectors | None = None
    tastes: TasteTable | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def write_files(
    learned: Learned,
    factors: SpectralFactors,
    state: CountedState,
    items: Bag,
    settings: Settings,
    catalogue: Catalogue,
    folder: Path,
    progress: Progress,
) -> None:
    """Write arrays, index, counters and schema into *folder*; the ONNX graphs are there already."""
    save_array(folder / "item_embeddings.npy", learned.embeddings.astype(np.float32))
    save_array(folder / "item_vectors.npy", learned.vectors.astype(np.float32))
    save_array(folder / ITEM_TOKENS, learned.tokens)
    save_array(folder / "spectral_input.npy", factors.input)
    save_array(folder / "spectral_output.npy", factors.output)
    if learned.tastes is not None:
        save_array(folder / TASTE_VECTORS, learned.tastes.items(items))
        save_array(folder / TASTE_TOKENS, learned.tastes.tokens)
        save_array(folder / TASTE_RESIDUAL, learned.tastes.residual)
    if learned.mapped is not None:
        save_array(folder / ATTRIBUTE_MAP, learned.mapped)
    if learned.lists is not None:
        save_array(folder / "neighbours_start.npy", learned.lists.start)
        save_array(folder / "neighbours_item.npy", learned.lists.other)
        save_array(folder / "neighbours_value.npy", learned.lists.value)
    (folder / "features").mkdir()
    state.save(folder / "features")
    progress.step("index", 0, 1)
    rows = np.flatnonzero([catalogue.exists(row) for row in range(learned.schema.n_items)]).astype(np.int64)
    vectors = learned.vectors[rows].astype(np.float32)
    # Half of the users choose how far a search goes, the others judge it.
    queries = learned.queries[: 2 * RECALL_QUERIES : 2]
    index = build_index(rows, vectors, settings.index, learned.queries[1 : 2 * RECALL_QUERIES : 2])
    (folder / "index").mkdir()
    index.save(folder / "index")
    is_certain = index.is_exact or not len(queries) or not rows.size
    recall = 1.0 if is_certain else measure_recall(index, rows, vectors, queries, RECALL_K)
    learned.facts["index"] = {
        "kind": index.kind,
        "items": len(index),
        f"recall@{RECALL_K}": round(recall, 4),
        **why_index(index, settings.index),
    }
    progress.step("index", 1, 1, f"{index.kind}, recall@{RECALL_K} {recall:.4f}")
    if learned.lists is not None:
        held = NeighbourSchema(learned.lists.decay, learned.lists.last, learned.weight)
        learned.schema = msgspec.structs.replace(learned.schema, neighbours=held)
    (folder / "schema.json").write_bytes(msgspec.json.format(msgspec.json.encode(learned.schema)))


def read_schema(folder: Path) -> BundleSchema:
    """Return the schema of a bundle folder. Raises msgspec.ValidationError for another layout."""
    return msgspec.json.decode((folder / "schema.json").read_bytes(), type=BundleSchema)
