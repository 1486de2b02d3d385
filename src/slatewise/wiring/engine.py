"""The live bundle behind the answers: loaded once, caught up with the log, swapped whole. Knows no door."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from slatewise.bundles.presence import Presence, present
from slatewise.bundles.registry import FolderRegistry
from slatewise.domain.errors import BundleError, NotReady, SlatewiseError
from slatewise.domain.holdout import held_out
from slatewise.domain.query import PastAction, Query
from slatewise.domain.settings import Settings
from slatewise.ingest.ingest import Ingest
from slatewise.models.trial import try_graphs
from slatewise.ports.clock import Clock
from slatewise.ports.index import VectorIndex
from slatewise.ports.stages import Source
from slatewise.ports.stores import LogStore
from slatewise.serving.live import LiveBundle
from slatewise.serving.recommender import Recommender
from slatewise.serving.similar import SimilarItems
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.users import LiveUsers
from slatewise.training.files import BundleSchema
from slatewise.wiring.bundle_files import open_bundle, open_schema
from slatewise.wiring.line import build_line
from slatewise.wiring.memory import give_back
from slatewise.wiring.recent import RecentQueries

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.05
"""How often a serving process looks whether another one promoted a bundle, or wrote."""

SPREAD_S = 60.0
"""How long a promotion waits for the other serving processes to open the bundle."""

IDLE_S = 1.0
"""How long after a swap the old bundle's memory is given back: requests that began with it are answered by then."""


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
        log: LogStore,
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
        self.recent = RecentQueries()
        self._loaded: Loaded | None = None
        self._next: tuple[Loaded, int] | None = None
        self._swap = threading.Lock()
        self._pointer = (-1, -1)
        self._presence: Presence | None = None
        self._watcher: threading.Thread | None = None
        self._closing = threading.Event()
        self._swapped_ms: float | None = None

    def current(self) -> Loaded:
        """Return the live bundle, swapping it where the pointer moved. Raises NotReady without one.

        While one thread loads the next bundle, the others go on with the held one. A bundle that cannot be opened is
        logged and leaves the held one in service.
        """
        loaded = self._loaded
        if loaded is None:
            loaded = self.refresh()
        elif self._watcher is None and self._has_moved() and self._swap.acquire(blocking=False):
            try:
                self._follow_pointer()
                loaded = self._loaded
            finally:
                self._swap.release()
        if loaded is None:
            raise NotReady("no bundle is live yet: train one with `slatewise train`")
        return loaded

    def held(self) -> Loaded | None:
        """Return the bundle that answers, at once where it is watched for; else as `refresh`."""
        return self._loaded if self._watcher is not None and self._loaded is not None else self.refresh()

    def glance(self) -> str | None:
        """Return the id of the bundle that answers, None where only a look at the disk could say."""
        loaded = self._loaded
        return loaded.live.id if loaded is not None and self._watcher is not None else None

    def refresh(self) -> Loaded | None:
        """Look at the pointer now, and swap if it moved. Raises BundleError for a bundle that cannot be opened."""
        with self._swap:
            return self._swapped()

    def watch(self) -> None:
        """Look after promotions by other processes from a thread, so that no request does, and tell them of ours.

        From now on a promotion anywhere is acknowledged only once this process answers from its bundle.
        """
        self._presence = Presence(self._registry.presence)
        if self._loaded is not None:
            self._presence.tell(self._loaded.live.id)
        self._watcher = threading.Thread(target=self._watch, name="slatewise-bundles", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stop watching. Idempotent."""
        self._closing.set()
        if self._watcher is not None:
            self._watcher.join()
        with self._swap:
            if self._presence is not None:
                self._presence.close()

    def promote(self, bundle: str) -> str:
        """Make *bundle* live here and in every process that serves this HOME, and return its id.

        It is opened, caught up and warmed before anything points at it: what cannot be opened is refused. Raises
        NotFound, BundleError; NotReady where it is live but some process does not answer from it in time.
        """
        with self._swap:
            if self._loaded is None or self._loaded.live.id != bundle:
                self._next = self._opened(bundle, is_tried=False)
        try:
            self._registry.promote(bundle)
            self.refresh()
        finally:
            self._next = None
        return self._spread(bundle)

    def rollback(self) -> str:
        """Promote the bundle that was live before. Raises as `promote`, and NotFound where there was none."""
        bundle = self._registry.rollback()
        self.refresh()
        return self._spread(bundle)

    def _spread(self, bundle: str) -> str:
        """Wait until every process that serves this HOME answers from *bundle*, unless another one is live by then."""
        until = self._clock.elapsed_ms() + SPREAD_S * 1000.0
        while True:
            others = [notice for notice in present(self._registry.presence) if notice.bundle != bundle]
            if not others or self._registry.live() != bundle:
                return bundle
            if any(notice.refused == bundle for notice in others):
                raise BundleError(f"bundle {bundle} is live, but a process that serves this HOME cannot open it")
            if self._clock.elapsed_ms() > until:
                raise NotReady(
                    f"bundle {bundle} is live, but {len(others)} serving processes do not answer from it yet"
                )
            self._closing.wait(LOOK_EVERY_S / 5)

    def _watch(self) -> None:
        while not self._closing.wait(LOOK_EVERY_S):
            try:
                if self._log.is_near:
                    # Ahead of those who ask: they need not look themselves, nor fold it all.
                    self._ingest.catch_up()
                if self._has_moved():
                    with self._swap:
                        self._follow_pointer()
            except Exception:
                log.exception("this process cannot keep up with what others wrote or promoted")
            swapped_ms = self._swapped_ms
            if swapped_ms is not None and self._clock.elapsed_ms() - swapped_ms > IDLE_S * 1000.0:
                self._swapped_ms = None
                give_back()

    def _has_moved(self) -> bool:
        return self._registry.pointer() != self._pointer

    def _follow_pointer(self) -> None:
        try:
            self._swapped()
        except SlatewiseError:
            held = self._loaded
            log.exception("the promoted bundle cannot be opened; %s goes on serving", held and held.live.id)

    def _swapped(self) -> Loaded | None:
        # The stamp first: a promotion while we load is then seen by the next look.
        self._pointer = self._registry.pointer()
        bundle = self._registry.live()
        held = self._loaded
        if bundle is not None and (held is None or held.live.id != bundle):
            ready = self._next
            try:
                if ready is None or ready[0].live.id != bundle:
                    ready = self._opened(bundle)
                self._seat(held, *ready)
            except Exception:
                self._tell(held, refused=bundle)
                raise
        self._tell(self._loaded)
        return self._loaded

    def _tell(self, loaded: Loaded | None, refused: str | None = None) -> None:
        if self._presence is not None:
            self._presence.tell(None if loaded is None else loaded.live.id, refused)

    def _opened(self, bundle: str, *, is_tried: bool = True) -> tuple[Loaded, int]:
        """Open a bundle, catch it up and warm it with what was asked lately; return it and the version it reflects."""
        fresh = self.load(bundle, lambda: self._ingest.applied, is_tried=is_tried)
        with fresh.live.state.transitions.gathered():
            reached = self._ingest.bring_up(fresh.live, fresh.schema.trained_to)
        self.recent.replay(fresh.recommender.recommend, self._clock.now())
        return fresh, reached

    def _seat(self, held: Loaded | None, fresh: Loaded, reached: int) -> None:
        """Put *fresh* in service, in the moment in which it takes over following the log."""

        def publish() -> None:
            self._loaded = fresh

        if held is None:
            self._ingest.add_follower(fresh.live, reached, publish)
        else:
            self._ingest.replace_follower(held.live, fresh.live, reached, publish)
            self._swapped_ms = self._clock.elapsed_ms()

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
