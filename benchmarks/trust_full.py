"""A disk full to the last byte: writes are refused, reads and removals go on, and writes come back by themselves."""

import random
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

from trust_disk import disk
from trust_store import Counts

from slatewise.domain.errors import StorageError, StorageFull
from slatewise.domain.events import Interaction, ItemRemoval
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.space import Reserve

ACTIONS = ("view",)
REMOVALS = 20


def full_disks(cycles: int, seed: int, twin: str = "") -> Counts:
    """Fill a disk *cycles* times, each a new log."""
    chance = random.Random(seed)
    total = Counts()
    with disk(10) as lent, patch("slatewise.storage.log.Reserve", (lambda path: None) if twin else Reserve):
        for cycle in range(cycles):
            folder = lent.at / f"{cycle}"
            folder.mkdir()
            total.add(_one(folder, chance))
            for file in folder.iterdir():
                file.unlink()
    return total


def _one(folder: Path, chance: random.Random) -> Counts:
    counts = Counts(cycles=1)
    told: set[str] = set()
    filler = folder / "somebody else's"
    with SqliteEventLog(folder / "log.sqlite", ACTIONS) as log:
        filler.write_bytes(b"x" * chance.randrange(3_000_000, 6_000_000))
        _write(log, told, "before", 1_000, chance)
        with open(folder / "the rest", "wb", buffering=0) as rest, suppress(OSError):
            while True:
                rest.write(b"x" * 4096)
        for i in range(REMOVALS):
            try:
                log.append([ItemRemoval(at=1.0, item_id=f"gone{i}")])
            except StorageError as error:
                counts.broken += 1
                counts.notes.append(f"removal {i} refused: {error}")
                break
        _write(log, told, "full", 1, chance)
        read = {stored.event.event_id for stored in log.read() if isinstance(stored.event, Interaction)}
        counts.broken += read != told
        filler.unlink()
        written = _write(log, told, "after", 3, chance)
        counts.broken += written < 3 or log.trouble is not None
    with SqliteEventLog(folder / "log.sqlite", ACTIONS) as log:
        kept = [stored.event.event_id for stored in log.read() if isinstance(stored.event, Interaction)]
    counts.lost = len(told - set(kept))
    counts.phantom = len({str(event_id) for event_id in kept} - told)
    counts.duplicated = len(kept) - len(set(kept))
    counts.acknowledged = len(told)
    return counts


def _write(log: SqliteEventLog, told: set[str], name: str, most: int, chance: random.Random) -> int:
    """Append until *most* or the disk is full; return how many batches were taken."""
    for number in range(most):
        ids = [f"{name}-{number}-{i}" for i in range(chance.randrange(1, 40))]
        try:
            log.append(
                [Interaction(user_id="u", item_id=i + "x" * 300, action="view", at=1.0, event_id=i) for i in ids]
            )
        except StorageFull:
            return number
        told.update(ids)
    return most
