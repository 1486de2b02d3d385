"""The tables of the log in PostgreSQL, and how they come to be: numbered migrations under a lock. Knows no events."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slatewise.domain.errors import ConfigError, StorageError
from slatewise.storage.schema import INTERACTION, USER_CHANGE

if TYPE_CHECKING:
    from psycopg import Connection

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
"""Names of schemas go into statements, so a setting may not hold just any text."""

_TABLES = f"""
CREATE TABLE {{s}}.actions(code bigint PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE);
CREATE TABLE {{s}}.user_ids(row bigint PRIMARY KEY, id text COLLATE "C" NOT NULL UNIQUE, first bigint NOT NULL);
CREATE TABLE {{s}}.item_ids(row bigint PRIMARY KEY, id text COLLATE "C" NOT NULL UNIQUE, first bigint NOT NULL);
CREATE TABLE {{s}}.log(
    place bigint PRIMARY KEY,
    kind smallint NOT NULL,
    user_row bigint,
    item_row bigint,
    action bigint,
    at double precision,
    value double precision,
    event_id text COLLATE "C",
    request_id text COLLATE "C",
    body text,
    token bigint
);
CREATE UNIQUE INDEX log_event_id ON {{s}}.log(event_id) WHERE event_id IS NOT NULL;
CREATE INDEX log_history ON {{s}}.log(user_row, at NULLS FIRST, place) INCLUDE (item_row, action)
    WHERE kind = {INTERACTION};
CREATE INDEX log_request ON {{s}}.log(request_id) WHERE kind = {INTERACTION} AND request_id IS NOT NULL;
CREATE INDEX log_facts ON {{s}}.log(kind, place) WHERE kind > {INTERACTION};
CREATE INDEX log_user_facts ON {{s}}.log(user_row, kind, place) WHERE kind >= {USER_CHANGE};
CREATE TABLE {{s}}.head(
    id smallint PRIMARY KEY CHECK (id = 0),
    place bigint NOT NULL,
    users bigint NOT NULL,
    items bigint NOT NULL,
    erased bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO {{s}}.head VALUES (0, 0, 0, 0, 0)
"""
# `head` is one row: the last place given, how many rows of each dictionary, and how many users
# were erased: when that grows, rows that a process remembers for ids are void. Whoever writes locks it first and
# updates it last, so places become visible in the order of their numbers and no reader meets a gap that fills later.
# `place` is the offset and `token` says whose commit a place is, see writer.py.

MIGRATIONS: tuple[str, ...] = (_TABLES,)
"""One script per version of the layout, oldest first. A script that was released is never changed: add another."""


_TABLE = """
SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = 'migrations'
"""


def checked_name(name: str) -> str:
    """Return the name of a schema, fit to stand in a statement. Raises ConfigError."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"storage.schema: got {name!r}, expected small letters, digits and _ ({NAME.pattern})")
    return name


def prepare(db: Connection, schema: str, shown: str) -> None:
    """Bring the schema to the newest version, creating it where it is new. Raises StorageError, psycopg's errors."""
    if _version(db, schema) == len(MIGRATIONS):
        return
    with db.transaction():
        # Two processes that open a new schema at once would both make it.
        db.execute("SELECT pg_advisory_xact_lock(hashtext('slatewise'), hashtext(%s))", (schema,))
        version = _version(db, schema)
        _refuse_newer(version, schema, shown)
        if version == 0:
            # Not IF NOT EXISTS: that asks for the right to create schemas even where there is nothing to do.
            if db.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone() is None:
                db.execute(f"CREATE SCHEMA {schema}")
            db.execute(f"CREATE TABLE {schema}.migrations(version integer PRIMARY KEY, at timestamptz NOT NULL)")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            for statement in script.format(s=schema).split(";\n"):
                db.execute(statement)
            db.execute(f"INSERT INTO {schema}.migrations VALUES (%s, now())", (number,))


def check(db: Connection, schema: str, shown: str) -> None:
    """Refuse a database that cannot hold a log, or holds one of another layout. Raises StorageError."""
    encoding = db.execute("SHOW server_encoding").fetchone()
    if encoding != ("UTF8",):
        raise StorageError(f"{shown}: the database's encoding is {encoding and encoding[0]}, expected UTF8")
    version = _version(db, schema)
    _refuse_newer(version, schema, shown)
    if version < len(MIGRATIONS):
        found = f"version {version} of the event log" if version else "no event log"
        raise StorageError(f"{shown}: schema {schema} holds {found}, expected version {len(MIGRATIONS)}")


def identity(db: Connection, schema: str) -> str:
    """Return what tells the log in this schema from its copies in the same server, restored dumps among them."""
    found = db.execute(
        "SELECT oid, %s::regclass::oid FROM pg_database WHERE datname = current_database()", (f"{schema}.log",)
    ).fetchone()
    return f"{found}"


def is_read_only(db: Connection) -> bool:
    """Whether new transactions may not write: a standby, or told so by its settings."""
    return db.execute("SHOW transaction_read_only").fetchone() == ("on",)


def _version(db: Connection, schema: str) -> int:
    # Not to_regclass: after waiting for the lock it may answer from what this session remembers.
    if db.execute(_TABLE, (schema,)).fetchone() is None:
        return 0
    found = db.execute(f"SELECT coalesce(max(version), 0) FROM {schema}.migrations").fetchone()
    return int(found[0]) if found else 0


def _refuse_newer(version: int, schema: str, shown: str) -> None:
    if version > len(MIGRATIONS):
        raise StorageError(
            f"{shown}: schema {schema} was written by a newer version of slatewise "
            f"(layout {version}; this one knows {len(MIGRATIONS)}): upgrade, or use another storage.schema"
        )
