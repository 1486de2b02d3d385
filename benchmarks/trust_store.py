"""The store under test: a forked process that appends and says what was acknowledged, and the check of what is kept.

`TWINS` are the faults that the checks have to notice: each is put into the real code of the forked process alone.
"""

import ctypes
import os
import random
import select
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slatewise.domain.errors import StorageError
from slatewise.domain.events import Interaction, Receipt
from slatewise.storage import schema, writer
from slatewise.storage.log import SqliteEventLog

ACTIONS = ("view",)
TOGETHER = 3
"""Events in one batch: there whole or not at all."""


@dataclass
class Counts:
    """What went wrong, over all cycles."""

    cycles: int = 0
    acknowledged: int = 0
    lost: int = 0
    phantom: int = 0
    duplicated: int = 0
    torn_tails: int = 0
    refused_opens: int = 0
    failures_told: int = 0
    broken: int = 0
    """Other promises: a state that differs without a word, a removal refused on a full disk, a removed item shown."""
    notes: list[str] = field(default_factory=list)

    @property
    def is_red(self) -> bool:
        return self.lost + self.phantom + self.duplicated + self.refused_opens + self.broken > 0

    @property
    def bound(self) -> float | None:
        """The chance of trouble per cycle that cannot be ruled out, where none was seen: 3 / N, 95 %."""
        return None if self.is_red or not self.cycles else 3 / self.cycles

    def told(self) -> dict[str, int]:
        """Return the numbers."""
        return {name: value for name, value in vars(self).items() if name != "notes"}

    def line(self) -> str:
        """Return the numbers as one line for people."""
        bound = f"  at most {self.bound:.2%} per cycle" if self.bound is not None else ""
        return "  ".join(f"{name} {value}" for name, value in self.told().items()) + bound

    def add(self, other: "Counts") -> None:
        for name, value in other.told().items():
            setattr(self, name, getattr(self, name) + value)
        self.notes += other.notes


def batch(life: str, thread: int, number: int) -> list[Interaction]:
    """Return a batch whose contents follow from its name, so that a wrong one is known as such."""
    return [
        Interaction(
            user_id=f"u{thread}",
            item_id=f"{life}-{number}",
            action="view",
            at=float(j),
            event_id=f"{life}/{thread}/{number}/{j}",
        )
        for j in range(TOGETHER)
    ]


# -- the process that writes ---------------------------------------------------------------------------------------


@dataclass
class Writing:
    """A forked process that appends until it is killed or has had enough."""

    pid: int
    told: int
    """The end of the pipe that acknowledgements come through."""
    heard: bytes = b""
    calls: int = 0
    """System calls that could have been made to fail, see `trust_faults.c`; 0 without the shim."""

    def hear(self, word: bytes, limit_s: float) -> None:
        """Return once the process said *word* or ended, or after *limit_s*."""
        until = time.monotonic() + limit_s
        while word not in self.heard and select.select([self.told], [], [], max(0.0, until - time.monotonic()))[0]:
            part = os.read(self.told, 1 << 16)
            if not part:
                return
            self.heard += part

    def outcome(self) -> list[tuple[bool, int, int]]:
        """Return whether each batch was acknowledged, its thread and number; call once, after the process's end."""
        while part := os.read(self.told, 1 << 16):
            self.heard += part
        os.close(self.told)
        lines = [line.split() for line in self.heard.split(b"\n")[:-1]]
        self.calls = sum(int(number) for how, _, number in lines if how == b"done")
        return [(how == b"stored", int(me), int(number)) for how, me, number in lines if how != b"done"]

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def stop(self) -> None:
        """Stop it and return once it stands still: a power cut is not a race with a system call under way."""
        os.kill(self.pid, signal.SIGSTOP)
        while Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "TtZ":
            time.sleep(0.0005)

    def wait(self) -> int:
        return os.waitpid(self.pid, 0)[1]


