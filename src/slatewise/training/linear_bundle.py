"""A bundle without deep models: factors for the vector index, neighbour lists for the order. Numpy only.

The instant first bundle, the fallback without torch, and what towers have to beat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import numpy as np

from slatewise.domain.ids import Vectors
from slatewise.domain.settings import TrainingSettings
from slatewise.features.content import ContentLayout
from slatewise.models.als import fit_als
from slatewise.models.attribute_map import estimate, fit_attribute_map
from slatewise.models.spectral import SpectralFactors
from slatewise.training.files import BundleSchema, Learned, RidgeSchema
from slatewise.training.linear import Linear, LinearChoice
from slatewise.training.material import Histories, Material
from slatewise.training.plan import Parts, positive_of
from slatewise.training.retriever import LISTS_DECIDE, Retriever, als_retriever, list_scale, spectral_retriever
from slatewise.training.validation import USERS, Validation

WORTH = 0.99
"""Unit vectors are taken where they keep this share of the accuracy: indexes are faster and surer on them."""

SAMPLE = 500


@dataclass(frozen=True, slots=True)
class Base:
    """The linear model: the choice, factors fitted on the past alone, and everything fitted on all there is."""

    choice: LinearChoice
    past_factors: SpectralFactors
    fitted: Linear


def learn_base(
    material: Material,
    parts: Parts,
    base: Base,
    schema: BundleSchema,
    training: TrainingSettings,
    rng: np.random.Generator,
) -> Learned:
    """Return factors and lists as a bundle's content. The lists decide, vectors part those whom they leave equal."""
    mapped: Vectors | None = None
    facts: dict[str, float | bool] = {}
    if training.factors == "als":
        retriever, schema = _als(material, schema, rng)
    else:
        unit, facts = normalised(spectral_retriever(base.past_factors), parts.validation, material)
        retriever = spectral_retriever(base.fitted.factors)
        retriever, mapped = placed_by_attributes(with_unit_vectors(retriever) if unit else retriever, material)
    if training.lists != "off":
        retriever = decided_by_lists(retriever, base.fitted, material, rng)
    queries = sample_queries(retriever, material, training.history_length, rng)
    return Learned(
        schema,
        retriever.embeddings,
        retriever.vectors,
        ContentLayout.of(schema.items).pack(material.items),
        queries,
        retriever.lists,
        retriever.weight,
        mapped,
        facts={"vectors": facts},
    )


def _als(material: Material, schema: BundleSchema, rng: np.random.Generator) -> tuple[Retriever, BundleSchema]:
    positive = positive_of(material)
    factors = fit_als(positive.user, positive.item, material.n_items, schema.dim, rng)
    ridge = factors.ridge
    held = RidgeSchema(
        tuple(ridge.spectrum.tolist()), ridge.others, ridge.unobserved, ridge.regularisation, ridge.exponent
    )
    return als_retriever(factors), msgspec.structs.replace(schema, kind="als", ridge=held)


def placed_by_attributes(retriever: Retriever, material: Material) -> tuple[Retriever, Vectors | None]:
    """Give items without interactions the vectors that their attributes suggest; return the map as well.

    None, and no change, where no item has attributes.
    """
    if material.item_tokens <= 1:
        return retriever, None
    degree = np.bincount(material.interactions.item, minlength=material.n_items).astype(np.float64)
    both = np.hstack([retriever.embeddings, retriever.vectors])
    mapped = fit_attribute_map(material.items, material.item_tokens, both, degree)
    untouched = degree == 0
    both[untouched] = estimate(material.items, mapped)[untouched]
    dim = retriever.vectors.shape[1]
    return replace(retriever, embeddings=both[:, :dim], vectors=both[:, dim:]), mapped


def decided_by_lists(retriever: Retriever, linear: Linear, material: Material, rng: np.random.Generator) -> Retriever:
    """Return the retriever with lists so heavy that vectors only break ties and fill what the lists leave open."""
    histories = Histories.of(material.interactions)
    sample = rng.choice(len(histories), min(SAMPLE, len(histories)), replace=False)
    scale = list_scale(linear.lists, [histories.history(i).row for i in sample.tolist()])
    return retriever.with_lists(linear.lists, LISTS_DECIDE / scale)


def normalised(
    retriever: Retriever, validation: Validation, material: Material
) -> tuple[bool, dict[str, float | bool]]:
    """Judge the retriever's vectors as they are and at unit length; say whether unit length costs too much."""
    validation = validation.sample(USERS)
    raw = validation.ndcg(retriever.by_vectors(validation, material))
    unit = validation.ndcg(with_unit_vectors(retriever).by_vectors(validation, material))
    chosen = unit >= WORTH * raw
    return chosen, {"raw_ndcg@10": round(raw, 4), "unit_ndcg@10": round(unit, 4), "unit": chosen}


def with_unit_vectors(retriever: Retriever) -> Retriever:
    """Return the retriever with item vectors of length 1; zero vectors stay zero."""
    norm = np.linalg.norm(retriever.vectors, axis=1, keepdims=True)
    return replace(retriever, vectors=(retriever.vectors / np.where(norm > 0, norm, 1.0)).astype(np.float32))


def sample_queries(retriever: Retriever, material: Material, length: int, rng: np.random.Generator) -> Vectors:
    """Return vectors of some users, to measure the index with: queries are not distributed like items."""
    histories = Histories.of(material.interactions)
    sample = rng.choice(len(histories), min(SAMPLE, len(histories)), replace=False)
    return retriever.users(histories.user[sample], [histories.history(i) for i in sample.tolist()], material, length)
