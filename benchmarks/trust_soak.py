"""Nothing creeps: a real server under a steady mixed load, with bundles swapped, and the slopes of what must not rise.

    python benchmarks/trust_soak.py --minutes 8

Requests are sent when they are due, whether or not the last one was answered: slates of known and new users, events,
similar items, items put and deleted, and now and then a bundle is promoted. After a warm-up, which fills what is
bounded, private memory, open files, threads processor time per request and the median
latency of slates beside that of the simplest request are sampled every few seconds. A slope is
the median of all slopes between two samples (Theil-Sen) with its 95 % interval. It counts as a rise where the whole
interval lies above 0 *and* what it adds over the time measured is more than the tolerance (256 bytes a request, twelve
files): samples that depend on one another make the interval too narrow, so it alone would cry wolf.

The last line is JSON; the exit code is 1 where something rose, or a request failed. Runs on Linux.
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from scipy.stats import theilslopes
from serving_history import CATEGORIES, PER_CATEGORY, USERS, prepared
from serving_workers import Links, Served, served
from trust_store import Counts

RATE = 40.0
"""Requests a second: a fraction of what one worker does, also on a busy machine."""
WIDTH = 32
WARM = 0.35
"""Of the time, spent before anything counts."""
SAMPLES = 120
WINDOWS = 10
"""Of memory the least in each counts: during a swap and shortly after, two bundles are there."""
SWAP_EVERY_S = 10.0
SHORT_S = 120.0
"""Runs shorter than this swap in their warm-up alone: their windows are too short to see the least between swaps."""
FULL_MINUTES = 8.0
"""A shorter run may grow by as much as one of so many minutes: filling up takes its time. Its twin loses as much."""
MIX = {"slate": 0.5, "newcomer": 0.1, "similar": 0.1, "event": 0.16, "change": 0.04, "health": 0.1}
SETTINGS = ("cache.max_bytes=200000", "storage.cached_users=200")
"""Bounds that the load reaches in the warm-up: what fills up to a bound is no leak."""
MB_PER_REQUEST = 256 / 1e6
TOLERANCE = {"files": 12.0, "threads": 4.0}
"""What may be added over the time measured: a thread more that reads the log has three of its files open."""
SHARES = {"cpu_ms": 0.25, "p50_ratio": 0.5}
"""The same for processor time per request and for a slate's latency, as shares of their median. Latency is in units of
that of the simplest request meanwhile: who else uses the machine slows down both.
"""
SERVER = Path(__file__).with_name("trust_soak_server.py")


def why_not() -> str | None:
    return None if Path("/proc/self/status").exists() else "needs /proc, which Linux has"


def soak(cycles: int, seed: int, twin: str = "") -> Counts:
    """Run for *cycles* seconds, 45 at least; a cycle is a request."""
    found = measure(max(45, cycles) / 60.0, seed, twin)
    counts = Counts(cycles=found["requests"], acknowledged=found["requests"] - found["failed"])
    counts.broken = len(found["wrong"])
    counts.notes += found["wrong"]
    return counts


class Soak:
    """One run. All times are of its event loop."""

    def __init__(self, server: Served, seconds: float, seed: int) -> None:
        self.server, self.seconds = server, seconds
        self.rng = np.random.default_rng(seed)
        self.links = Links(server.url, WIDTH, self.rng)
        self.free = asyncio.Semaphore(WIDTH)
        self.loop = asyncio.get_running_loop()
        self.count: Counter = Counter()
        self.problems: list[str] = []
        self.slates: list[tuple[float, float]] = []
        self.simple: list[tuple[float, float]] = []
        self.samples: list[tuple[float, float, int, int, float, int]] = []
        self.bundles: itertools.cycle = itertools.cycle(())

    async def run(self) -> dict:
        _, body, _, _ = await self.links.ask("GET", "/v1/bundles")
        self.bundles = itertools.cycle(sorted(one["id"] for one in msgspec.json.decode(body)["bundles"])[-2:])
        # All connections are there before anything is counted.
        await asyncio.gather(*(self.links.ask("GET", "/v1/bundles") for _ in range(WIDTH)))
        begun = self.loop.time()
        due = begun + np.cumsum(self.rng.exponential(1.0 / RATE, int(self.seconds * RATE)))
        kinds = self.rng.choice(list(MIX), due.size, p=list(MIX.values()))
        beside = asyncio.create_task(self.look(begun)), asyncio.create_task(self.swap(begun))
        sent = []
        for number, (at, kind) in enumerate(zip(due.tolist(), kinds.tolist(), strict=True)):
            await asyncio.sleep(max(0.0, at - self.loop.time()))
            sent.append(asyncio.create_task(self.ask(*self.request(kind, number), at)))
            sent = [task for task in sent if not task.done()]
        await asyncio.gather(*sent, *beside)
        self.links.close()
        return self.told()

    def request(self, kind: str, number: int) -> tuple[str, str, object]:
        item = f"c{self.rng.integers(CATEGORIES)}-{self.rng.integers(PER_CATEGORY)}"
        user = f"u{self.rng.integers(USERS)}"
        match kind:
            case "slate":
                return "POST", "/v1/recommendations", {"user_id": user, "size": 10}
            case "newcomer":
                return "POST", "/v1/recommendations", {"user_id": f"new-{number}", "size": 10}
            case "similar":
                return "GET", f"/v1/items/{item}/similar?size=5", None
            case "event":
                # Half of them of somebody never seen before.
                who = user if number % 2 else f"new-{number}"
                event = {"user_id": who, "item_id": item, "action": "click"}
                return "POST", "/v1/events", {"events": [event]}
            case "health":
                return "GET", "/healthz", None
        change = {"item_id": item, "title": f"{item} {number}", "categories": [f"kind{item[1]}"]}
        return "PUT", "/v1/items", {"items": [change]}

    async def ask(self, method: str, path: str, body: object, due: float) -> None:
        async with self.free:
            try:
                status, content, _, answered = await self.links.ask(method, path, body)
            except ConnectionError:
                # An idle connection that the server closed in the moment of asking: a client asks again.
                self.count["dropped"] += 1
                return
            except (OSError, TimeoutError) as error:
                status, content, answered = 0, repr(error).encode(), due
        self.count["requests"] += 1
        if status == 503 and b"overload" in content:
            self.count["refused"] += 1
        elif not 200 <= status < 300:
            self.count["failed"] += 1
            self.problems.append(f"{method} {path}: {status} {content[:200]!r}")
        elif path == "/v1/recommendations":
            self.slates.append((due, (answered - due) * 1000.0))
        elif path == "/healthz":
            self.simple.append((due, (answered - due) * 1000.0))

    async def look(self, begun: float) -> None:
        for number in range(SAMPLES):
            at = begun + self.seconds * (WARM + (1 - WARM) * (number + 1) / SAMPLES)
            await asyncio.sleep(max(0.0, at - self.loop.time()))
            workers = self.server.workers()
            files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in workers)
            threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in workers)
            cpu_ms = sum(map(processor_ms, workers))
            self.samples.append(
                (self.loop.time(), sum(self.server.private_mb()), files, threads, cpu_ms, self.count["requests"])
            )

    async def swap(self, begun: float) -> None:
        until = self.seconds * (WARM if self.seconds < SHORT_S else 1.0)
        for after in np.arange(SWAP_EVERY_S / 2, until, SWAP_EVERY_S).tolist():
            await asyncio.sleep(max(0.0, begun + after - self.loop.time()))
            await self.ask("POST", f"/v1/bundles/{next(self.bundles)}/promote", None, self.loop.time())
            self.count["swaps"] += 1

    def told(self) -> dict:
        at, memory, files, threads, cpu_ms, asked = np.array(self.samples).T
        # Over two samples each: medians of a few requests would jump about.
        borders = at[::2]
        slates, simple = (medians(np.array(answers), borders) for answers in (self.slates, self.simple))
        series = {
            "private_mb": floors(at, memory),
            "files": (at, files),
            "threads": (at, threads),
            "cpu_ms": (borders[1:], np.diff(cpu_ms[::2]) / np.maximum(1, np.diff(asked[::2]))),
            "p50_ratio": (borders[1:], slates / simple),
        }
        shortness = max(1.0, FULL_MINUTES * 60.0 / self.seconds)
        per_request = {"private_mb": MB_PER_REQUEST * (asked[-1] - asked[0]) * shortness}
        slopes = {name: slope(*values, name, TOLERANCE | per_request) for name, values in series.items()}
        wrong = [f"{name} rises: {found}" for name, found in slopes.items() if found["rises"]]
        if self.count["failed"]:
            wrong.append(f"{self.count['failed']} requests failed, the first: {self.problems[0]}")
        return {
            "minutes": round(self.seconds / 60.0, 2),
            "requests": self.count["requests"],
            "failed": self.count["failed"],
            "refused": self.count["refused"],
            "dropped": self.count["dropped"],
            "swaps": self.count["swaps"],
            "slate_ms": [round(float(ms), 1) for ms in np.percentile([ms for _, ms in self.slates], (50, 99))],
            "p50_ms": [round(float(ms), 1) for ms in slates[:: max(1, len(slates) // 8)]],
            "slopes": slopes,
            "wrong": wrong,
        }


def slope(at: np.ndarray, values: np.ndarray, name: str, tolerance: dict[str, float]) -> dict:
    """Return the slope per minute with its interval, and whether *values* ``(n,)`` rise beyond the tolerance."""
    known = np.isfinite(values)
    at, values = (at[known] - at[0]) / 60.0, values[known]
    middle, _, low, high = theilslopes(values, at, 0.95)
    allowed = tolerance[name] if name in tolerance else SHARES[name] * float(np.median(values))
    return {
        "first": round(float(values[0]), 2),
        "last": round(float(values[-1]), 2),
        "per_minute": round(float(middle), 4),
        "ci95": [round(float(low), 4), round(float(high), 4)],
        "rises": bool(low > 0 and middle * (at[-1] - at[0]) > allowed),
    }


def floors(at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle and the least value of each window; ``(WINDOWS,)`` both."""
    parts = np.array_split(np.arange(at.size), WINDOWS)
    return np.array([at[part].mean() for part in parts]), np.array([values[part].min() for part in parts])