def start(
    path: Path,
    life: str,
    *,
    threads: int = 3,
    batches: int = 1 << 30,
    twin: str = "",
    faults: dict[str, str] | None = None,
    pages: int = writer.CHECKPOINT_PAGES,
) -> Writing:
    """Fork a process that appends to the log; call without threads running."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid:
        os.close(tell)
        return Writing(pid, told)
    try:
        os.close(told)
        os.environ.update(faults or {})
        writer.CHECKPOINT_PAGES = pages
        if twin:
            TWINS[twin]()
        _write(path, life, threads, batches, tell)
    finally:
        os._exit(0)


def _write(path: Path, life: str, threads: int, batches: int, tell: int) -> None:
    try:
        log = SqliteEventLog(path, ACTIONS)
    except StorageError:
        os.write(tell, b"failed 0 0\n")
        return

    def send(me: int) -> None:
        for number in range(batches):
            try:
                log.append(batch(life, me, number))
                os.write(tell, b"stored %d %d\n" % (me, number))
                if number % 4 == 0:  # a caller whose answer was lost on the way sends it again
                    log.append(batch(life, me, number))
            except StorageError:
                os.write(tell, b"failed %d %d\n" % (me, number))

    running = [threading.Thread(target=send, args=(me,)) for me in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    calls = getattr(ctypes.CDLL(None), "trust_calls", lambda: 0)()
    os.write(tell, b"done 0 %d\n" % calls)
    signal.pause()  # and be killed: to close the log properly is another story


# -- what must hold afterwards -------------------------------------------------------------------------------------


class Oracle:
    """All that was ever acknowledged on one log file, and what may be there besides."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: set[tuple[str, int, int]] = set()
        """Batches acknowledged: life, thread, number."""
        self.sent: dict[tuple[str, int], int] = {}
        """The last batch that may have been sent, by life and thread: each sends one at a time, in order."""

    def learn(self, life: str, outcome: Sequence[tuple[bool, int, int]], threads: int = 3) -> None:
        """Note how one process went."""
        for me in range(threads):
            self.sent[life, me] = 1 + max((number for _, who, number in outcome if who == me), default=-1)
        self.told |= {(life, me, number) for stored, me, number in outcome if stored}

    def check(self) -> Counts:
        """Open the log and compare; then send again what was in flight, and compare once more."""
        counts = Counts(cycles=1)
        try:
            with SqliteEventLog(self.path, ACTIONS) as log:
                counts.torn_tails = int(log.tail.torn > 0)
                self._compare(log, counts)
                for life, me in list(self.sent)[-3:]:
                    for number in range(max(0, self.sent[life, me] - 2), self.sent[life, me] + 1):
                        receipt = log.append(batch(life, me, number))
                        counts.duplicated += receipt.accepted if (life, me, number) in self.told else 0
                        counts.phantom += receipt.accepted not in (0, TOGETHER)
                        self.told.add((life, me, number))
                self._compare(log, counts)
        except StorageError as error:
            counts.refused_opens += 1
            counts.notes.append(str(error))
        return counts

    def _compare(self, log: SqliteEventLog, counts: Counts) -> None:
        kept: Counter[tuple[str, int, int]] = Counter()
        seen: Counter[str] = Counter()
        for stored in log.read():
            event = stored.event
            assert isinstance(event, Interaction)
            assert event.event_id is not None
            seen[event.event_id] += 1
            life, me, number, _ = event.event_id.split("/")
            kept[life, int(me), int(number)] += 1
            was_sent = int(number) <= self.sent.get((life, int(me)), -1)
            counts.phantom += not (was_sent and event in batch(life, int(me), int(number)))
        counts.duplicated += sum(times - 1 for times in seen.values())
        counts.phantom += sum(0 < times < TOGETHER for times in kept.values())
        counts.lost += len(self.told - kept.keys())


# -- the faults that must be noticed -------------------------------------------------------------------------------


def _without_sync() -> None:
    """What is acknowledged is not on disk."""
    prepare = schema.prepare

    def broken(db: sqlite3.Connection, path: Path) -> Any:
        found = prepare(db, path)
        db.execute("PRAGMA synchronous = OFF")
        return found

    schema.prepare = broken  # type: ignore[assignment]


def _early() -> None:
    """What is acknowledged is not written yet."""
    take = writer.Writer._take

    def broken(self: writer.Writer, group: Sequence[Any]) -> None:
        for waiting in group:
            waiting.receipt.set_result(Receipt(accepted=TOGETHER, duplicates=0, version=0))
            waiting.receipt = Future()
        time.sleep(random.uniform(0.0, 0.01))
        take(self, group)

    writer.Writer._take = broken  # type: ignore[method-assign, assignment]


def _twice() -> None:
    """A retry counts again."""
    writer.without_known = lambda db, events: events  # type: ignore[assignment]
    prepare = schema.prepare

    def broken(db: sqlite3.Connection, path: Path) -> Any:
        found = prepare(db, path)
        db.execute("DROP INDEX IF EXISTS log_event_id")
        return found

    schema.prepare = broken  # type: ignore[assignment]


def _in_parts() -> None:
    """Half of a batch can be stored."""
    append = writer.Writer._append

    def broken(self: writer.Writer, events: Sequence[Any], fresh: Sequence[Any]) -> Receipt:
        if not fresh:
            return append(self, events, fresh)
        for event in fresh:
            receipt = append(self, [event], [event])
            self._db.execute("COMMIT")
            time.sleep(0.001)
            self._db.execute("BEGIN IMMEDIATE")
        return receipt

    writer.Writer._append = broken  # type: ignore[method-assign, assignment]


def _going_on() -> None:
    """After a failed sync the next one is believed."""
    writer.Writer._give_up = lambda self, error: None  # type: ignore[method-assign, assignment]


TWINS: dict[str, Callable[[], None]] = {
    "without_sync": _without_sync,
    "early": _early,
    "twice": _twice,
    "in_parts": _in_parts,
    "going_on": _going_on,
}
