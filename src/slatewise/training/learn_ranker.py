"""The ranker's part of training: moments, slates from what the fitted retriever offers, models, and what is shipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.events import Attributes
from slatewise.domain.ids import Mask, Vectors
from slatewise.domain.membership import among
from slatewise.domain.query import Resolved
from slatewise.domain.settings import IndexSettings, Settings
from slatewise.features.content import Content, ContentLayout
from slatewise.features.frame import DenseFrame
from slatewise.features.request_bag import RequestEncoder
from slatewise.features.shares import Shares
from slatewise.features.spaces import Spaces
from slatewise.features.state import CountedState
from slatewise.index.build import build_index
from slatewise.models.sessions import OnnxSession
from slatewise.ports.clock import Clock
from slatewise.retrieval.blended import Blend
from slatewise.retrieval.line_up import line_up
from slatewise.retrieval.merge import merge, within_quota
from slatewise.training.attribution import named_by_requests
from slatewise.training.export import export_ranker
from slatewise.training.files import RANKER, RANKER_HISTORY, RANKER_INT8, RANKER_SMALL, BundleSchema
from slatewise.training.lambdarank import LAMBDARANK, Trees, fit_lambdarank
from slatewise.training.material import Material, TrainingInput
from slatewise.training.moments import Moment, impression_moments, interaction_moments, is_replayable
from slatewise.training.progress import Progress
from slatewise.training.quantise import Inputs, Predict, Quantised, compare, quantise
from slatewise.training.ranker_slates import RankerData, judging, slate_ndcg
from slatewise.training.ranker_training import Judged, RankerFit, fit_ranker, fit_small_ranker
from slatewise.training.retriever import Retriever
from slatewise.training.slates import Slates, build_slates, judged_slates
from slatewise.training.windows import pad_histories

FEWEST_SLATES = 50
FEWEST_OF_ACTION = 20
SAMPLES = 200
"""Slates that the ranges of 8-bit numbers are taken from."""
COMPARED = 1000
"""Slates that judge 8-bit numbers, at most."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the ranker reads of candidates, beside the retriever and the counters, and the columns' names in order."""

    layout: ContentLayout
    spaces: Spaces
    names: tuple[str, ...]


