"""The README's commands, run as they stand: only folder, port and training budgets are put in."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import slatewise
from slatewise.testing.worlds import walkers

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
SMALL = {
    "SLATEWISE_TRAINING__DIM": "16",
    "SLATEWISE_TRAINING__EPOCHS": "3",
    "SLATEWISE_TRAINING__RANKER_EPOCHS": "2",
    "SLATEWISE_TRAINING__RANKER_LISTS": "400",
}

BRIEFLY = {"tune": " --trials 2 --minutes 0.05 --set training.deep=auto"}
LINEAR = {"SLATEWISE_TRAINING__DEEP": "off"}
"""The demo trains the deep models; the other examples need not wait for them again."""


def environment(more: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    inherited = dict(os.environ)  # noqa: TID251  a child process needs its PATH
    return inherited | SMALL | dict(more) | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"}


def commands(word: str) -> list[str]:
    """Return the README's lines that start with a word, comments cut off, continued lines joined."""
    text = "\n".join(body for language, body in BLOCKS if not language).replace("\\\n", " ")
    return [line.split("  #")[0].strip() for line in text.splitlines() if line.startswith(word)]


def run(command: str, folder: Path, more: Mapping[str, str] = LINEAR) -> str:
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment(more), capture_output=True, timeout=400, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    return done.stdout.decode()


@pytest.fixture(scope="module")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small shop under ./data, where the README's commands are run."""
    from slatewise.datasets.shop.export import write_shop
    from slatewise.datasets.shop.generate import generate
    from slatewise.datasets.shop.settings import ShopSettings

    folder = tmp_path_factory.mktemp("readme")
    (folder / "data").mkdir()
    data, _ = generate(ShopSettings(n_users=150, n_items=200, days=10))
    write_shop(data, folder / "data")
    return folder


def test_make_has_the_two_commands_and_they_set_up_what_they_need() -> None:
    assert commands("make") == ["make demo", "make test"]
    plan = subprocess.run(["make", "-n", "demo", "test"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    assert "slatewise demo" in plan
    assert "pytest" in plan
    assert re.search(r"^demo: setup$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.search(r"^test: setup$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_demo_runs_to_its_end_and_shows_what_it_promises(tmp_path: Path) -> None:
    out = run("slatewise demo --home H --users 150 --items 200 --seconds 3", tmp_path, {})
    for promise in (
        "imported",
        "is live",
        "NDCG@10",
        "before and after a click",
        "cached=True",
        "popularity",
        "Where to look",
    ):
        assert promise in out
    assert (tmp_path / "H" / "reports" / "demo.html").stat().st_size > 10_000


def test_the_commands_for_your_data_run_in_order(shop_folder: Path) -> None:
    lines = [line for line in commands("slatewise") if not line.startswith("slatewise serve")]
    assert [line.split()[1] for line in lines] == ["import", "train", "tune", "evaluate"]
    for line in lines:
        run(line + BRIEFLY.get(line.split()[1], ""), shop_folder)
    figures = run("slatewise evaluate --home H --split last-item --json", shop_folder)
    assert '"ranked"' in figures


def test_the_python_example_runs(shop_folder: Path) -> None:
    (code,) = [body for language, body in BLOCKS if language == "python"]
    home = shop_folder / "python"
    code = code.replace('"H"', repr(str(home))).replace('"data/"', repr(str(shop_folder / "data")))
    script = shop_folder / "example.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)], env=environment(LINEAR), capture_output=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"AnswerItem" in done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_examples_answer(tmp_path: Path, serve: Callable[[Path], Any]) -> None:
    items, _, events = walkers(users=30)
    with slatewise.open(tmp_path / "home", settings={"training.deep": "off"}) as home:
        home.put_items(items)
        home.record(events)
        home.train()
    server = serve(tmp_path / "home")
    server.http.put("/v1/items", json={"items": [{"item_id": "i42"}]})
    asked, posted = (line.replace("localhost:8080", f"127.0.0.1:{server.port}") for line in commands("curl"))
    assert '"items":[{' in run(asked, tmp_path)
    assert '"accepted":1' in run(posted, tmp_path)
