"""`doctor --verify`, `rebuild`, `backup` and `restore` as a script sees them."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slatewise.cli.main import app, exit_code
from slatewise.domain.errors import SlatewiseError
from slatewise.testing.event_log import seen
from slatewise.wiring.home import Home


def run(*arguments: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    if isinstance(done.exception, SlatewiseError):
        return exit_code(done.exception), str(done.exception)
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture
def home(tmp_path: Path) -> str:
    with Home(tmp_path / "home") as opened:
        opened.record([seen(f"u{i % 5}", f"i{i % 7}", event_id=f"{i}") for i in range(50)])
    return str(tmp_path / "home")


def bad(checks: Any) -> list[str]:
    return [f"{check['name']}: {check['detail']}" for check in checks if check["verdict"] == "bad"]


def test_damage_is_found_refused_and_given_up_or_restored(home: str, tmp_path: Path) -> None:
    archive = str(tmp_path / "b.tar")
    assert run("doctor", "--verify", "--home", home)[0] == 0
    code, report = run("backup", archive, "--home", home)
    assert (code, report["version"], report["events"]) == (0, 51, 50)
    db = sqlite3.connect(f"{home}/log.sqlite")
    db.execute("UPDATE log SET item = 1 WHERE offset = 10")
    db.commit()
    db.close()
    code, checks = run("doctor", "--verify", "--home", home)
    assert code == 1
    assert "log rows: log, offset 10: is not as it was written (checksum)" in bad(checks)
    assert run("backup", str(tmp_path / "c.tar"), "--home", home)[0] == 1
    code, refusal = run("rebuild", "--home", home)
    assert code == 1
    assert "--accept-loss" in refusal
    assert run("rebuild", "--accept-loss", "--home", home)[1]["lost"] == 1
    assert bad(run("doctor", "--verify", "--home", home)[1]) == []
    assert run("restore", archive, "--home", home)[0] == 2
    restored = str(tmp_path / "restored")
    assert run("restore", archive, "--home", restored)[1]["events"] == 50
    code, rebuilt = run("rebuild", "--home", restored)
    assert (code, rebuilt["events"], rebuilt["lost"]) == (0, 50, 0)
    assert set(rebuilt["digests"]) == {"events", "catalogue", "users"}


def test_a_user_is_exported_erased_and_not_restored(home: str, tmp_path: Path) -> None:
    archive, restored, file = str(tmp_path / "b.tar"), str(tmp_path / "restored"), tmp_path / "u1.json"
    assert run("backup", archive, "--home", home)[0] == 0
    assert CliRunner().invoke(app, ["users", "export", "u1", "--home", home, "--to", str(file)]).exit_code == 0
    told = CliRunner().invoke(app, ["users", "export", "u1", "--home", home]).stdout
    assert json.loads(told) == json.loads(file.read_text())
    assert [done["event_id"] for done in json.loads(told)["interactions"]] == [str(i) for i in range(1, 50, 5)]
    code, receipt = run("users", "erase", "u1", "--home", home)
    assert (code, receipt["interactions"], receipt["bundles"]) == (0, 10, [])
    assert run("users", "erase", "u1", "--home", home)[0] == 3
    assert bad(run("doctor", "--verify", "--home", home)[1]) == []
    assert run("restore", archive, "--home", restored, "--ledger", str(tmp_path / "none"))[0] == 2
    assert run("restore", archive, "--home", restored, "--ledger", f"{home}/erasures.jsonl")[1]["erased"] == 1
    assert {(Path(restored) / name).stat().st_mode & 0o777 for name in ("erasures.jsonl", "erasures.key")} == {0o600}
    assert run("users", "erase", "u1", "--home", restored)[0] == 3
