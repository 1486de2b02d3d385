"""Data is never code, and names never lead out of HOME."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from slatewise.bundles.manifest import seal
from slatewise.domain.errors import BundleError, NotFound
from slatewise.wiring.home import Home

SUSPECTS = re.compile(r"eval\(|exec\(|compile\(|__import__|read_pickle|\bload\(|\bsave\(|read_array|InferenceSession")
SOURCES = Path(__file__).parents[2] / "src" / "slatewise"


def test_program_where_data_belongs_is_never_run(tmp_path: Path) -> None:
    child = Path(__file__).with_name("canary_child.py")
    command = [sys.executable, str(child), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["classes"] == []
    assert not told["executed"]
    assert told["unlike"] == []
    # What nobody reads to answer may be anything: it is kept for people, or for training.
    assert set(told["taken"]) == {
        "card.md",
        "metrics.json",
        "settings.toml",
        "spectral_input.npy",
        "spectral_output.npy",
    }
    assert set(told["statuses"]) <= {400, 415, 422}
    # A hundred bytes that ask for all memory cost the process that tries them, before anything is pointed at them.
    if sys.platform == "linux":
        assert "ranker.onnx cannot be run" in told["bomb"]
        assert told["bomb"].endswith("True")
    # The programs again, where arrays may hold objects.
    assert told["twin"]["executed"]
    assert "posix.mkdir" in told["twin"]["classes"]


def test_no_module_of_ours_can_run_data() -> None:
    """The linter bans the usual names; this is for the ones it has no word for."""
    wrong = []
    for path in SOURCES.rglob("*.py"):
        text = path.read_text()
        if not SUSPECTS.search(text):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in ("eval", "exec", "compile", "__import__") or name.endswith((".read_pickle", "torch.load")):
                wrong.append((path.name, node.lineno, name))
            if name in ("np.load", "numpy.load", "np.save", "np.lib.format.read_array") and (
                given.get("allow_pickle") != "False"
            ):
                wrong.append((path.name, node.lineno, name))
            if name.endswith("InferenceSession") and ast.unparse(node.args[0]) != "content":
                wrong.append((path.name, node.lineno, name))
    assert wrong == []


NAMES = [
    "..",
    "../x",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    ".",
    "",
    "x\0y",
    "\\..\\x",
    "LIVE",
    "20260101-000000-zz",
]


@pytest.mark.parametrize("name", NAMES)
def test_bundle_s_name_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with Home(tmp_path / "home") as home:
        before = sorted(path for path in tmp_path.rglob("*") if "log.sqlite" not in path.name)
        for ask in (home.promote, home.registry.path, lambda bundle: home.evaluate(bundle=bundle)):
            if name:
                with pytest.raises((NotFound, BundleError)):
                    ask(name)
        assert sorted(path for path in tmp_path.rglob("*") if "log.sqlite" not in path.name) == before


def test_bundle_that_is_a_link_to_elsewhere_is_none(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x").write_text("x")
    bundle = seal(elsewhere, created_at=1.0).id
    with Home(tmp_path / "home") as home:
        (home.folders.bundles / bundle).symlink_to(elsewhere)
        with pytest.raises(NotFound):
            home.promote(bundle)
