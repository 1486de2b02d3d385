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
from slatewise.features.frame import NAMES
from slatewise.features.state import CountedState
from slatewise.index.build import build_index, measure_recall
from slatewise.models.spectral import SpectralFactors
from slatewise.ports.stores import Catalogue
from slatewise.training.progress import Progress

RANKER_HISTORY = 50
RECALL_QUERIES = 500
RECALL_K = 100


class BundleSchema(msgspec.Struct, frozen=True):
    """What the models of a bundle expect of the data: the contract between training and serving."""

    kind: Literal["deep", "spectral"]
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
    features: tuple[str, ...] = NAMES


@dataclass(slots=True)
class Learned:
    """What training made: arrays for the bundle, sample user vectors for the index, facts for the card."""

    schema: BundleSchema
    embeddings: Vectors
    vectors: Vectors
    queries: Vectors
    facts: dict[str, Any] = field(default_factory=dict)


def write_files(
    learned: Learned,
    factors: SpectralFactors,
    state: CountedState,
    settings: Settings,
    catalogue: Catalogue,
    folder: Path,
    progress: Progress,
) -> None:
    """Write arrays, index, counters and schema into *folder*; the ONNX graphs are there already."""
    save_array(folder / "item_embeddings.npy", learned.embeddings.astype(np.float32))
    save_array(folder / "item_vectors.npy", learned.vectors.astype(np.float32))
    save_array(folder / "spectral_input.npy", factors.input)
    save_array(folder / "spectral_output.npy", factors.output)
    (folder / "features").mkdir()
    state.save(folder / "features")
    progress.step("index", 0, 1)
    rows = np.flatnonzero([catalogue.exists(row) for row in range(learned.schema.n_items)]).astype(np.int64)
    vectors = learned.vectors[rows].astype(np.float32)
    index = build_index(rows, vectors, settings.index)
    (folder / "index").mkdir()
    index.save(folder / "index")
    queries = learned.queries[:RECALL_QUERIES]
    recall = measure_recall(index, rows, vectors, queries, RECALL_K) if len(queries) and rows.size else 1.0
    learned.facts["index"] = {"kind": index.kind, "items": len(index), f"recall@{RECALL_K}": round(recall, 4)}
    progress.step("index", 1, 1, f"{index.kind}, recall@{RECALL_K} {recall:.4f}")
    (folder / "schema.json").write_bytes(msgspec.json.format(msgspec.json.encode(learned.schema)))


def read_schema(folder: Path) -> BundleSchema:
    """Return the schema of a bundle folder. Raises msgspec.ValidationError for another layout."""
    return msgspec.json.decode((folder / "schema.json").read_bytes(), type=BundleSchema)
