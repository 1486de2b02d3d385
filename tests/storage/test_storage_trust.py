"""The long checks of durability, short: the same program, a few cycles. Twins run too, or the checks could be blind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "benchmarks" / "trust.py"


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
def test_nothing_acknowledged_is_lost_doubled_or_made_up_and_every_twin_is_noticed() -> None:
    only = "kills,power_cuts,failed_syncs,flipped_bits"
    command = [sys.executable, str(RUN), "--cycles", "3", "--twin-cycles", "3", "--only", only]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["lost"], told["phantom"], told["duplicated"], told["broken"]) == (0, 0, 0, 0), done.stdout
    assert told["twins_unnoticed"] == []
    assert done.returncode == 0
    assert {*told["checks"], *told["skipped"]} == set(only.split(","))
