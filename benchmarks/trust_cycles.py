"""Processes killed and power cut at random moments: what was acknowledged must be there, once, and nothing else."""

import random
import tempfile
import time
from pathlib import Path

from trust_disk import Disk, disk
from trust_store import Counts, Oracle, start

LIVES_PER_FILE = 20
"""Cycles on one log file: the next opens what the last left behind. Then a new one, so that checking stays quick."""


def kills(cycles: int, seed: int, twin: str = "") -> Counts:
    """Kill the writing process *cycles* times."""
    with tempfile.TemporaryDirectory(prefix="slatewise-trust-") as scratch:
        return _cycles(cycles, seed, twin, Path(scratch), None)


def power_cuts(cycles: int, seed: int, twin: str = "") -> Counts:
    """Cut the power *cycles* times while the process writes."""
    with disk(96) as lent:
        return _cycles(cycles, seed, twin, lent.at, lent)


def _cycles(cycles: int, seed: int, twin: str, folder: Path, lent: Disk | None) -> Counts:
    chance = random.Random(seed)
    total = Counts()
    oracle = Oracle(folder / "never.sqlite")
    for cycle in range(cycles):
        if cycle % LIVES_PER_FILE == 0:
            for old in folder.glob("log*"):
                old.unlink()
            oracle = Oracle(folder / f"log{cycle}.sqlite")
        life = f"life{cycle}"
        writing = start(oracle.path, life, twin=twin)
        if chance.random() < 0.9:  # else it is hit while it opens the log
            writing.hear(b"stored", 10.0)
        time.sleep(chance.uniform(0.0, 0.15))
        if lent is not None:
            writing.stop()
            lent.cut()
        writing.kill()
        outcome = writing.outcome()
        if lent is not None:
            lent.plug_in()
        oracle.learn(life, outcome)
        found = oracle.check()
        found.acknowledged = sum(stored for stored, _, _ in outcome)
        total.add(found)
        if found.refused_opens or found.lost:  # only a twin goes on from here: with a new file
            oracle = Oracle(folder / f"log{cycle}-anew.sqlite")
    return total
