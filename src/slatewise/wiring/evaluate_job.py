"""Sets up an evaluation: a bundle as it was trained, its held-out interactions, the real READ line over both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from slatewise.bundles.registry import FolderRegistry
from slatewise.domain.settings import Settings
from slatewise.evaluation.evaluate import evaluate
from slatewise.evaluation.lambdarank import open_lambdarank
from slatewise.evaluation.measure import Items
from slatewise.evaluation.replay import Recommend
from slatewise.evaluation.report import Report
from slatewise.index.exact import ExactIndex
from slatewise.ports.index import VectorIndex
from slatewise.ports.stages import Source
from slatewise.ports.stores import LogStore
from slatewise.serving.live import LiveBundle
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.training.progress import Progress
from slatewise.wiring.bundle_files import open_factors
from slatewise.wiring.engine import Engine
from slatewise.wiring.judged import PATIENT_MS, Split, open_judged

LAST_ITEM_NOTE = (
    "Only each user's own order is obeyed: counters and models know other users' interactions of any time, "
    "as in every published figure on this split."
)

NO_RANKER_NOTE = "No ranker is asked (the bundle ships none, or it is off), so `ranked` is the order of retrieval."


def evaluate_bundle(
    bundle: str,
    split: Split,
    settings: Settings,
    log: LogStore,
    catalogue: LiveCatalogue,
    engine: Engine,
    registry: FolderRegistry,
    progress: Progress,
    max_cases: int | None = None,
    decompose_cases: int = 0,
) -> Report:
    """Replay the split's held-out interactions through the bundle's READ line and price every stage.

    *decompose_cases* of the replayed cases are also asked of lines that differ in one thing each; 0: of none.
    Raises InputError for a bundle that was trained under another holdout: it has seen the answers.
    """
    judged = open_judged(bundle, split, settings, log, engine)
    loaded = judged.loaded
    ranks = loaded.live.models.ranker is not None and settings.ranking.kind != "off"
    notes = [LAST_ITEM_NOTE] if split == "last-item" else []
    return evaluate(
        judged.cases,
        loaded.recommender.recommend,
        catalogue.ids,
        settings=settings,
        training=judged.training,
        items=Items(
            n_items=len(catalogue),
            available=catalogue.available,
            category=catalogue.codes("categories"),
            vectors=loaded.live.vectors(np.arange(len(catalogue))),
        ),
        split=split,
        rng=judged.rng,
        matrix_factorisation=open_factors(registry.path(bundle), loaded.schema),
        upcoming=judged.upcoming,
        fold=judged.fold,
        max_cases=max_cases,
        progress=progress,
        notes=notes if ranks else [*notes, NO_RANKER_NOTE],
        # Trees read what the ranker read: without one, nothing was.
        lambdarank=open_lambdarank(registry.path(bundle)) if ranks else None,
        lines=_Lines(engine, loaded.live, _patient(settings), lambda: log.end, catalogue) if decompose_cases else None,
        decompose_cases=decompose_cases,
    )


@dataclass(frozen=True, slots=True)
class _Lines:
    """Read lines over one live bundle that differ in one thing each, as `evaluation.probe.Lines` asks for."""

    engine: Engine
    live: LiveBundle
    settings: Settings
    folded: Callable[[], int]
    catalogue: LiveCatalogue

    @property
    def index(self) -> VectorIndex:
        return self.live.index

    @property
    def exact(self) -> VectorIndex:
        """An exhaustive index over the vectors of the bundle's items; costs their memory once more."""
        known = np.arange(min(self.live.models.trained_items, len(self.catalogue)), dtype=np.int64)
        rows = known[[self.catalogue.exists(row) for row in known.tolist()]]
        exact = ExactIndex(self.live.index.dim)
        exact.upsert(rows, self.live.vectors(rows))
        return exact

    def wider(self, k: int) -> Recommend:
        settings = replace(
            self.settings,
            retrieval=replace(self.settings.retrieval, two_tower=k),
            ranking=replace(self.settings.ranking, limit=len(self.catalogue)),
        )
        return self.engine.line(self.live, settings, self.folded).recommend

    def searching(self, index: VectorIndex) -> Recommend:
        return self.engine.line(self.live, self.settings, self.folded, index=index).recommend

    def offering(self, source: Source) -> Recommend:
        return self.engine.line(self.live, self.settings, self.folded, only=source).recommend


def _patient(settings: Settings) -> Settings:
    """Return the settings with so late a deadline that figures do not depend on how busy the machine is."""
    return replace(settings, serving=replace(settings.serving, deadline_ms=PATIENT_MS))
