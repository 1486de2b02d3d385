"""HOME/keys.json: who is let in, and that nothing of a key can be read again."""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from slatewise.cli.main import app
from slatewise.domain.errors import ConfigError, InputError, NotFound
from slatewise.domain.keys import SCOPES, key_id
from slatewise.telemetry.clock import SystemClock
from slatewise.wiring.keys import LOOK_EVERY_MS, KeyFile


class Clock:
    def __init__(self) -> None:
        self.at, self.ms = 1_000.0, 0.0

    def now(self) -> float:
        return self.at

    def elapsed_ms(self) -> float:
        return self.ms

    def later(self) -> None:
        self.ms += LOOK_EVERY_MS


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> KeyFile:
    return KeyFile(tmp_path, clock)


def test_home_without_keys_asks_for_none(keys: KeyFile) -> None:
    assert not keys.is_used
    assert keys.all() == []
    assert keys.find("sw_0_x") is None


def test_made_key_is_found_by_its_token_alone(keys: KeyFile) -> None:
    key, token = keys.create("web", ["serve", "events"])
    assert keys.is_used
    assert keys.find(token) == key
    for wrong in ("", key.id, token[:-1], token + "x", token.upper(), f"sw_{key.id}_", f"sw_{key.id}_" + "A" * 43):
        assert keys.find(wrong) is None


def test_token_holds_256_bits_and_never_reaches_the_disk(keys: KeyFile, tmp_path: Path) -> None:
    tokens = [keys.create(f"k{i}", ["admin"])[1] for i in range(50)]
    secrets = {token.split("_", 2)[2] for token in tokens}
    assert len(secrets) == 50
    assert min(map(len, secrets)) >= 43
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(secret.encode() in stored for secret in secrets)
    assert hashlib.sha256(tokens[0].encode()).hexdigest().encode() in stored


def test_key_expires(keys: KeyFile, clock: Clock) -> None:
    _, token = keys.create("short", ["serve"], expires_in_s=10)
    clock.at += 9.9
    assert keys.find(token) is not None
    clock.at += 0.1
    assert keys.find(token) is None
    assert keys.is_used


def test_two_keys_of_one_name_live_side_by_side_until_one_is_revoked(keys: KeyFile) -> None:
    (old, old_token), (_, new_token) = keys.create("web", ["serve"]), keys.create("web", ["serve"])
    assert keys.find(old_token)
    assert keys.find(new_token)
    assert keys.revoke(old.id).revoked_at is not None
    assert keys.find(old_token) is None
    assert keys.find(new_token) is not None
    assert [key.revoked_at is None for key in keys.all()] == [False, True]


def test_revoked_twice_stays_revoked_since_the_first_time(keys: KeyFile, clock: Clock) -> None:
    key, _ = keys.create("web", ["serve"])
    keys.revoke(key.id)
    clock.at += 5
    assert keys.revoke(key.id).revoked_at == 1_000.0
    with pytest.raises(NotFound):
        keys.revoke("nobody")


def test_revoking_the_last_key_opens_nothing(keys: KeyFile, tmp_path: Path, clock: Clock) -> None:
    key, _ = keys.create("web", ["serve"])
    keys.revoke(key.id)
    assert KeyFile(tmp_path, clock).is_used


def test_another_process_sees_a_key_made_and_revoked_at_its_next_look(
    keys: KeyFile, tmp_path: Path, clock: Clock
) -> None:
    other = KeyFile(tmp_path, clock)
    key, token = keys.create("web", ["serve"])
    clock.later()
    assert other.is_used
    assert other.find(token) is not None
    keys.revoke(key.id)
    clock.later()
    assert other.find(token) is None
    assert LOOK_EVERY_MS <= 1_000


