"""What scripts rely on: exit codes, JSON on stdout, documented verbs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from slatewise.cli.main import app
from slatewise.storage.log import SqliteEventLog
from slatewise.testing.worlds import walkers
from slatewise.wiring.home import Home

ROOT = Path(__file__).parents[2]
SPECTRAL = ["--set", "training.deep=off", "--set", "training.dim=16"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slatewise", *arguments]
    return subprocess.run(command, capture_output=True, timeout=400, text=True, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("cli") / "home"
    items, users, events = walkers(users=40)
    with Home(path) as opened:
        opened.put_items(items)
        opened.put_users(users)
        opened.record(events)
    return str(path)


def test_every_verb_of_the_issue_exists_and_shows_an_example_where_it_takes_data() -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    wanted = {
        "demo",
        "import",
        "train",
        "tune",
        "evaluate",
        "serve",
        "bench",
        "recommend",
        "explain",
        "bundles",
        "settings",
        "doctor",
        "backup",
        "restore",
        "rebuild",
    }
    assert wanted <= set(verbs)
    for name in wanted - {"bundles", "settings", "doctor"}:
        assert "slatewise " in (verbs[name].help or ""), f"{name} shows no example"


def test_train_recommend_explain_and_bundles_speak_json(home: str) -> None:
    trained = run("train", "--home", home, "--holdout", "last-item", "--json", *SPECTRAL)
    assert trained.returncode == 0, trained.stderr
    bundle = json.loads(trained.stdout)["bundle"]
    slate = json.loads(run("recommend", "u1", "--home", home, "--json").stdout)
    assert slate["bundle"] == bundle
    assert len(slate["items"]) == 10
    more = ("--cursor", slate["cursor"], "--deadline-ms", "5000", "--json")
    page = json.loads(run("recommend", "u1", "--home", home, *more).stdout)
    assert len(page["items"]) == 10
    assert not {i["item_id"] for i in page["items"]} & {i["item_id"] for i in slate["items"]}
    explained = json.loads(run("explain", "u1", "--home", home, "--json").stdout)
    assert len(explained["explanation"]) >= 10
    assert [b["id"] for b in json.loads(run("bundles", "list", "--home", home, "--json").stdout)] == [bundle]
    more = ("--reranking", "--decompose", "--decompose-cases", "20")
    figures = run("evaluate", "--home", home, "--split", "last-item", *more, "--json")
    assert figures.returncode == 0, figures.stderr
    told = json.loads(figures.stdout)
    assert told["users"] == 40
    assert [point["k"] for point in told["decomposition"]["curve"]] == [50, 100, 200, 500]
    assert told["reranking"]["rules"][0]["rule"] == "ranked order"
    (prices,) = (Path(home) / "reports").glob("*-last-item-reranking.json")
    assert json.loads(prices.read_text()) == told["reranking"]
    checks = json.loads(run("doctor", "--home", home, "--json").stdout)
    assert {check["verdict"] for check in checks} <= {"ok", "note"}


def test_a_context_reaches_the_log_with_its_kinds(home: str) -> None:
    assert run("train", "--home", home, *SPECTRAL).returncode == 0
    said = ("device=mobile", "hour=7", "app=true", 'slot="5"', "zip=007")
    done = run("recommend", "u2", "--home", home, "--json", *(word for pair in said for word in ("--context", pair)))
    assert done.returncode == 0, done.stderr
    with Home(home) as opened, SqliteEventLog(opened.folders.log, opened.settings.action_names) as log:
        shown = [impression for _, impression in log.impressions() if impression.user_id == "u2"]
    assert [i.request_id for i in shown] == [json.loads(done.stdout)["request_id"]]
    assert shown[0].context == {"device": "mobile", "hour": 7.0, "app": True, "slot": "5", "zip": "007"}
    assert type(shown[0].context["app"]) is bool


def test_rejected_rows_are_shown_with_line_numbers_and_do_not_stop_the_rest(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\nu,i,100\n,i,100\nu,j,yesterday\nu,k,200\n")
    done = run("import", str(tmp_path), "--home", str(tmp_path / "H"))
    assert done.returncode == 0, done.stderr
    assert "2 interactions" in done.stdout
    assert "interactions.csv:3" in done.stdout
    assert "interactions.csv:4" in done.stdout
    (rejects,) = (tmp_path / "H" / "rejects").iterdir()
    assert len(rejects.read_text().splitlines()) == 3
    strict = run("import", str(tmp_path), "--home", str(tmp_path / "H2"), "--strict")
    assert strict.returncode == 2
    assert "interactions.csv:3" in strict.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["recommend", "u", "--home", "nowhere"], 2, "--home"),
        (["recommend", "u", "--home", "HOME", "--context", "mobile"], 2, "--context"),
        (["recommend", "u", "--home", "HOME", "--weight", "buy=much"], 2, "NAME=NUMBER"),
        (["recommend", "u", "--home", "HOME", "--weight", "stare=1"], 2, "one of interaction, view"),
        (["settings", "--set", "retrieval.twotower=1"], 2, "retrieval.two_tower"),
        (["settings", "--set", "nonsense"], 2, "NAME=VALUE"),
        (["bundles", "promote", "x", "--home", "HOME"], 3, "x"),
        (["similar", "no-such-item", "--home", "HOME"], 3, "no-such-item"),
        (["frobnicate"], 2, "frobnicate"),
    ],
)
def test_exit_codes_say_what_kind_of_trouble_it_was(home: str, arguments: list[str], code: int, said: str) -> None:
    done = run(*(home if word == "HOME" else word for word in arguments))
    assert done.returncode == code, done.stderr
    assert said in done.stderr


def test_asking_before_anything_was_trained_is_exit_code_4(tmp_path: Path) -> None:
    with Home(tmp_path / "H") as opened:
        opened.record(user_id="u", item_id="i")
    assert run("recommend", "u", "--home", str(tmp_path / "H")).returncode == 4


def test_the_settings_page_is_the_one_made_from_the_classes() -> None:
    assert run("settings", "--markdown").stdout == (ROOT / "docs" / "settings.md").read_text()
