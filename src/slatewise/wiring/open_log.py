"""The event log that the settings ask for: a file of HOME, or a schema of a PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slatewise.domain.errors import InputError
from slatewise.domain.settings import Settings
from slatewise.domain.urls import without_password
from slatewise.ports.stores import LogStore
from slatewise.storage.log import SqliteEventLog

if TYPE_CHECKING:
    from slatewise.storage.postgres.log import PostgresEventLog


def open_log(file: Path, settings: Settings) -> LogStore:
    """Open the log for writing, creating it where there is none. Raises ConfigError, StorageError."""
    if settings.storage.url:
        return open_log_on_server(settings)
    return SqliteEventLog(file, settings.action_names)


def open_log_on_server(settings: Settings, *, read_only: bool = False) -> PostgresEventLog:
    """Open the log that ``storage.url`` names. Raises ConfigError, StorageError."""
    # Imported on first use: whoever keeps the log in a file installs no client.
    from slatewise.storage.postgres.log import PostgresEventLog

    storage = settings.storage
    return PostgresEventLog(storage.url, storage.schema, settings.action_names, read_only=read_only)


def has_log(file: Path, settings: Settings) -> bool:
    """Whether there is a log to open: one on a server is taken to be there."""
    return bool(settings.storage.url) or file.exists()


def refuse_on_server(settings: Settings, verb: str, instead: str) -> None:
    """Raise InputError where the log is on a server, for a verb that is about the file of one."""
    if settings.storage.url:
        expected = f"nothing for `slatewise {verb}`, which works on the log in HOME: {instead} (docs/storage.md)"
        raise InputError("storage.url", without_password(settings.storage.url), expected)
