from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from slatewise.domain.settings import Settings
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.users import LiveUsers
from slatewise.telemetry.clock import SystemClock
from slatewise.testing.worlds import walkers
from slatewise.training.learn import learn
from slatewise.training.material import TrainingInput
from slatewise.training.progress import Silent
from slatewise.wiring.settings import load_settings
from slatewise.wiring.train_job import read_input

SMALL = {
    "training.deep": "on",
    "training.dim": 16,
    "training.history_length": 20,
    "training.epochs": 12,
    "training.minutes": 3.0,
    "training.ranker_minutes": 2.0,
    "training.ranker_epochs": 4,
    "training.negatives": 64,
    "training.batch_size": 8,
    "training.learning_rate": 0.004,
    "retrieval.two_tower": 20,
    "retrieval.item_to_item": 10,
}


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings(None, {}, SMALL).settings


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Iterator[TrainingInput]:
    log = SqliteEventLog(tmp_path_factory.mktemp("world") / "log.sqlite", settings.action_names)
    items, users, events = walkers()
    log.append([*items, *users, *events])
    yield read_input(log, LiveCatalogue.load(log), LiveUsers(log, settings.storage, settings.seen_actions), settings)
    log.close()


@pytest.fixture(scope="session")
def world(given: TrainingInput, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One deep bundle, trained once for all tests of this room."""
    pytest.importorskip("torch", reason="training needs the extra slatewise[train]")
    folder = tmp_path_factory.mktemp("bundle")
    learned = learn(given, settings, "last-item", folder, folder / "work", SystemClock(), Silent())
    return SimpleNamespace(given=given, settings=settings, folder=folder, learned=learned)
