"""The live bundle behind the answers: loaded once, caught up with the log, swapped whole. Knows no door."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from slatewise.bundles.registry import FolderRegistry
from slatewise.domain.errors import NotReady, SlatewiseError
from slatewise.domain.holdout import held_out
from slatewise.domain.query import PastAction, Query
from slatewise.domain.settings import Settings
from slatewise.ingest.ingest import Ingest
from slatewise.models.trial import try_graphs
from slatewise.ports.clock import Clock
from slatewise.ports.index import VectorIndex
from slatewise.ports.stages import Source
from slatewise.serving.live import LiveBundle
from slatewise.serving.recommender import Recommender
from slatewise.serving.similar import SimilarItems
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.users import LiveUsers
from slatewise.training.files import BundleSchema
from slatewise.wiring.bundle_files import open_bundle, open_schema
from slatewise.wiring.line import build_line

log = logging.getLogger(__name__)

LOOK_EVERY_MS = 500.0
"""How often a reader looks whether another process promoted a bundle."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One bundle in service: all of its parts, so that a request holds either all of this one or all of the next."""

    live: LiveBundle
    schema: BundleSchema
    recommender: Recommender
    similar: SimilarItems


class Engine:
    """Holds the live bundle. Thread-safe; a swap happens while requests run, each keeping the bundle it began with."""

    def __init__(
        self,
        settings: Settings,
        log: SqliteEventLog,
        catalogue: LiveCatalogue,
        users: LiveUsers,
        ingest: Ingest,
        registry: FolderRegistry,
        clock: Clock,
        rng: np.random.Generator,
        tell_recall: Callable[[float], None],
    ) -> None:
        self._settings = settings
        self._tell_recall = tell_recall
        self._log = log
        self._catalogue = catalogue
        self._users = users
        self._ingest = ingest
        self._registry = registry
        self._clock = clock
        self._rng = rng
        self._loaded: Loaded | None = None
        self._swap = threading.Lock()
        self._looked_ms = -LOOK_EVERY_MS

    def current(self) -> Loaded:
        """Return the live bundle, swapping it where the pointer moved. Raises NotReady without one.

        While one thread loads the next bundle, the others go on with the held one. A bundle that cannot be opened is
        logged and leaves the held one in service.
        """
        loaded = self._loaded
        if loaded is None:
            loaded = self.refresh()
        elif self._clock.elapsed_ms() - self._looked_ms >= LOOK_EVERY_MS and self._swap.acquire(blocking=False):
            held = loaded
            try:
                loaded = self._swapped()
            except SlatewiseError:
                log.exception("the promoted bundle cannot be opened; %s goes on serving", held.live.id)
            finally:
                self._swap.release()
        if loaded is None:
            raise NotReady("no bundle is live yet: train one with `slatewise train`")
        return loaded

    def refresh(self) -> Loaded | None:
        """Look at the pointer now, and swap if it moved. Raises BundleError for a bundle that cannot be opened."""
        with self._swap:
            return self._swapped()

    def _swapped(self) -> Loaded | None:
        self._looked_ms = self._clock.elapsed_ms()
        bundle = self._registry.live()
        held = self._loaded
        if bundle is not None and (held is None or held.live.id != bundle):
            fresh = self.load(bundle, lambda: self._ingest.applied)
            if held is None:
                self._ingest.add_follower(fresh.live, fresh.schema.trained_to)
            else:
                self._ingest.replace_follower(held.live, fresh.live, fresh.schema.trained_to)
            # Published last: a reader must never meet a bundle that is not caught up with the log.
            self._loaded = fresh
        return self._loaded

    def load(
        self,
        bundle: str,
        folded: Callable[[], int],
        *,
        with_held_out: bool = True,
        deadline_ms: float | None = None,
        is_tried: bool = True,
    ) -> Loaded:
        """Open a bundle as it was trained; *with_held_out* also folds what training was not shown.

        *deadline_ms* replaces the settings' default. A bundle that is not tried runs its graphs in another process
        first. Raises NotFound or BundleError.
        """
        settings = self._settings
        if deadline_ms is not None:
            settings = replace(settings, serving=replace(settings.serving, deadline_ms=deadline_ms))
        folder = self._registry.path(bundle)
        if not is_tried:
            try_graphs(sorted(folder.glob("*.onnx")))
        schema = open_schema(folder)
        live = open_bundle(folder, schema, settings, self._catalogue, self._tell_recall)
        if with_held_out and schema.holdout != "none":
            trained = self._log.interactions(0, schema.trained_to)
            live.fold(trained.take(held_out(trained, schema.holdout)))
        recommender = self.line(live, settings, folded)
        similar = SimilarItems(
            index=live.index,
            vectors=live.vectors,
            state=live.state,
            catalogue=self._catalogue,
            max_size=settings.serving.max_size,
        )
        self._warm(recommender)
        return Loaded(live, schema, recommender, similar)

    def line(
        self,
        live: LiveBundle,
        settings: Settings,
        folded: Callable[[], int],
        *,
        index: VectorIndex | None = None,
        only: Source | None = None,
    ) -> Recommender:
        """Return a read line over *live* and its state; *index* and *only* as in `build_line`."""
        return build_line(
            live, settings, self._catalogue, self._users, folded, self._clock, self._rng, index=index, only=only
        )

    def _warm(self, recommender: Recommender) -> None:
        """Answer once for nobody and once for a short history, so that no user waits for columns and graphs to load."""
        known = self._catalogue.ids(np.flatnonzero(self._catalogue.available)[:3])
        past = tuple(PastAction(item_id=item) for item in known)
        for history in ((), past):
            recommender.recommend(
                Query(request_id="warm-up", at=self._clock.now(), history=history, deadline_ms=60_000)
            )
