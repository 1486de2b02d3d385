"""Sets up an evaluation: a bundle as it was trained, its held-out interactions, the real READ line over both."""

from __future__ import annotations

from typing import Literal

import numpy as np

from slatewise.bundles.registry import FolderRegistry
from slatewise.domain.errors import InputError
from slatewise.domain.holdout import held_out, time_cut
from slatewise.domain.settings import Settings
from slatewise.evaluation.cases import last_item_cases, time_cases
from slatewise.evaluation.evaluate import evaluate
from slatewise.evaluation.lambdarank import open_lambdarank
from slatewise.evaluation.measure import Items
from slatewise.evaluation.report import Report
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.user_names import UserNames
from slatewise.training.progress import Progress
from slatewise.wiring.bundle_files import open_factors
from slatewise.wiring.engine import Engine

Split = Literal["last-item", "time"]

PATIENT_MS = 60_000.0

LAST_ITEM_NOTE = (
    "Only each user's own order is obeyed: counters and models know other users' interactions of any time, "
    "as in every published figure on this split."
)


def evaluate_bundle(
    bundle: str,
    split: Split,
    settings: Settings,
    log: SqliteEventLog,
    catalogue: LiveCatalogue,
    engine: Engine,
    registry: FolderRegistry,
    progress: Progress,
    max_cases: int | None = None,
) -> Report:
    """Replay the split's held-out interactions through the bundle's READ line and price every stage.

    Raises InputError for a bundle that was trained under another holdout: it has seen the answers.
    """
    # Figures are to say what the models know, not how busy the machine was.
    loaded = engine.load(bundle, lambda: log.end, with_held_out=False, deadline_ms=PATIENT_MS)
    schema = loaded.schema
    if schema.holdout != split:
        raise InputError(
            "split",
            split,
            f"the holdout that bundle {bundle} was trained with ({schema.holdout}); train with --holdout",
        )
    interactions = log.interactions(0, schema.trained_to)
    hidden = held_out(interactions, split)
    rng = np.random.default_rng(settings.training.seed)
    positive = settings.positive_actions
    if split == "time":
        cases = time_cases(interactions, time_cut(interactions), positive, UserNames(log).ids, rng)
    else:
        cases = last_item_cases(interactions, positive, UserNames(log).ids)
    by_time = split == "time"
    return evaluate(
        cases,
        loaded.recommender.recommend,
        catalogue.ids,
        settings=settings,
        training=interactions.take(~hidden),
        items=Items(
            n_items=len(catalogue),
            available=catalogue.available,
            category=catalogue.codes("categories"),
            vectors=loaded.live.vectors(np.arange(len(catalogue))),
        ),
        split=split,
        rng=rng,
        matrix_factorisation=open_factors(registry.path(bundle), schema),
        upcoming=interactions.take(hidden) if by_time else None,
        fold=loaded.live.fold if by_time else None,
        max_cases=max_cases,
        progress=progress,
        notes=() if by_time else (LAST_ITEM_NOTE,),
        lambdarank=open_lambdarank(registry.path(bundle)),
    )
