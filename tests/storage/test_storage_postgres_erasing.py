"""What erasing one user does to the tables, and what it leaves alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from slatewise.domain.errors import NotFound, StorageError
from slatewise.domain.events import Impression, ItemChange, UserChange
from slatewise.domain.settings import Settings
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.digests import folded_digests, stored_digests
from slatewise.storage.erasing import is_placeholder
from slatewise.storage.exporting import export_user
from slatewise.storage.postgres.log import PostgresEventLog
from slatewise.testing.event_log import seen

ACTIONS = Settings().action_names
CANARY = "canary-user"


@pytest.fixture
def log(postgres_schema: tuple[str, str]) -> Iterator[PostgresEventLog]:
    with PostgresEventLog(*postgres_schema, ACTIONS) as log:
        log.append([seen("u", "a", event_id="1"), seen(CANARY, "b", event_id="canary-event", request_id="canary-r")])
        log.append([Impression(at=1, user_id=CANARY, request_id="canary-shown", shown=("a",)), seen(CANARY, "a")])
        log.append([UserChange(at=2, user_id=CANARY, attributes={"x": "canary-x"}), ItemChange(at=1, item_id="c")])
        log.append([seen("u", "b"), seen("v", "d")])
        yield log


def everything(log: PostgresEventLog, schema: str) -> str:
    tables = ("log", "user_ids", "item_ids", "actions", "head")
    return str(log._ask(lambda db: [db.execute(f"SELECT * FROM {schema}.{table}").fetchall() for table in tables]))


def test_nothing_of_an_erased_user_stays_and_everything_of_others_does(
    log: PostgresEventLog, postgres_schema: tuple[str, str]
) -> None:
    others = [s for s in log.read() if getattr(s.event, "user_id", "") != CANARY]
    items = LiveCatalogue.load(log)
    assert CANARY in everything(log, postgres_schema[1])
    erased = log.erase_user(CANARY, 9.0)
    assert erased is not None
    assert (erased.interactions, erased.impressions, erased.changes, erased.version) == (2, 1, 1, log.end)
    log.compact()
    assert "canary" not in everything(log, postgres_schema[1])
    left = list(log.read())
    assert [s for s in left if not is_placeholder(getattr(s.event, "user_id", ""))] == others
    assert left[-1].user == 1  # followers learn by the row
    assert log.damage() == []
    assert stored_digests(log, Settings()) == folded_digests(log, Settings())
    again = LiveCatalogue.load(log)
    assert [again.ids(again.rows(["a", "b", "c", "d"])), len(again)] == [["a", "b", "c", "d"], len(items)]
    assert log.erase_user(CANARY, 9.0) is None


def test_every_process_gives_an_erased_users_name_a_new_row(
    log: PostgresEventLog, postgres_schema: tuple[str, str]
) -> None:
    with PostgresEventLog(*postgres_schema, ACTIONS) as other:
        other.append([seen(CANARY, "a")])
        log.erase_user(CANARY, 9.0)
        for one in (other, log):
            one.append([seen(CANARY, "a")])
        assert [s.user for s in log.read()][-2:] == [3, 3]


def test_a_commit_whose_only_witness_was_erased_meanwhile_is_not_repeated(
    log: PostgresEventLog, postgres_relay: Any, postgres_schema: tuple[str, str]
) -> None:
    with PostgresEventLog(postgres_relay.url(), postgres_schema[1], ACTIONS) as far, ThreadPoolExecutor() as pool:
        far.append([seen("u", "a")])
        end = log.end
        postgres_relay.lose_answer_to(b"COMMIT\0", stay_cut=True)
        waiting = pool.submit(far.append, [seen("u", "b"), seen(CANARY, "b")])
        while log.end == end:
            time.sleep(0.01)
        log.erase_user(CANARY, 9.0)
        postgres_relay.mend()
        with pytest.raises(StorageError, match="not known whether"):
            waiting.result(20)
        assert [s.event.item_id for s in log.read(end) if s.user == 0] == ["b"]  # type: ignore[union-attr]


def test_an_export_holds_all_of_a_user_and_nobody_else(log: PostgresEventLog) -> None:
    told: dict[str, Any] = json.loads(b"".join(export_user(log, CANARY)))
    assert told["attributes"] == {"x": "canary-x"}
    assert [i["item_id"] for i in told["interactions"]] == ["b", "a"]
    assert told["interactions"][0]["event_id"] == "canary-event"
    assert [i["request_id"] for i in told["impressions"]] == ["canary-shown"]
    assert len(told["changes"]) == 1
    with pytest.raises(NotFound):
        export_user(log, "nobody")