@pytest.mark.parametrize("fault", ["gone", "damaged", "folder"])
def test_file_that_is_lost_while_serving_admits_nobody(keys: KeyFile, tmp_path: Path, clock: Clock, fault: str) -> None:
    _, token = keys.create("web", ["serve"])
    path = tmp_path / "keys.json"
    if fault == "damaged":
        path.write_text('{"format":1,"keys":[')
    else:
        path.unlink()
    if fault == "folder":
        path.mkdir()
    clock.later()
    assert keys.is_used
    assert keys.find(token) is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format":2,"keys":[]}', '{"format":1,"keys":[{"id":"a"}]}', "\ud800"]
)
def test_damaged_file_keeps_a_home_from_opening(tmp_path: Path, clock: Clock, content: str) -> None:
    (tmp_path / "keys.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError, match=r"keys\.json"):
        KeyFile(tmp_path, clock)


@pytest.mark.parametrize(
    ("name", "scopes", "lasts_s"),
    [("", ["serve"], None), ("x\n", ["serve"], None), ("x", [], None), ("x", ["root"], None), ("x", ["serve"], 0.0)],
)
def test_key_that_makes_no_sense_is_refused_and_nothing_written(
    keys: KeyFile, tmp_path: Path, name: str, scopes: list[str], lasts_s: float | None
) -> None:
    with pytest.raises(InputError):
        keys.create(name, scopes, lasts_s)
    assert not (tmp_path / "keys.json").exists()


def test_keys_made_at_once_by_several_processes_are_all_kept(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from slatewise.wiring.keys import KeyFile;"
        "from slatewise.telemetry.clock import SystemClock; keys = KeyFile(Path(sys.argv[1]), SystemClock());"
        "[keys.create('k', ['serve']) for _ in range(5)]"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(KeyFile(tmp_path, SystemClock()).all()) == 15


def test_only_what_is_spelled_like_a_token_has_an_id() -> None:
    assert key_id("sw_ab_secret_with_more") == "ab"
    for text in ("", "sw", "sw_", "sw__x", "sw_ab_", "xx_ab_c", "sw_ab_" + "x" * 200):
        assert key_id(text) is None


def test_admin_may_do_everything_and_others_what_they_are_for(keys: KeyFile) -> None:
    admin, _ = keys.create("a", ["admin"])
    serve, _ = keys.create("s", ["serve"])
    assert all(admin.allows(scope) for scope in SCOPES)
    assert [scope for scope in SCOPES if serve.allows(scope)] == ["serve"]


def test_rotated_key_has_a_successor_and_runs_out_itself(keys: KeyFile, clock: Clock) -> None:
    old, old_token = keys.create("web", ["serve", "events"], expires_in_s=1_000, rate=5)
    clock.at += 100
    new, new_token = keys.rotate(old.id, 60)
    assert (new.name, new.scopes, new.rate) == (old.name, old.scopes, 5)
    assert new.expires_at == clock.at + 1_000
    clock.at += 59
    assert keys.find(old_token)
    assert keys.find(new_token)
    clock.at += 1
    assert keys.find(old_token) is None
    assert keys.find(new_token)
    with pytest.raises(InputError, match="live"):
        keys.rotate(old.id, 60)
    with pytest.raises(NotFound):
        keys.rotate("nobody", 60)


def test_rotating_never_makes_the_old_key_live_longer(keys: KeyFile, clock: Clock) -> None:
    old, _ = keys.create("web", ["serve"], expires_in_s=10)
    keys.rotate(old.id, 1_000)
    assert keys.all()[0].expires_at == clock.at + 10


def slatewise(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def test_command_line_makes_lists_rotates_and_revokes(tmp_path: Path) -> None:
    home = ("--home", str(tmp_path / "fresh"))
    made = slatewise(
        "create", "web", "--scope", "serve", "--scope", "events", "--expires-in-days", "1", "--json", *home
    )
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    keys = KeyFile(tmp_path / "fresh", SystemClock())
    assert keys.find(told["key"]) is not None
    assert told["expires_at"] == pytest.approx(told["created_at"] + 86_400)
    plain = slatewise("create", "ops", "--scope", "admin", "--rate", "3", *home)
    assert plain.stdout.strip() not in plain.stderr
    assert keys.all()[1].rate == 3
    successor = json.loads(slatewise("rotate", told["id"], "--overlap-hours", "1", "--json", *home).stdout)
    listed = slatewise("list", "--json", *home)
    assert [key["name"] for key in json.loads(listed.stdout)] == ["web", "ops", "web"]
    assert told["key"] not in listed.stdout + slatewise("list", *home).stdout
    assert slatewise("revoke", told["id"], "--json", *home).exit_code == 0
    time.sleep(LOOK_EVERY_MS / 1000 + 0.05)
    assert keys.find(told["key"]) is None
    assert keys.find(successor["key"]) is not None
    assert isinstance(slatewise("revoke", "nobody", *home).exception, NotFound)
    assert isinstance(slatewise("create", "x", "--scope", "root", *home).exception, InputError)
