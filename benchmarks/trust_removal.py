"""What was deleted, excluded or seen is in no answer to a question asked after that was acknowledged.

Several threads ask while another deletes, brings back and buys; what counts is the history of each: an answer is wrong
where it was asked for after the acknowledgement and holds the item. At the end the HOME is opened anew and asked again.
"""

import random
import tarfile
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
from trust_flips import FIXTURE
from trust_store import Counts

from slatewise.domain.events import ItemChange
from slatewise.filtering.excluded import ExcludedFilter
from slatewise.filtering.seen import SeenFilter
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.wiring.home import Home

READERS = 2
AWAY = 25
"""Items deleted at once; then the oldest comes back."""

TWINS = {
    "stale_catalogue": [patch.object(LiveCatalogue, "available", property(lambda self: np.ones(len(self), bool)))],
    "unfiltered": [
        patch.object(kind, "keep", lambda self, query, found: np.ones(len(found), bool))
        for kind in (SeenFilter, ExcludedFilter)
    ],
}
"""Retrieval and filters both ask the catalogue, and two filters know what was bought: each twin breaks both."""


def removals(cycles: int, seed: int, twin: str = "") -> Counts:
    """Delete *cycles* items, and let as many be bought, under questions all the time."""
    with tempfile.TemporaryDirectory(prefix="slatewise-trust-") as scratch:
        with tarfile.open(FIXTURE) as packed:
            packed.extractall(scratch, filter="data")
        with ExitStack() as broken:
            for part in TWINS.get(twin, []):
                broken.enter_context(part)
            return _removals(cycles, random.Random(seed), Path(scratch, "home"))


class _Truth:
    """Since when what may not be shown, by item, and by user and item."""

    def __init__(self) -> None:
        self.deleted: dict[str, float] = {}
        self.bought: dict[tuple[str, str], float] = {}
        self.counts = Counts()
        self.stop = False

    def ask(self, home: Home, user: str, chance: random.Random) -> None:
        excluded = f"c{chance.randrange(8)}-{chance.randrange(10)}"
        deleted, bought = dict(self.deleted), dict(self.bought)  # acknowledged before the question
        answer = home.recommend(user, size=20, exclude=[excluded])
        self.counts.acknowledged += 1
        for item in (shown.item_id for shown in answer.items):
            # Where it came back meanwhile, the answer may hold it.
            is_deleted = item in deleted and self.deleted.get(item) == deleted[item]
            if is_deleted or (user, item) in bought or item == excluded:
                self.counts.broken += 1


def _removals(cycles: int, chance: random.Random, path: Path) -> Counts:
    truth = _Truth()
    with Home(path) as home:
        readers = [
            threading.Thread(target=_reading, args=(truth, home, random.Random(seed))) for seed in range(READERS)
        ]
        for reader in readers:
            reader.start()
        try:
            for _ in range(cycles):
                _change(truth, home, chance)
        finally:
            truth.stop = True
            for reader in readers:
                reader.join()
    with Home(path) as home:
        for i in range(40):
            truth.ask(home, f"u{i}", chance)
    truth.counts.cycles = cycles
    return truth.counts


def _reading(truth: _Truth, home: Home, chance: random.Random) -> None:
    while not truth.stop:
        truth.ask(home, f"u{chance.randrange(40)}", chance)


def _change(truth: _Truth, home: Home, chance: random.Random) -> None:
    there = [f"c{c}-{k}" for c in range(8) for k in range(10) if f"c{c}-{k}" not in truth.deleted]
    item = chance.choice([item for item in there if item != "c2-2"])
    home.delete_item(item)
    truth.deleted[item] = time.monotonic()
    user, bought = f"u{chance.randrange(40)}", chance.choice(there)
    home.record(user_id=user, item_id=bought, action="buy")
    truth.bought[user, bought] = time.monotonic()
    if len(truth.deleted) > AWAY:
        oldest = next(iter(truth.deleted))
        del truth.deleted[oldest]
        home.put_items([ItemChange(at=1.0, item_id=oldest)])
