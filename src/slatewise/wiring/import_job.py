"""Brings data into the log: reads a folder, a file or frames, appends what is new, writes down what was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from slatewise.datasets.dataset import Dataset
from slatewise.datasets.folder import read_folder
from slatewise.datasets.frames import read_frames
from slatewise.datasets.rejects import Reject, write_rejects
from slatewise.domain.errors import InputError
from slatewise.domain.events import Event, Impression, Interaction, ItemChange, UserChange
from slatewise.domain.settings import Settings
from slatewise.ingest.bulk import ImportCounts, import_events
from slatewise.ingest.bulk import Reject as Refused
from slatewise.ingest.ingest import Ingest
from slatewise.ingest.validation import Rules
from slatewise.ports.clock import Clock
from slatewise.ports.stores import LogStore
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.users import LiveUsers
from slatewise.training.progress import Progress

CHUNK = 25_000
SHOWN_REJECTS = 20

Source: TypeAlias = Any
"""A folder or file path, a pandas or polars DataFrame, a pyarrow Table, or a `Dataset`."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did: counts of what was new, ``duplicates`` were in the log already.

    ``rejected`` counts bad rows by reason; ``examples`` shows the first of them.
    """

    interactions: int
    items: int
    users: int
    impressions: int
    duplicates: int
    rejected: Mapping[str, int]
    examples: Sequence[Reject]
    rejects_file: Path | None
    version: int


def import_source(
    source: Source,
    items: Source | None,
    users: Source | None,
    mapping: dict[str, str],
    action: str | None,
    strict: bool,
    log: LogStore,
    catalogue: LiveCatalogue,
    users_store: LiveUsers,
    ingest: Ingest,
    settings: Settings,
    clock: Clock,
    rejects_folder: Path,
    progress: Progress,
) -> ImportReport:
    """Read *source* and append what the log does not hold yet, in chunks."""
    progress.step("reading", 0, 1)
    data = _read(source, items, users, mapping, action, strict, settings, clock)
    progress.step("reading", 1, 1, data.summary())
    ingest.catch_up()
    changes = [change for change in data.items if not _is_known(change, catalogue)]
    people = _new_or_changed(data.users, users_store, log)
    slates = _unseen(data.impressions, log)
    events: list[Event] = [*changes, *people, *_in_time(data.interactions, slates)]
    refused: list[Refused] = []

    def on_progress(counts: ImportCounts) -> None:
        progress.step("storing", counts.read, len(events))

    chunks = (events[lo : lo + CHUNK] for lo in range(0, len(events), CHUNK))
    rules = Rules.at(clock.now(), settings.action_names)
    done = import_events(log, chunks, rules, on_progress=on_progress, on_reject=refused.append)
    rejects = [*data.rejects, *(_as_reject(r) for r in refused)]
    file = None
    if rejects:
        rejects_folder.mkdir(parents=True, exist_ok=True)
        file = rejects_folder / f"import-{int(clock.now())}.csv"
        write_rejects(file, rejects)
    return ImportReport(
        interactions=len(data.interactions) - done.duplicates,
        items=len(changes),
        users=len(people),
        impressions=len(slates),
        duplicates=done.duplicates,
        rejected=Counter(reject.reason for reject in rejects),
        examples=rejects[:SHOWN_REJECTS],
        rejects_file=file,
        version=log.end,
    )


def _read(
    source: Source,
    items: Source | None,
    users: Source | None,
    mapping: dict[str, str],
    action: str | None,
    strict: bool,
    settings: Settings,
    clock: Clock,
) -> Dataset:
    if isinstance(source, Dataset):
        return source
    default = action or settings.ingest.default_action
    if default not in settings.actions:
        raise InputError("action", default, "one of " + ", ".join(settings.actions))
    if isinstance(source, str | Path) and Path(source).is_dir():
        return read_folder(
            Path(source),
            mapping=mapping,
            default_action=default,
            actions=settings.action_names,
            now=clock.now(),
            strict=strict,
        )
    return read_frames(
        source,
        items,
        users,
        mapping=mapping,
        default_action=default,
        actions=settings.action_names,
        now=clock.now(),
        strict=strict,
    )


def _in_time(interactions: Sequence[Interaction], impressions: Sequence[Impression]) -> list[Event]:
    """Return both as one list in order of time, as a log written live would hold them."""
    if not impressions:
        return list(interactions)
    both: list[Interaction | Impression] = [*impressions, *interactions]
    # Stable, impressions first: at the same instant, the slate was there before the click.
    return sorted(both, key=lambda event: -1.0 if event.at is None else event.at)


def _is_known(change: ItemChange, catalogue: LiveCatalogue) -> bool:
    row = catalogue.row(change.item_id)
    held = catalogue.item(row) if row >= 0 and catalogue.exists(row) else None
    return held is not None and replace(held, at=change.at) == change


def _new_or_changed(changes: Sequence[UserChange], users: LiveUsers, log: LogStore) -> list[UserChange]:
    row = log.user_rows([change.user_id for change in changes])
    held = users.attributes()
    return [
        change
        for change in changes
        if (known := held.get(row.get(change.user_id, -1))) is None or known.attributes != change.attributes
    ]


def _unseen(impressions: Sequence[Impression], log: LogStore) -> list[Impression]:
    """Return the impressions that the log does not hold; a slate is named by its request and its user."""
    if not impressions:
        return []
    held = {(known.request_id, known.user_id) for _, known in log.impressions()}
    return [shown for shown in impressions if (shown.request_id, shown.user_id) not in held]


def _as_reject(refused: Refused) -> Reject:
    return Reject(file="", line=0, reason=str(refused.error), text=repr(refused.event)[:200])