@dataclass(slots=True)
class LearnedRanker:
    """The fitted ranker, its small variant, the trees beside them, and the slates they were made from."""

    given: Judged
    heads: Sequence[str]
    fit: RankerFit
    small: RankerFit
    trees: Trees | None
    facts: dict[str, Any] = field(default_factory=dict)

    def ship(self, folder: Path, schema: BundleSchema, clock: Clock, progress: Progress) -> BundleSchema:
        """Write the graphs that earned their place; return the schema that names them."""
        if self.trees is not None:
            self.trees.save(folder / LAMBDARANK)
        self.facts = _facts(self.fit, self.small, self.trees, self.heads)
        if not self.fit.earns_its_place:
            return schema
        progress.step("8-bit ranker", 0, 1)
        features = len(schema.features)
        export_ranker(self.fit.model, schema.dim, features, folder / RANKER)  # type: ignore[arg-type]
        export_ranker(self.small.model, schema.dim, features, folder / RANKER_SMALL)  # type: ignore[arg-type]
        found = self._quantised(folder, clock)
        self.facts["int8"] = {
            "ndcg@10": round(found.ndcg_int8, 5),
            "float_ndcg@10": round(found.ndcg, 5),
            "ms": round(found.ms_int8, 3),
            "float_ms": round(found.ms, 3),
            "served": found.is_better,
        }
        progress.step("8-bit ranker", 1, 1, f"{found.ms_int8:.2f} ms against {found.ms:.2f}")
        precision = "int8" if found.is_better else "float"
        if not found.is_better:
            (folder / RANKER_INT8).unlink()
        return msgspec.structs.replace(schema, heads=tuple(self.heads), precision=precision)

    def _quantised(self, folder: Path, clock: Clock) -> Quantised:
        slates, data = self.given.data.slates, self.given.data
        learnt = np.flatnonzero(~self.given.judges)
        judge = judged_slates(slates, self.given.judges)[:COMPARED]
        samples = [_served(data, i) for i in learnt[:: max(1, learnt.size // SAMPLES)][:SAMPLES].tolist()]
        quantise(folder / RANKER, folder / RANKER_INT8, samples)

        def ndcg(predict: Predict) -> float:
            score = np.full(slates.candidate[judge].shape, -np.inf)
            for place, i in enumerate(judge.tolist()):
                held = slates.candidate[i] >= 0
                score[place, held] = predict(_served(data, i)) @ self.given.weights
            return slate_ndcg(score, slates, judge)

        return compare(_runner(folder / RANKER), _runner(folder / RANKER_INT8), samples, ndcg, clock)


def _runner(path: Path) -> Predict:
    session = OnnxSession(path)

    def predict(inputs: Inputs) -> np.ndarray:
        return session.run(**inputs)[0]

    return predict


def _served(data: RankerData, slate: int) -> Inputs:
    """Return one slate's inputs as serving would hand them over: no batch axis on candidates, no padding."""
    held = data.slates.candidate[slate] >= 0
    steps = max(1, int((data.slates.past.row[slate] >= 0).sum()))
    inputs = {name: value.numpy() for name, value in data.inputs(np.array([slate])).items()}
    cut = {name: inputs[name][:, :steps] for name in ("item", "action", "gap", "mask")}
    return inputs | cut | {name: inputs[name][0][held] for name in ("candidate", "feature")}


def learn_ranker(
    given: TrainingInput,
    material: Material,
    columns: Columns,
    requests: RequestEncoder,
    retriever: Retriever,
    later: Mask,
    settings: Settings,
    clock: Clock,
    progress: Progress,
    rng: np.random.Generator,
) -> LearnedRanker | None:
    """Fit the ranker on the interactions marked *later*, which the *retriever* has not seen. None without enough."""
    moments = _moments(given, material, later, settings, rng)
    heads = _heads(moments, material)
    if not heads:
        return None
    encode = _encoder(retriever, given, requests, settings.training.history_length)
    names = [material.actions[h] for h in heads]
    weights = np.array([settings.actions[name].weight for name in names])
    slates = _slates(moments, heads, given, material, columns, retriever, encode, later, settings, progress)
    slates = replace(slates, weight=weights)
    if int(slates.label.any((1, 2)).sum()) < FEWEST_SLATES:
        return None
    training = settings.training
    judged = Judged(
        RankerData(
            slates,
            requests.bags(_described(given, slates.user.tolist()), slates.context),
            retriever.embeddings,
            retriever.vectors,
        ),
        judging(slates, training.seed),
        weights,
        training,
        clock,
        progress,
    )
    dim = retriever.vectors.shape[1]
    fit = fit_ranker(judged, len(material.actions), requests.tokens, dim, RANKER_HISTORY)
    small = fit_small_ranker(judged)
    progress.step("boosted trees", 0, 1)
    trees = fit_lambdarank(slates, judged.judges, training.seed, training.threads)
    progress.step("boosted trees", 1, 1, "" if trees is None else f"validation NDCG@10 {trees.ndcg:.4f}")
    return LearnedRanker(judged, names, fit, small, trees)


def _encoder(
    retriever: Retriever, given: TrainingInput, requests: RequestEncoder, length: int
) -> Callable[[Sequence[Moment]], Vectors]:
    def encode(moments: Sequence[Moment]) -> Vectors:
        bags = requests.users(_described(given, [m.user for m in moments]), [m.context for m in moments])
        return retriever.encode(pad_histories([m.history for m in moments], length), bags)

    return encode


def _described(given: TrainingInput, users: Sequence[int]) -> list[Attributes]:
    return [given.users.get(user, {}) for user in users]


def _moments(
    given: TrainingInput, material: Material, later: Mask, settings: Settings, rng: np.random.Generator
) -> list[Moment]:
    interactions, limit = material.interactions, settings.training.ranker_lists
    cut = float(interactions.at[later].min()) if is_replayable(interactions) and later.any() else -np.inf
    newest = float(np.nanmax(interactions.at, initial=-np.inf))
    shown = [entry for entry in given.impressions if cut <= entry[2].at <= newest]
    # What was chosen from a slate says something about that slate, not about lists that nobody saw.
    found_alone = later & ~named_by_requests(interactions, shown, given.reactions)
    moments = interaction_moments(interactions, found_alone, material.positive, limit, rng)
    if shown:
        moments += impression_moments(shown, given.reactions, interactions, limit, rng)
    return sorted(moments, key=lambda m: m.offset)


def _heads(moments: Sequence[Moment], material: Material) -> list[int]:
    counts = np.zeros(len(material.actions), np.int64)
    for moment in moments:
        for actions in moment.wanted.values():
            counts[list(actions)] += 1
    return [i for i in range(len(material.actions)) if counts[i] >= FEWEST_OF_ACTION]


def _slates(
    moments: Sequence[Moment],
    heads: Sequence[int],
    given: TrainingInput,
    material: Material,
    columns: Columns,
    retriever: Retriever,
    encode: Callable[[Sequence[Moment]], Vectors],
    later: Mask,
    settings: Settings,
    progress: Progress,
) -> Slates:
    state = CountedState.ending(material.positive, material.interactions, Shares.of(settings.abuse))
    state.fold(material.interactions.take(~later))
    index = build_index(np.arange(material.n_items), retriever.vectors, IndexSettings(kind="exact"))
    relation, weight = retriever.lists, retriever.weight
    blend = Blend(relation, weight, lambda rows: retriever.vectors[rows]) if relation is not None else None
    sources = line_up(index, state, given.catalogue, settings.retrieval, blend)

    def candidates_of(query: Resolved) -> Candidates:
        offers = [
            within_quota(s.retrieve(query, s.limit + query.blocked.size), query.blocked, s.limit) for s in sources
        ]
        merged = merge(offers)
        kept, _ = merged.split(~among(merged.row, query.blocked))
        return kept.take(np.arange(min(len(kept), settings.ranking.limit)))

    replay = (state, material.interactions.take(later)) if is_replayable(material.interactions) else None
    actions = {name: code for code, name in enumerate(material.actions)}
    tokens = columns.layout.pack(material.items)
    content = Content(columns.layout, lambda rows: tokens[rows])
    frame = DenseFrame(
        state,
        given.catalogue,
        lambda rows: retriever.vectors[rows],
        actions,
        content,
        relation,
        weight,
        columns.names,
        columns.spaces,
    )
    return build_slates(
        moments,
        encode,
        candidates_of,
        frame,
        heads,
        settings.seen_actions,
        settings.storage.history_length,
        RANKER_HISTORY,
        replay,
        progress,
    )


def _facts(fit: RankerFit, small: RankerFit, trees: Trees | None, heads: Sequence[str]) -> dict[str, Any]:
    return {
        "validation_ndcg@10": round(fit.ndcg, 4),
        "retrieval_ndcg@10": round(fit.retrieval_ndcg, 4),
        "small_ndcg@10": round(small.ndcg, 4),
        "lambdarank_ndcg@10": None if trees is None else round(trees.ndcg, 4),
        "shipped": fit.earns_its_place,
        "calibration": dict(zip(heads, fit.calibration, strict=False)),
        "position_bias": dict(zip(heads, fit.position_bias, strict=False)),
        "curve": fit.curve,
    }
