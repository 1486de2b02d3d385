"""The event log in a PostgreSQL behind a whole HOME: what is recorded shows, in every process, after every restart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from slatewise.cli.main import app as cli
from slatewise.domain.errors import InputError, NotFound
from slatewise.domain.events import Interaction, ItemChange, UserChange
from slatewise.http.app import create_app
from slatewise.http.server import running
from slatewise.wiring.home import Home
from slatewise.wiring.verify_job import rebuild_home, verify_home

CHILD = """
import sys
from slatewise.wiring.home import Home
with Home(sys.argv[1], settings={"storage.url": sys.argv[2], "storage.schema": sys.argv[3]}) as home:
    home.record(user_id="u2", item_id="i3", action="like", at=50.0)
    print(*(item.item_id for item in home.recommend("u1", size=20).items))
"""


@pytest.fixture
def settings(postgres_schema: tuple[str, str]) -> dict[str, object]:
    return {"storage.url": postgres_schema[0], "storage.schema": postgres_schema[1], "training.deep": "off"}


def test_a_home_on_postgres_learns_serves_restarts_and_shares_its_log(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    home_path = tmp_path / "home"
    with Home(home_path, settings=settings) as home:
        home.put_items([ItemChange(at=1.0, item_id=f"i{i}", title=f"Item {i}") for i in range(12)])
        home.put_users([UserChange(at=1.0, user_id="u1", attributes={"age": 30.0})])
        home.record(
            [
                Interaction(user_id=f"u{u}", item_id=f"i{(u + s) % 12}", action="view", at=10.0 + s)
                for u in range(30)
                for s in range(4)
            ]
        )
        home.train()
        first = {item.item_id for item in home.recommend("u1", size=20).items}
        assert first
        taken = sorted(first)[0]
        home.record(user_id="u1", item_id=taken, action="buy", at=40.0, event_id="once")
        assert taken not in {item.item_id for item in home.recommend("u1", size=20).items}
        gone = sorted(first - {taken})[0]
        home.delete_item(gone)
        version = home.version

        given = [str(home_path), str(settings["storage.url"]), str(settings["storage.schema"])]
        child = subprocess.run([sys.executable, "-c", CHILD, *given], capture_output=True, text=True, check=True)
        shown = child.stdout.split()
        assert shown
        assert not {taken, gone} & set(shown)
        home.recommend("u2")
        assert home.version > version  # what the other process wrote is folded before this one answers
    assert not (home_path / "log.sqlite").exists()

    with Home(home_path, settings=settings) as home:
        assert home.record(user_id="u1", item_id=taken, action="buy", event_id="once").duplicates == 1
        again = {item.item_id for item in home.recommend("u1", size=20).items}
        assert again
        assert not {taken, gone} & again
        assert home.user("u1").attributes == {"age": 30.0}
        for finding in verify_home(home_path, home.settings):
            assert finding.damage == (), finding
        assert home.delete_user("u1").interactions == 5
        with pytest.raises(NotFound):
            home.user("u1")
        assert b'"u2"' in b"".join(home.export_user("u2"))
        for finding in verify_home(home_path, home.settings):
            assert finding.damage == (), finding
        with pytest.raises(InputError, match="REINDEX"):
            rebuild_home(home_path, home.settings)


def test_while_the_server_is_away_the_door_says_503_and_goes_on_once_it_is_back(
    tmp_path: Path, postgres_schema: tuple[str, str], postgres_relay: object
) -> None:
    relay = postgres_relay
    with (
        Home(tmp_path, settings={"storage.url": relay.url(), "storage.schema": postgres_schema[1]}) as home,  # type: ignore[attr-defined]
        running(create_app(home, home.metrics, home.clock), port=0) as url,
        httpx.Client(base_url=url) as client,
    ):
        event = {"user_id": "u", "item_id": "i", "event_id": "1"}
        assert client.post("/v1/events", json={"events": [event]}).status_code == 200
        relay.cut()  # type: ignore[attr-defined]
        refused = client.post("/v1/events", json={"events": [{**event, "event_id": "2"}]})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["type"].endswith("storage-lost")
        assert "hush" not in refused.text
        relay.mend()  # type: ignore[attr-defined]
        assert client.post("/v1/events", json={"events": [event]}).json()["duplicates"] == 1
        other = client.post("/v1/events", json={"events": [{**event, "item_id": "j"}]})
        assert other.status_code == 409


def test_no_verb_prints_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: object) -> None:
    require("psycopg")  # type: ignore[operator]
    monkeypatch.setenv("SLATEWISE_STORAGE__URL", "postgresql://me:hush@127.0.0.1:1/shop")
    run = CliRunner()
    listed = run.invoke(cli, ["settings", "--json", "--home", str(tmp_path)])
    rows = {row["name"]: row["value"] for row in json.loads(listed.stdout)}
    assert rows["storage.url"] == "postgresql://me:***@127.0.0.1:1/shop"
    for verb in (["settings"], ["doctor"], ["doctor", "--verify"], ["bundles", "list"], ["recommend", "u"]):
        done = run.invoke(cli, [*verb, "--home", str(tmp_path)])
        assert "hush" not in done.output + str(done.exception)
    for verb in (["backup", str(tmp_path / "b.tar")], ["rebuild"]):
        done = run.invoke(cli, [*verb, "--home", str(tmp_path)])
        assert isinstance(done.exception, InputError), done.output
        assert "hush" not in done.output + str(done.exception)
