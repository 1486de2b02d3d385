"""Opens a verified bundle folder as a `LiveBundle`. The only place that knows both the files and the objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from slatewise.bundles.arrays import load_array
from slatewise.bundles.vocabulary import check_vocabulary, load_vocabulary
from slatewise.domain.errors import BundleError
from slatewise.domain.ids import Vectors
from slatewise.domain.settings import Settings
from slatewise.features.attributes import AttributeEncoder
from slatewise.features.content import ContentLayout
from slatewise.features.frame import names_for
from slatewise.features.request_bag import RequestEncoder
from slatewise.features.spaces import SET
from slatewise.features.state import CountedState
from slatewise.index.audit import audited
from slatewise.index.load import load_index
from slatewise.models.als_towers import AlsItemTower, AlsUserTower
from slatewise.models.item_item import ItemItem
from slatewise.models.least_squares import Ridge
from slatewise.models.ranker import OnnxRanker
from slatewise.models.spectral import SpectralFactors
from slatewise.models.spectral_towers import SpectralItemTower, SpectralUserTower
from slatewise.models.taste_table import TasteTable
from slatewise.models.towers import OnnxItemTower, OnnxUserTower
from slatewise.ports.models import ItemTower, UserTower
from slatewise.ports.stores import Catalogue
from slatewise.serving.live import NO_TASTES, LiveBundle, Models, Neighbours
from slatewise.training.files import (
    ATTRIBUTE_MAP,
    ITEM_TOKENS,
    RANKER,
    RANKER_INT8,
    RANKER_SMALL,
    TASTE_RESIDUAL,
    TASTE_TOKENS,
    TASTE_VECTORS,
    BundleSchema,
    read_schema,
)


def open_schema(folder: Path) -> BundleSchema:
    """Return the bundle's schema. Raises BundleError for one that this version cannot read."""
    try:
        schema = read_schema(folder)
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(f"{folder.name}/schema.json cannot be read: {error}") from error
    unknown = set(schema.features) - set(names_for(schema.actions, ContentLayout.of(schema.items).names))
    if unknown:
        raise BundleError(
            f"{folder.name} was trained on features that this version has not: {', '.join(sorted(unknown))}"
        )
    return schema


def open_factors(folder: Path, schema: BundleSchema) -> SpectralFactors:
    """Return the bundle's spectral factors."""
    shape = (schema.n_items, schema.dim)
    source, output = (
        load_array(folder / f"spectral_{part}.npy", dtype=np.float32, shape=shape) for part in ("input", "output")
    )
    return SpectralFactors(source, output, np.ones(schema.dim, np.float32))


def open_bundle(
    folder: Path,
    schema: BundleSchema,
    settings: Settings,
    catalogue: Catalogue,
    tell_recall: Callable[[float], None],
) -> LiveBundle:
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
    embeddings = load_array(folder / "item_embeddings.npy", dtype=np.float32, shape=shape)
    vectors = load_array(folder / "item_vectors.npy", dtype=np.float32, shape=shape)
    layout = ContentLayout.of(schema.items)
    tokens = load_array(folder / ITEM_TOKENS, dtype=np.int32, shape=(schema.n_items, layout.width))
    user_tower, item_tower = _towers(folder, schema, embeddings, vectors)
    tastes = _tastes(folder, schema)
    return LiveBundle(
        bundle=folder.name,
        models=Models(
            user_tower=user_tower,
            item_tower=item_tower,
            ranker=_ranker(folder, schema, settings),
            items=AttributeEncoder(schema.items),
            requests=RequestEncoder(schema.users, schema.contexts),
            actions=schema.actions,
            features=schema.features,
            history_length=schema.history_length,
            ranker_history=schema.ranker_history,
            trained_items=schema.n_items,
            reads_order=schema.kind == "deep",
            small_ranker=OnnxRanker(folder / RANKER_SMALL, schema.heads) if schema.heads else None,
            # Only rankers read these, and only those that learned to.
            factors=open_factors(folder, schema) if schema.heads and SET in schema.features else None,
            tastes=tastes,
        ),
        index=audited(load_index(folder / "index", settings.index), settings.index, tell_recall),
        state=CountedState.load(folder / "features", [names.index(name) for name in schema.counted]),
        embeddings=embeddings,
        vectors=vectors,
        layout=layout,
        tokens=tokens,
        action_names=names,
        neighbours=open_neighbours(folder, schema),
        tastes=NO_TASTES if tastes is None else _taste_array(folder, TASTE_VECTORS, schema.n_items, schema),
    )


def _tastes(folder: Path, schema: BundleSchema) -> TasteTable | None:
    if not (schema.tastes and schema.heads):
        return None
    return TasteTable(
        _taste_array(folder, TASTE_TOKENS, schema.items.tokens, schema),
        _taste_array(folder, TASTE_RESIDUAL, schema.n_items, schema),
    )


def _taste_array(folder: Path, name: str, rows: int, schema: BundleSchema) -> Vectors:
    return load_array(folder / name, dtype=np.float32, shape=(rows, schema.tastes + 1))


def _ranker(folder: Path, schema: BundleSchema, settings: Settings) -> OnnxRanker | None:
    if not schema.heads:
        return None
    is_int8 = schema.precision == "int8" and settings.ranking.precision == "auto"
    return OnnxRanker(folder / (RANKER_INT8 if is_int8 else RANKER), schema.heads)


def open_neighbours(folder: Path, schema: BundleSchema) -> Neighbours | None:
    """Return the bundle's neighbour lists with their weight, None where it has none."""
    held = schema.neighbours
    if held is None:
        return None
    start = load_array(folder / "neighbours_start.npy", dtype=np.int64, shape=(schema.n_items + 1,))
    entries = (int(start[-1]),)
    other = load_array(folder / "neighbours_item.npy", dtype=np.int32, shape=entries)
    value = load_array(folder / "neighbours_value.npy", dtype=np.float32, shape=entries)
    return Neighbours(ItemItem(start, other, value, held.decay, held.last), held.weight)


def _towers(folder: Path, schema: BundleSchema, embeddings: Vectors, vectors: Vectors) -> tuple[UserTower, ItemTower]:
    if schema.kind == "deep":
        user, item = folder / "user_tower.onnx", folder / "item_tower.onnx"
        return OnnxUserTower(user, schema.dim), OnnxItemTower(item, schema.dim)
    if schema.ridge is not None:
        held = msgspec.structs.asdict(schema.ridge) | {"spectrum": np.array(schema.ridge.spectrum, np.float32)}
        return AlsUserTower(Ridge(**held)), AlsItemTower(vectors)
    path = folder / ATTRIBUTE_MAP
    mapped = load_array(path, dtype=np.float32, shape=(schema.items.tokens, 2 * schema.dim)) if path.exists() else None
    return SpectralUserTower(schema.dim), SpectralItemTower(embeddings, vectors, mapped)
