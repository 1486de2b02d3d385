"""Erases users: the ledger first, then rejects and the log, down to the bytes. Knows no door.

The ledger's entry comes first, so that a crash leaves something to go on with: whoever opens the HOME next does. What
processes hold in memory goes when they follow the removal in the log, whose name is gone by then: they hold what they
know against the ledger.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from slatewise.bundles.registry import FolderRegistry
from slatewise.domain.erasure import Erased, Erasure
from slatewise.domain.errors import NotFound, StorageError
from slatewise.ports.clock import Clock
from slatewise.ports.stores import LogStore
from slatewise.wiring.folders import Folders
from slatewise.wiring.ledger import Entry, Ledger
from slatewise.wiring.rejected import forget_rejects

_log = logging.getLogger(__name__)

WAIT_S = 5.0
"""How long an erasure waits for whoever reads old pages of the write-ahead log."""

PAUSE_S = 0.05

TRIES = 3
"""A slate shown while its user was erased may still be written down after it: then the user is erased once more."""


class Erasing:
    """Erases users of one HOME. Thread-safe, and safe beside other processes."""

    def __init__(self, folders: Folders, event_log: LogStore, registry: FolderRegistry, clock: Clock) -> None:
        """Finish what a crash interrupted, or leave it for the next time: on a full disk it cannot be."""
        self._folders, self._log, self._registry, self._clock = folders, event_log, registry, clock
        self._ledger = Ledger(folders.home)
        try:
            if self._ledger.open_entries():
                with self._ledger.held():
                    apply(self._ledger, event_log)
        except StorageError as error:
            _log.error("an erasure that was interrupted could not be finished: %s", error)

    def erase(self, user_id: str, forget: Callable[[str], None]) -> Erasure:
        """Erase the user; *forget* has this process drop what it is about to write of them.

        Raises NotFound for somebody nothing is known of, and StorageError: what is left is erased with the next
        erasure, or when the HOME is opened.
        """
        with self._ledger.held():
            if not self._is_named(user_id) and not self._ledger.matching([user_id], self._ledger.open_entries()):
                raise NotFound(f"user {user_id!r} is not known")
            entry = self._ledger.begin(user_id, self._clock.now())
            rejects = forget_rejects(self._folders.rejects, user_id)
            gone = Erased(0, 0, 0, self._log.end)
            for _ in range(TRIES):
                forget(user_id)
                gone = _sum(gone, self._log.erase_user(user_id, entry.at))
                if not self._is_named(user_id):
                    break
            _finish(self._ledger, self._log)
            return Erasure(
                accepted=1,
                duplicates=0,
                version=gone.version,
                interactions=gone.interactions,
                impressions=gone.impressions,
                changes=gone.changes,
                rejects=rejects,
                entry=entry.entry,
                at=entry.at,
                bundles=tuple(info.id for info in self._registry.all()),
            )

    def was_erased(self) -> Callable[[str], bool]:
        """Return what tells whether an id is one that was erased, whichever process did it."""
        try:
            entries = self._ledger.entries()
        except StorageError as error:
            _log.error("everything kept of users is dropped, for who was erased is not known: %s", error)
            return lambda _: True
        return lambda user_id: bool(self._ledger.matching([user_id], entries))

    def _is_named(self, user_id: str) -> bool:
        return bool(self._log.user_rows([user_id]))


def apply(ledger: Ledger, log: LogStore) -> int:
    """Erase everybody whom an open entry of the ledger means, and return how many the log still knew."""
    wanted = ledger.open_entries()
    if not wanted:
        return 0
    found: dict[str, Entry] = {}
    for page in log.user_pages():
        found |= ledger.matching(page, wanted)
    for user_id, entry in found.items():
        log.erase_user(user_id, entry.at)
    _finish(ledger, log)
    return len(found)


def _finish(ledger: Ledger, log: LogStore) -> None:
    """Clear away what the file still holds of erased users, then close the ledger's entries."""
    log.compact()
    until = time.monotonic() + WAIT_S
    while not log.empty():
        if time.monotonic() > until:
            raise StorageError(
                "the user is erased, but their last bytes stay in the write-ahead log while somebody reads it: "
                "ask again, and they go"
            )
        time.sleep(PAUSE_S)
    _close(ledger, ledger.open_entries())


def _close(ledger: Ledger, entries: Iterable[Entry]) -> None:
    for entry in entries:
        ledger.done(entry)


def _sum(before: Erased, now: Erased | None) -> Erased:
    if now is None:
        return before
    return Erased(
        before.interactions + now.interactions,
        before.impressions + now.impressions,
        before.changes + now.changes,
        now.version,
    )
