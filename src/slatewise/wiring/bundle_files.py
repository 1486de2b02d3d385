"""Opens a verified bundle folder as a `LiveBundle`. The only place that knows both the files and the objects."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from slatewise.bundles.arrays import load_array
from slatewise.bundles.vocabulary import check_vocabulary, load_vocabulary
from slatewise.domain.errors import BundleError
from slatewise.domain.settings import Settings
from slatewise.features.attributes import AttributeEncoder
from slatewise.features.frame import NAMES
from slatewise.features.state import CountedState
from slatewise.index.load import load_index
from slatewise.models.ranker import OnnxRanker
from slatewise.models.spectral import SpectralFactors
from slatewise.models.spectral_towers import SpectralItemTower, SpectralUserTower
from slatewise.models.towers import OnnxItemTower, OnnxUserTower
from slatewise.ports.models import ItemTower, UserTower
from slatewise.ports.stores import Catalogue
from slatewise.serving.live import LiveBundle, Models
from slatewise.training.files import BundleSchema, read_schema


def open_schema(folder: Path) -> BundleSchema:
    """Return the bundle's schema. Raises BundleError for one that this version cannot read."""
    try:
        schema = read_schema(folder)
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(f"{folder.name}/schema.json cannot be read: {error}") from error
    if schema.features != NAMES:
        raise BundleError(f"{folder.name} was trained on other features: {', '.join(schema.features)}")
    return schema


def open_factors(folder: Path, schema: BundleSchema) -> SpectralFactors:
    """Return the bundle's spectral factors."""
    shape = (schema.n_items, schema.dim)
    source, output = (
        load_array(folder / f"spectral_{part}.npy", dtype=np.float32, shape=shape) for part in ("input", "output")
    )
    return SpectralFactors(source, output, np.ones(schema.dim, np.float32))


def open_bundle(folder: Path, schema: BundleSchema, settings: Settings, catalogue: Catalogue) -> LiveBundle:
    """Return the bundle as it was trained; what the log holds since then is not folded yet.

    Raises BundleError where any part does not fit the schema, or the vocabulary does not fit the catalogue.
    """
    vocabulary = load_vocabulary(folder / "vocabulary.json")
    known = np.arange(min(len(vocabulary), len(catalogue)), dtype=np.int64)
    check_vocabulary(vocabulary, catalogue.ids(known))
    shape = (schema.n_items, schema.dim)
    names = settings.action_names
    missing = [name for name in schema.counted if name not in names]
    if missing:
        raise BundleError(f"{folder.name} counts actions that the settings no longer declare: {', '.join(missing)}")
    user_tower, item_tower = _towers(folder, schema)
    return LiveBundle(
        bundle=folder.name,
        models=Models(
            user_tower=user_tower,
            item_tower=item_tower,
            ranker=OnnxRanker(folder / "ranker.onnx", schema.heads) if schema.heads else None,
            items=AttributeEncoder(schema.items),
            users=AttributeEncoder(schema.users),
            actions=schema.actions,
            history_length=schema.history_length,
            ranker_history=schema.ranker_history,
            trained_items=schema.n_items,
            reads_order=schema.kind == "deep",
        ),
        index=load_index(folder / "index", settings.index),
        state=CountedState.load(folder / "features", [names.index(name) for name in schema.counted]),
        embeddings=load_array(folder / "item_embeddings.npy", dtype=np.float32, shape=shape),
        vectors=load_array(folder / "item_vectors.npy", dtype=np.float32, shape=shape),
        action_names=names,
    )


def _towers(folder: Path, schema: BundleSchema) -> tuple[UserTower, ItemTower]:
    if schema.kind == "deep":
        user, item = folder / "user_tower.onnx", folder / "item_tower.onnx"
        return OnnxUserTower(user, schema.dim), OnnxItemTower(item, schema.dim)
    return SpectralUserTower(schema.dim), SpectralItemTower(open_factors(folder, schema))
