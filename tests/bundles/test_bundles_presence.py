"""Who answers with which bundle, told between processes that may die at any moment."""

import os
import subprocess
import sys
from pathlib import Path

from slatewise.bundles.presence import Notice, Presence, present
from slatewise.testing.bundle_registry import DAY_ONE

ONE, TWO = "20260101-000000-aaaaaa", "20260101-000000-bbbbbb"

CHILD = """
import sys
from pathlib import Path
from slatewise.bundles.presence import Presence
mine = Presence(Path(sys.argv[1]))
mine.tell(sys.argv[2])
print("told", flush=True)
sys.stdin.read()
"""


def test_everybody_present_is_heard_with_what_they_said_last(tmp_path: Path) -> None:
    assert DAY_ONE
    first, second = Presence(tmp_path / "here"), Presence(tmp_path / "here")
    first.tell(ONE)
    second.tell(ONE)
    second.tell(ONE, refused=TWO)
    told = present(tmp_path / "here")
    assert sorted(told, key=lambda notice: notice.refused or "") == [Notice(ONE, None), Notice(ONE, TWO)]
    first.close()
    first.close()
    assert present(tmp_path / "here") == [Notice(ONE, TWO)]
    second.tell(None)
    assert present(tmp_path / "here") == [Notice(None, None)]
    second.close()


def test_nobody_is_present_where_nobody_ever_was(tmp_path: Path) -> None:
    assert present(tmp_path / "nowhere") == []


def test_a_killed_process_is_not_present_and_its_notice_is_swept_out(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path), ONE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"told\n"
        assert present(tmp_path) == [Notice(ONE, None)], "its lock holds against ours"
        child.kill()
    assert present(tmp_path) == []
    assert os.listdir(tmp_path) == []
