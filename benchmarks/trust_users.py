"""Memory does not follow the number of users: events and questions of N distinct users through one engine, in process.

    python benchmarks/trust_users.py --users 5000000 --cap-mb 512

A HOME with a live bundle takes one event of each user, in batches; of some the state is read as a question would read
it, and some ask for a slate. Memory that no file stands behind is looked at after each batch. Once all
that is bounded is full, the peak of the last third must not lie above that of the second by more than noise, and never
above the cap. Tables of a fixed size are touched whole before the first user, so that they do not look like growth.

The last line is JSON; the exit code is 1 where memory grew or passed the cap. Runs on Linux.
"""

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trust_store import Counts

from slatewise.domain.events import Interaction
from slatewise.storage import row_giver
from slatewise.testing.worlds import batched, walkers
from slatewise.wiring.home import Home

BATCH = 5_000
STATES, SMALL_STATES = 50, 10
"""Of so many users one's state is read."""
ASKS, SMALL_ASKS = 1_000, 200
"""Of so many users one asks for a slate."""
SLACK_MB = 1.0
PER_USER = 4.0
"""Bytes a user may add in the last third, beside the slack; a row of any map takes a hundred."""
PER_CYCLE = 2_000
"""Users for one cycle of `trust.py`."""
CAP_MB = 512

TWINS = ("every_id", "every_state")
"""The writer forgets no id; the user store forgets no state."""


def users(cycles: int, seed: int, twin: str = "") -> Counts:
    """Run it in a process of its own, whose memory nothing else moves."""
    command = [sys.executable, __file__, "--users", str(max(30, cycles) * PER_CYCLE), "--small", "--twin", twin]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise RuntimeError(done.stderr)
    told = json.loads(done.stdout.splitlines()[-1])
    counts = Counts(cycles=told["users"], acknowledged=told["acknowledged"], broken=len(told["wrong"]))
    counts.notes += told["wrong"]
    return counts


def why_not() -> str | None:
    return None if Path("/proc/self/status").exists() else "needs /proc, which Linux has"


def grown(path: Path, count: int, twin: str, small: bool, cap_mb: float) -> dict:
    """Let *count* users come and return what memory did. *small* bounds are full after a few thousand users."""
    settings = {
        "training.deep": "off",
        "training.dim": 16,
        "telemetry.impressions": "off",
        "storage.cached_users": 1_000 if small else 20_000,
        "cache.max_bytes": 200_000 if small else 16_000_000,
    }
    if small:
        row_giver.CACHED_IDS = 5_000
        # Of the whole process: the writer's page cache may otherwise take 64 MB, which few users do not fill.
        sqlite3.connect(":memory:").execute("PRAGMA soft_heap_limit = 4000000")
    if twin == "every_id":
        row_giver.CACHED_IDS = sys.maxsize
    prepare(path, settings)
    if twin == "every_state":
        settings["storage.cached_users"] = 1 << 40
    peaks, began, asked = [], time.monotonic(), 0
    states, asks = (SMALL_STATES, SMALL_ASKS) if small else (STATES, ASKS)
    with Home(path, settings=settings) as home:
        _touch(home)
        ids = home.catalogue.ids(home.catalogue.available.nonzero()[0])
        for lo in range(0, count, BATCH):
            arrived = range(lo, min(lo + BATCH, count))
            at = home.clock.now()
            home.record(
                [Interaction(user_id=_name(n), item_id=ids[n % len(ids)], action="click", at=at) for n in arrived]
            )
            for n in arrived[::states]:
                home._users.state(_name(n))
            for n in arrived[::asks]:
                asked += len(home.recommend(_name(n)).items) > 0
            peaks.append(anonymous_mb())
        stored = home._log.end
    third = len(peaks) // 3
    second, last = max(peaks[third : 2 * third]), max(peaks[2 * third :])
    allowed = SLACK_MB + PER_USER * count / 3 / 1e6
    wrong = [f"memory grew by {last - second:.1f} MB over {count // 3:,} users"] if last - second > allowed else []
    wrong += [f"{max(peaks):.0f} MB, with a cap of {cap_mb:.0f}"] if max(peaks) > cap_mb else []
    wrong += [f"only {asked} of {count // asks} slates"] if asked < count // asks else []
    return {
        "users": count,
        "acknowledged": count,
        "slates": asked,
        "log_end": stored,
        "anonymous_mb": [round(mb, 1) for mb in peaks[:: max(1, len(peaks) // 10)]],
        "peak_mb": round(max(peaks), 1),
        "second_third_mb": round(second, 1),
        "last_third_mb": round(last, 1),
        "bytes_per_user": round((last - second) * 1e6 / (count / 3), 1),
        "s": round(time.monotonic() - began, 1),
        "cpu_s": round(time.process_time(), 1),
        "wrong": wrong,
    }


def prepare(path: Path, settings: dict) -> None:
    """Make a HOME with a live bundle; closed afterwards, so that training's memory is not the engine's."""
    items, people, events = walkers()
    with Home(path, settings=settings) as home:
        home.put_items(items)
        home.put_users(people)
        for batch in batched(events, 1000):
            home.record(batch)
        home.train()


def _touch(home: Home) -> None:
    state = home._engine.current().live.state
    for table in (state.shares._pairs, state.shares._empty_at, *vars(state.transitions._last).values()):
        if hasattr(table, "fill"):
            table[:] = table.copy()


def _name(number: int) -> str:
    return f"visitor-{number:09}"


def anonymous_mb() -> float:
    """Return the memory of this process that no file stands behind, in MB."""
    told = Path("/proc/self/status").read_text()
    return int(told.split("RssAnon:")[1].split()[0]) * 1024 / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=5_000_000)
    parser.add_argument("--cap-mb", type=float, default=CAP_MB)
    parser.add_argument("--small", action="store_true", help="small bounds, for few users")
    parser.add_argument("--twin", choices=("", *TWINS), default="")
    parser.add_argument("--folder", type=Path, help="where the HOME is made and removed: 250 bytes a user")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slatewise-trust-", dir=given.folder) as scratch:
        found = grown(Path(scratch) / "home", given.users, given.twin, given.small, given.cap_mb)
    print(json.dumps(found), flush=True)
    return int(bool(found["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
