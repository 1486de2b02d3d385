"""Every sync and every write fails once, in turn: nothing is acknowledged that a power cut then takes away.

The C library's calls are replaced by `trust_faults.c`, built with `cc` and loaded before Python starts.
"""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from trust_disk import Disk, disk
from trust_store import Counts, Oracle, start

HERE = Path(__file__).parent
BATCHES = 16
PAGES = 40
"""Pages of the write-ahead log after which it is folded back here, so that this happens under failing calls as well."""


def why_not() -> str | None:
    """Return why the shim cannot be used here, None where it can."""
    if not sys.platform.startswith("linux"):
        return "needs Linux: calls are replaced by LD_PRELOAD"
    return None if shutil.which("cc") else "needs a C compiler (cc)"


def build(folder: Path) -> Path:
    """Compile the shim into *folder* and return it."""
    made = folder / "trust_faults.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", str(made), str(HERE / "trust_faults.c"), "-ldl"],
        check=True,
        capture_output=True,
    )
    return made


def is_loaded() -> bool:
    return "trust_faults" in os.environ.get("LD_PRELOAD", "")


def sweep(call: str, error: int = errno.EIO, twin: str = "", most: int = 1 << 30, has_disk: bool = True) -> Counts:
    """Let the first, second, … *call* (sync or write) fail; where *most* are fewer than all, those spread evenly.

    ``cycles`` is the number of places tried.
    """
    total = Counts()
    if has_disk:
        with disk(64) as lent:
            return _sweep(call, error, twin, most, lent.at, lent, total)
    with tempfile.TemporaryDirectory(prefix="slatewise-trust-") as scratch:
        return _sweep(call, error, twin, most, Path(scratch), None, total)


def _sweep(call: str, error: int, twin: str, most: int, folder: Path, lent: Disk | None, total: Counts) -> Counts:
    places = _run(folder / "count", call, 0, error, "", None, Counts())
    for at in sorted({1 + i * places // min(most, places) for i in range(min(most, places))}):
        where = folder / f"at{at}"
        _run(where, call, at, error, twin, lent, total)
        shutil.rmtree(where, ignore_errors=True)
    return total


def _run(folder: Path, call: str, at: int, error: int, twin: str, lent: Disk | None, total: Counts) -> int:
    folder.mkdir(exist_ok=True)
    # What was there before the failure is part of what must survive it.
    oracle = Oracle(folder / "log.sqlite")
    faults = {"TRUST_PATH": "log.sqlite", "TRUST_CALL": call, "TRUST_AT": str(at), "TRUST_ERRNO": str(error)}
    writing = start(oracle.path, "life", threads=1, batches=BATCHES, twin=twin, faults=faults, pages=PAGES)
    writing.hear(b"done", 60.0)
    if lent is not None:
        writing.stop()
        lent.cut()
    writing.kill()
    outcome = writing.outcome()
    if lent is not None:
        lent.plug_in()
    folder.mkdir(exist_ok=True)  # gone with the power where the first sync of all failed
    oracle.learn("life", outcome, threads=1)
    counts = oracle.check()
    counts.acknowledged = sum(stored for stored, _, _ in outcome)
    counts.failures_told = int(any(not stored for stored, _, _ in outcome))
    total.add(counts)
    return writing.calls
