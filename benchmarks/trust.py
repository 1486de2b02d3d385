"""What the promises of durability are worth: kills, power cuts, failing calls, flipped bits, full disks, removals, and
whether memory stays where it is under many users and a long load.

    python benchmarks/trust.py                      # everything, short: about five minutes
    python benchmarks/trust.py --cycles 500         # 500 kills, 300 power cuts, every call, 2,000 flips
    python benchmarks/trust.py --only kills,syscalls --json

Every check runs once more with a fault put into the code on purpose, its twin, and must notice: a check that was never
seen failing is no evidence. Power cuts need root on Linux, failing calls a C compiler; elsewhere they are skipped with
the reason. Nothing seen in N cycles means at most 3 / N per cycle, with 95 % confidence (rule of three).

The last line is JSON. The exit code is 1 where a promise was broken or a twin went unnoticed.
"""

import argparse
import errno
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trust_cycles
import trust_disk
import trust_flips
import trust_full
import trust_removal
import trust_soak
import trust_syscalls
import trust_users
from trust_store import Counts

TRIES = 4
"""How often a twin is looked for before it counts as unnoticed."""


@dataclass(frozen=True)
class Check:
    """One promise: how to test it for a number of cycles, with a twin or without."""

    name: str
    run: Callable[[int, int, str], Counts]
    twins: tuple[str, ...]
    share: float = 1.0
    """Cycles of this check per cycle asked for."""
    twin_cycles: int = 25
    why_not: Callable[[], str | None] = lambda: None


def _sync(cycles: int, seed: int, twin: str) -> Counts:
    return trust_syscalls.sweep("sync", errno.EIO, twin, cycles, _has_disk())


def _write(cycles: int, seed: int, twin: str) -> Counts:
    return trust_syscalls.sweep("write", errno.EIO, twin, cycles, _has_disk())


def _no_space(cycles: int, seed: int, twin: str) -> Counts:
    return trust_syscalls.sweep("write", errno.ENOSPC, twin, cycles, _has_disk())


def _has_disk() -> bool:
    return trust_disk.why_not() is None


def _no_shim() -> str | None:
    return trust_syscalls.why_not() or (None if _has_disk() else "needs a disk to cut the power of: see power_cuts")


CHECKS = (
    Check("kills", trust_cycles.kills, ("early", "twice", "in_parts")),
    Check("power_cuts", trust_cycles.power_cuts, ("without_sync",), 0.6, why_not=trust_disk.why_not),
    Check("failed_syncs", _sync, ("going_on",), 1.0, 15, _no_shim),
    Check("failed_writes", _write, (), 0.5, 15, _no_shim),
    Check("no_space_writes", _no_space, (), 0.5, 15, _no_shim),
    Check("flipped_bits", trust_flips.flips, ("without_sums", "without_mark"), 4.0, 150),
    Check("full_disks", trust_full.full_disks, ("without_reserve",), 0.05, 2, trust_disk.why_not),
    Check("removals", trust_removal.removals, ("stale_catalogue", "unfiltered"), 2.0, 20),
    Check("users", trust_users.users, trust_users.TWINS, 1.0, 30, trust_users.why_not),
    Check("soak", trust_soak.soak, ("leak",), 0.75, 30, trust_soak.why_not),
)


def main() -> int:
    """Run what was asked for; return the exit code."""
    asked = _arguments()
    if trust_syscalls.why_not() is None and not trust_syscalls.is_loaded():
        with tempfile.TemporaryDirectory(prefix="slatewise-trust-") as scratch:
            shim = trust_syscalls.build(Path(scratch))
            environment = {**os.environ, "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            return os.spawnve(os.P_WAIT, sys.executable, [sys.executable, *sys.argv], environment)
    logging.disable(logging.CRITICAL)
    total, checks, unseen, skipped = Counts(), {}, [], {}
    for check in CHECKS:
        if asked.only and check.name not in asked.only:
            continue
        if reason := check.why_not():
            skipped[check.name] = reason
            print(f"{check.name:16} skipped: {reason}", flush=True)
            continue
        began = time.monotonic()
        counts = check.run(max(1, round(asked.cycles * check.share)), asked.seed, "")
        total.add(counts)
        twin_cycles = min(check.twin_cycles, asked.twin_cycles * max(1, round(2 * check.share)))
        red = {twin: _is_noticed(check, twin, twin_cycles, asked.seed) for twin in check.twins}
        unseen += [f"{check.name}/{twin}" for twin, is_red in red.items() if not is_red]
        checks[check.name] = counts.told() | {"upper_bound": counts.bound, "twins_red": red}
        print(f"{check.name:16} {counts.line()}  twins {_shown(red)}  {time.monotonic() - began:.0f} s", flush=True)
        for note in counts.notes[:5]:
            print(f"    {note}", flush=True)
    result = total.told() | {
        "upper_bound": total.bound,
        "twins_red": not unseen,
        "twins_unnoticed": unseen,
        "skipped": skipped,
        "checks": checks,
        "seed": asked.seed,
    }
    print(json.dumps(result), flush=True)
    return int(total.is_red or bool(unseen))


def _is_noticed(check: Check, twin: str, cycles: int, seed: int) -> bool:
    # Few kills may all miss the moment in which this fault does harm: that says nothing against the check.
    return any(check.run(cycles, seed + again, twin).is_red for again in range(TRIES))


def _shown(red: dict[str, bool]) -> str:
    return ", ".join(f"{twin}: {'red' if is_red else 'NOT NOTICED'}" for twin, is_red in red.items()) or "none"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cycles", type=int, default=40, help="kills; other checks scale with it")
    parser.add_argument("--twin-cycles", type=int, default=1 << 30, help="at most about as many for each twin")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", type=lambda text: text.split(","), help="names of checks, separated by commas")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the last line is JSON always")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
