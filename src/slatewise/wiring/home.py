"""A HOME folder, opened: the Python API. Everything the doors do goes through here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from slatewise.bundles.registry import BundleInfo, FolderRegistry
from slatewise.domain.answer import Answer, AnswerItem
from slatewise.domain.erasure import Erasure
from slatewise.domain.errors import InputError, NotFound, StorageError
from slatewise.domain.events import (
    AttributeValue,
    Event,
    Interaction,
    ItemChange,
    ItemRemoval,
    Receipt,
    UserChange,
)
from slatewise.domain.holdout import HoldoutMode
from slatewise.domain.query import Condition, PastAction, Query
from slatewise.domain.settings import Settings
from slatewise.domain.slate import Slate
from slatewise.evaluation.off_policy import Estimate, Policy, click_rates
from slatewise.evaluation.report import Report
from slatewise.evaluation.reranking_cost import RerankingCosts
from slatewise.ingest.ingest import Ingest
from slatewise.ports.clock import Clock
from slatewise.serving.answer import answer
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.exporting import export_user
from slatewise.storage.users import LiveUsers
from slatewise.telemetry.clock import SystemClock
from slatewise.telemetry.metrics import Metrics
from slatewise.training.progress import Progress, Silent
from slatewise.training.tune import Tuned, tune
from slatewise.wiring.answering import Answering
from slatewise.wiring.engine import Engine
from slatewise.wiring.erasing import Erasing
from slatewise.wiring.evaluate_job import evaluate_bundle
from slatewise.wiring.folders import Folders
from slatewise.wiring.import_job import ImportReport, Source, import_source
from slatewise.wiring.judged import Split
from slatewise.wiring.keys import KeyFile
from slatewise.wiring.memory import uncollected
from slatewise.wiring.observing import observers
from slatewise.wiring.open_log import open_log
from slatewise.wiring.request_ids import RequestIds
from slatewise.wiring.reranking_job import logged_places, price_reranking
from slatewise.wiring.settings import LoadedSettings, load_settings, read_environment
from slatewise.wiring.train_job import Trained, read_input, train_bundle, wait_politely
from slatewise.wiring.tune_job import draw, save_best

SETTINGS_FILE = "slatewise.toml"


class Home:
    """One HOME, opened for reading and writing. Thread-safe. Use as a context manager, or call `close`.

    Another process may have the same HOME open: what it writes and promotes is seen here by the next call.
    Raises ConfigError for settings that make no sense, StorageError for a damaged log.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        settings: Mapping[str, object] | None = None,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Open *path*, creating it if needed. *settings* overrides by dotted name, as flags do."""
        self.path = Path(path).expanduser()
        self.folders = Folders(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path} cannot be made a HOME folder: {error}") from error
        self.loaded_settings: LoadedSettings = load_settings(
            self.path / SETTINGS_FILE, read_environment(), settings or {}
        )
        self.settings: Settings = self.loaded_settings.settings
        self.clock: Clock = clock or SystemClock()
        self.metrics = metrics or Metrics()
        self.keys = KeyFile(self.path, self.clock)
        self._log = open_log(self.folders.log, self.settings)
        self.registry = FolderRegistry(self.folders.bundles, self.clock)
        self._erasing = Erasing(self.folders, self._log, self.registry, self.clock)
        with uncollected():
            self.catalogue = LiveCatalogue.load(self._log)
        self._users = LiveUsers(self._log, self.settings.storage, self.settings.seen_actions)
        self._ingest = Ingest(
            self._log, [self.catalogue, self._users], self.settings, self.clock, catalogue=self.catalogue
        )
        self._engine = Engine(
            self.settings, self._log, self.catalogue, self._users, self._ingest, self.registry, self.clock,
            np.random.default_rng(), self.metrics.index_recall,
        )  # fmt: skip
        self._answering = Answering(
            self.settings, self.folders.secret, self._log, lambda: self._engine.current().recommender,
            self._ingest.wait_for, self.clock, self.metrics.cache, self._users, self.catalogue, self._engine.glance,
        )  # fmt: skip
        self._impressions, self._observers, self.encores = observers(
            self._log, self.catalogue, self._ingest, self._engine.recent, self.clock, self.settings.telemetry,
            self.metrics, self._erasing.was_erased, self._answering,
        )  # fmt: skip
        self._request_ids = RequestIds()
        self._closed = False

    # -- writing ---------------------------------------------------------------------------------------------------

    def record(self, events: Interaction | Sequence[Interaction] | None = None, **fields: Any) -> Receipt:
        """Store interactions durably; the next slate of their users reflects them when this returns.

        Takes one event, several, or the fields of one: ``record(user_id="u", item_id="i", action="click")``, where the
        action may be left to the settings and the time to the clock. Raises InputError; nothing is stored then.
        """
        if events is None:
            known: dict[str, Any] = {"action": self.settings.ingest.default_action, "at": self.clock.now()}
            try:
                events = Interaction(**(known | fields))
            except TypeError as error:
                raise InputError(
                    "event", sorted(fields), "user_id, item_id and optionally action, at, value"
                ) from error
        return self._append([events] if isinstance(events, Interaction) else events)

    def put_items(self, items: Sequence[ItemChange]) -> Receipt:
        """Add items or replace their whole state. A new item with attributes can be recommended when this returns."""
        return self._append(items)

    def delete_item(self, item_id: str) -> Receipt:
        """Remove an item; no answer asked for after this returns holds it. Raises NotFound."""
        self._require_item(item_id)
        return self._append([ItemRemoval(at=self.clock.now(), item_id=item_id)])

    def put_users(self, users: Sequence[UserChange]) -> Receipt:
        """Add users' attributes or replace them."""
        return self._append(users)

    def delete_user(self, user_id: str) -> Erasure:
        """Erase a user from log, memory and training, down to the bytes; the receipt says what. Raises NotFound."""
        erased = self._erasing.erase(user_id, self._impressions.forget)
        self._ingest.catch_up()
        return erased

    def export_user(self, user_id: str) -> Iterator[bytes]:
        """Return all that the log holds of a user, as the parts of one JSON object. Raises NotFound."""
        return export_user(self._log, user_id)

    def _append(self, events: Sequence[Event]) -> Receipt:
        start = self.clock.elapsed_ms()
        receipt = self._ingest.record(events)
        self.metrics.recorded(receipt)
        self.metrics.visible((self.clock.elapsed_ms() - start) / 1000)
        return receipt

    def import_data(
        self,
        source: Source,
        *,
        items: Source | None = None,
        users: Source | None = None,
        mapping: Mapping[str, str] | None = None,
        action: str | None = None,
        strict: bool = False,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Import a folder, a file or data frames. Importing the same twice stores it once.

        *mapping* renames columns (ours=theirs). Bad rows are counted, written to HOME/rejects and passed over unless
        *strict*. Raises InputError for data that cannot be read at all.
        """
        report = import_source(
            source, items, users, dict(mapping or {}), action, strict,
            self._log, self.catalogue, self._users, self._ingest, self.settings, self.clock, self.folders.rejects,
            progress or Silent(),
        )  # fmt: skip
        self._ingest.catch_up()
        return report

    # -- learning --------------------------------------------------------------------------------------------------

    def train(
        self, *, holdout: HoldoutMode = "none", promote: bool = True, progress: Progress | None = None
    ) -> Trained:
        """Train a bundle on the log, publish it, and make it live unless told not to. Raises TrainingError."""
        self._ingest.catch_up()
        given = read_input(self._log, self.catalogue, self._users, self.settings)
        trained = train_bundle(
            given, self.settings, holdout, self.registry, self.folders.training, self.clock, progress or Silent()
        )
        if promote:
            self.promote(trained.bundle)
        return trained

    def tune(
        self, *, trials: int = 20, holdout: HoldoutMode = "none", save: bool = False, progress: Progress | None = None
    ) -> Tuned:
        """Try other settings of the towers, judged on held-back interactions; draws HOME/reports/tune.png.

        Each trial has ``training.minutes``; trials of earlier calls count. *save* writes the best into HOME's settings
        file, for the next time it is opened. Raises TrainingError without torch or optuna, ConfigError where the file
        has training settings already.
        """
        self._ingest.catch_up()
        wait_politely()
        given = read_input(self._log, self.catalogue, self._users, self.settings)
        tuned = tune(given, self.settings, holdout, self.folders.training, trials, self.clock, progress or Silent())
        draw(tuned, self.folders.reports / "tune.png")
        if save:
            save_best(tuned, self.path / SETTINGS_FILE)
        return tuned

    def evaluate(
        self,
        *,
        split: Split = "last-item",
        bundle: str | None = None,
        max_cases: int | None = None,
        decompose_cases: int = 0,
        progress: Progress | None = None,
    ) -> Report:
        """Replay the held-out interactions through the real READ line of a bundle, by default the live one.

        *decompose_cases* of them also go through lines with other candidates: where quality is lost, and what more
        candidates would cost.
        """
        return evaluate_bundle(
            self._to_evaluate(bundle), split, self.settings, self._log, self.catalogue, self._engine, self.registry,
            progress or Silent(), max_cases, decompose_cases,
        )  # fmt: skip

    def reranking_costs(
        self,
        *,
        split: Split = "last-item",
        bundle: str | None = None,
        max_cases: int | None = None,
        progress: Progress | None = None,
    ) -> RerankingCosts:
        """Price every re-ranking rule alone, in NDCG and in what it buys, on the cases that `evaluate` replays."""
        return price_reranking(
            self._to_evaluate(bundle), split, self.settings, self._log, self.catalogue, self._engine,
            progress or Silent(), max_cases,
        )  # fmt: skip

    def click_rates(self, policy: Policy) -> list[Estimate]:
        """Estimate from what was logged how often each place had been clicked, had we always, or never, explored."""
        return click_rates(logged_places(self.settings, self._log, self.catalogue), policy)

    def _to_evaluate(self, bundle: str | None) -> str:
        self._ingest.catch_up()
        chosen = bundle or self.registry.live()
        if chosen is None:
            raise NotFound("no bundle is live, so there is nothing to evaluate: train with --holdout first")
        return chosen

    def bundles(self) -> list[BundleInfo]:
        """Return every published bundle, oldest first."""
        return self.registry.all()

    def promote(self, bundle: str) -> str:
        """Make a bundle live in every process that serves this HOME; where it cannot be, the held one stays."""
        return self._engine.promote(bundle)

    def rollback(self) -> str:
        """Make the bundle live that was live before. Raises NotFound where there was none."""
        return self._engine.rollback()

    def watch(self) -> None:
        """Look after other processes' promotions from a thread: for whoever serves. Acknowledged ones are seen here."""
        self._engine.watch()

    # -- reading ---------------------------------------------------------------------------------------------------

    def recommend(
        self,
        user_id: str | None = None,
        *,
        size: int = 10,
        history: Sequence[str | PastAction] | None = None,
        exclude: Sequence[str] = (),
        where: Mapping[str, Condition] | None = None,
        context: Mapping[str, AttributeValue] | None = None,
        weights: Mapping[str, float] | None = None,
        min_version: int | None = None,
        deadline_ms: float | None = None,
        explain: bool = False,
        cursor: str | None = None,
    ) -> Answer:
        """Return the ranked items for a user, for a given history, or for nobody in particular.

        With the *cursor* of an answer to the same query, the items behind those that one showed. *weights* stand in for
        ``actions.NAME.weight`` in this answer. Raises InputError for a query that makes no sense, Expired for a cursor
        that is too old, NotReady without a live bundle.
        """
        query = Query(
            request_id=self.new_request_id(),
            at=self.clock.now(),
            size=size,
            user_id=user_id,
            history=None if history is None else tuple(map(PastAction.of, history)),
            exclude=frozenset(exclude),
            where=where or {},
            context=context or {},
            weights=weights or {},
            min_version=min_version,
            deadline_ms=deadline_ms,
            explain=explain,
            cursor=cursor,
        )
        return self.answer(query)

    def answer(self, query: Query) -> Answer:
        """Answer one query; observers hear of it afterwards."""
        slate = self.slate(query)
        return answer(slate, self.catalogue, explain=query.explain)

    def slate(self, query: Query) -> Slate:
        """Return the slate behind an answer, in rows: for tools in this process."""
        self._ingest.catch_up()
        slate = self._answering.recommend(query)
        for observer in self._observers:
            observer.served(query, slate)
        return slate

    def similar(self, item_id: str, size: int = 10) -> tuple[AnswerItem, ...]:
        """Return available items near an item. Raises NotFound, NotReady."""
        self._ingest.catch_up()
        return self._engine.current().similar.similar(item_id, size)

    def trending(self, size: int = 10) -> list[str]:
        """Return the available items many users touch now, best first. Raises NotReady."""
        self._ingest.catch_up()
        rows, _ = self._engine.current().live.state.trending(self.clock.now(), size * 4)
        return self.catalogue.ids(rows[self.catalogue.available[rows]][:size])

    def item(self, item_id: str) -> ItemChange:
        """Return an item's current state. Raises NotFound."""
        row = self._require_item(item_id)
        found = self.catalogue.item(row)
        return found if found is not None else ItemChange(at=0.0, item_id=item_id)

    def user(self, user_id: str) -> UserChange:
        """Return a user's attributes, none where only a history is known. Raises NotFound."""
        self._require_user(user_id)
        return self._users.change(user_id) or UserChange(at=0.0, user_id=user_id)

    def _require_item(self, item_id: str) -> int:
        self._ingest.catch_up()
        row = self.catalogue.row(item_id)
        if row < 0 or not self.catalogue.exists(row):
            raise NotFound(f"item {item_id!r} is not in the catalogue")
        return row

    def _require_user(self, user_id: str) -> None:
        self._ingest.catch_up()
        if not self._users.knows(user_id):
            raise NotFound(f"user {user_id!r} is not known")

    @property
    def version(self) -> int:
        """The log version that answers reflect at least."""
        return self._ingest.applied

    @property
    def live_bundle(self) -> str | None:
        """The id of the bundle that answers, None without one."""
        loaded = self._engine.held()
        return loaded.live.id if loaded else None

    @property
    def trouble(self) -> str | None:
        """Why writes are refused now, such as a full disk; None where they are not."""
        return self._log.trouble

    def new_request_id(self) -> str:
        """Return a fresh id that a click can name as its ``request_id``."""
        return self._request_ids()

    def close(self) -> None:
        """Write out what waits and let go of the files. May be called twice."""
        if not self._closed:
            self._closed = True
            self._engine.close()
            self._impressions.close()
            self._answering.close()
            self._log.close()

    def __enter__(self) -> Home:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