def medians(answers: np.ndarray, borders: np.ndarray) -> np.ndarray:
    """Return the median latency between each two borders; *answers* ``(n, 2)``: when they were due, and how long."""
    due, latency = answers.T
    windows = [latency[(due >= lo) & (due < hi)] for lo, hi in pairwise(borders)]
    return np.array([np.median(window) if window.size else np.nan for window in windows])


def processor_ms(pid: int) -> float:
    """Return the processor time that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000.0 / os.sysconf("SC_CLK_TCK")


def measure(minutes: float, seed: int = 0, twin: str = "", home: Path | None = None) -> dict:
    """Soak a server of its own on a HOME of its own, or on *home*; return what was found."""
    with tempfile.TemporaryDirectory(prefix="slatewise-trust-") as scratch:
        home = home or prepared(Path(scratch) / "home")
        leaked = round(1024 * max(1.0, FULL_MINUTES / minutes)) if twin == "leak" else 0
        command = (sys.executable, str(SERVER), str(leaked))
        with served(home, 1, command, SETTINGS) as server:
            return asyncio.run(_soaked(server, minutes * 60.0, seed))


async def _soaked(server: Served, seconds: float, seed: int) -> dict:
    return await Soak(server, seconds, seed).run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path, help="of the walkers' world with two bundles; it is written to")
    parser.add_argument("--twin", choices=("", "leak"), default="")
    given = parser.parse_args()
    found = measure(given.minutes, given.seed, given.twin, given.home)
    print(json.dumps(found), flush=True)
    return int(bool(found["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
