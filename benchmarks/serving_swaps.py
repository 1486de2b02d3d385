"""Bundles are swapped under load: no request fails, every answer is of one bundle, the one it names, memory stays flat.

Queries whose answers depend on the bundle alone (given histories, no user) are asked under each bundle first. Then
connections ask them without a pause, users' slates in between, while bundles are promoted in turn. Every answer is held
against what the bundle that it names had said, and against whether that bundle may be live at all: a promotion counts
from its acknowledgement on every worker.

    python benchmarks/serving_swaps.py --swaps 100 --workers 2

Prints one JSON line last. `--home H` takes an existing HOME of the walkers' world with two bundles or more.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
from history_checker import NEVER, Read, Write, judge
from serving_history import CATEGORIES, PER_CATEGORY, TWIN, USERS, prepared
from serving_workers import SERVE, Links, Served, served

PROBES = 24
SIZE = 10
SETTLED = 10
"""Swaps before memory is first looked at: pools of threads, sessions and caches are full by then."""
PAUSE_S = 0.1
QUIET_S = 1.5
"""After the last swap, until its old bundle's memory is given back."""
NEAR = 0.25
"""Of the way to the other bundle's answer: as far as a bundle's own may move while time passes (popularity fades)."""


class Swaps:
    def __init__(self, server: Served, swaps: int, width: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.server, self.swaps, self.width = server, swaps, width
        self.links = Links(server.url, width + 1, self.rng)
        self.probes = [
            {"history": [f"c{c}-{k}" for c, k in zip(*drawn, strict=True)], "size": SIZE}
            for drawn in zip(
                self.rng.integers(0, CATEGORIES, (PROBES, 3)).tolist(),
                self.rng.integers(0, PER_CATEGORY, (PROBES, 3)).tolist(),
                strict=True,
            )
        ]
        self.bundles: list[str] = []
        self.said: dict[str, list[dict[str, float]]] = {}
        self.apart: list[float] = []
        self.telling: list[int] = []
        self.writes: list[Write] = []
        self.reads: list[Read] = []
        self.count: Counter = Counter()
        self.problems: list[str] = []
        self.farthest = 0.0
        self.memory: list[list[float]] = []
        self.memory_quiet: list[float] = []
        self.swap_ms: list[float] = []
        self.latency_ms: list[float] = []
        self.is_over = False

    async def run(self) -> None:
        _, body, _, _ = await self.links.ask("GET", "/v1/bundles")
        self.bundles = sorted(one["id"] for one in msgspec.json.decode(body)["bundles"])[-2:]
        for bundle in self.bundles:
            await self.promote(bundle)
            answers = [await self.links.ask("POST", "/v1/recommendations", probe) for probe in self.probes]
            self.said[bundle] = [_scores(msgspec.json.decode(content)) for _, content, _, _ in answers]
        self.apart = [_distance(one, other) for one, other in zip(*self.said.values(), strict=True)]
        # What both bundles answer alike tells nothing.
        self.telling = [number for number, apart in enumerate(self.apart) if apart > 0]
        if len(self.telling) < PROBES / 2:
            raise SystemExit(f"the bundles {self.bundles} answer alike")
        asking = [asyncio.create_task(self.ask()) for _ in range(self.width)]
        for number, bundle in zip(range(self.swaps), itertools.cycle(self.bundles), strict=False):
            await self.promote(bundle)
            await asyncio.sleep(PAUSE_S)
            if number + 1 >= min(SETTLED, self.swaps):
                self.memory.append(self.server.private_mb())
        self.is_over = True
        await asyncio.gather(*asking)
        await asyncio.sleep(QUIET_S)
        self.memory_quiet = self.server.private_mb()
        self.links.close()

    async def promote(self, bundle: str) -> None:
        write = Write("promote", asyncio.get_running_loop().time(), NEVER, bundle=bundle)
        self.writes.append(write)
        status, content, sent, answered = await self.asked("POST", f"/v1/bundles/{bundle}/promote")
        if status == 200:
            write.answered = answered
            self.swap_ms.append((answered - sent) * 1000.0)
        else:
            self.failed(f"promote {bundle}: {status} {content[:200]!r}")

    async def ask(self) -> None:
        while not self.is_over:
            number = int(self.rng.choice(self.telling))
            is_probe = self.rng.random() < 0.7
            body = self.probes[number] if is_probe else {"user_id": f"u{self.rng.integers(USERS)}", "size": SIZE}
            status, content, sent, answered = await self.asked("POST", "/v1/recommendations", body)
            if status != 200:
                self.failed(f"{body}: {status} {content[:200]!r}")
                continue
            told = msgspec.json.decode(content)
            self.count["cached"] += told["cached"]
            self.latency_ms.append((answered - sent) * 1000.0)
            self.reads.append(Read(sent, answered, tuple(i["item_id"] for i in told["items"]), told["bundle"]))
            if is_probe:
                self.compare(number, told)

    def compare(self, number: int, told: dict) -> None:
        self.count["compared"] += 1
        expected = self.said.get(told["bundle"])
        away = 1.0 if expected is None else _distance(_scores(told), expected[number]) / self.apart[number]
        self.farthest = max(self.farthest, away)
        if away > NEAR:
            self.count["mixed"] += 1
            self.problems.append(f"probe {number} is {away:.2f} of the way from {told['bundle']} to the other bundle")

    async def asked(self, method: str, path: str, body: object = None) -> tuple[int, bytes, float, float]:
        try:
            return await self.links.ask(method, path, body)
        except (OSError, TimeoutError) as error:
            return 0, repr(error).encode(), 0.0, 0.0

    def failed(self, what: str) -> None:
        self.count["failed"] += 1
        self.problems.append(what)

    def told(self) -> dict:
        verdict = judge(self.writes, self.reads, frozenset(self.bundles))
        memory = np.array(self.memory)
        slope = np.polyfit(np.arange(len(memory)), memory, 1)[0] if len(memory) > 2 else np.zeros(memory.shape[1])
        return {
            "swaps": self.swaps,
            "responses": len(self.reads),
            "failed": self.count["failed"],
            "mixed": self.count["mixed"],
            "not_live": verdict.counts.total(),
            "compared": self.count["compared"],
            "cached": self.count["cached"],
            "farthest": round(self.farthest, 5),
            "private_mb_before": memory[0].round(1).tolist(),
            "private_mb_after": memory[-1].round(1).tolist(),
            "private_mb_quiet": [round(mb, 1) for mb in self.memory_quiet],
            "private_mb": [row.round(1).tolist() for row in memory[:: max(1, len(memory) // 9)]],
            "private_mb_per_swap": slope.round(4).tolist(),
            "swap_ms": _percentiles(self.swap_ms),
            "latency_ms": _percentiles(self.latency_ms),
            "problems": self.problems[:3] + verdict.examples[:3],
        }


def measure(
    home: Path,
    swaps: int = 100,
    *,
    workers: int = 2,
    width: int = 4,
    seed: int = 0,
    twin: str | None = None,
    server: Served | None = None,
) -> dict:
    """Swap between the two newest bundles of *home*, on a server of its own or on *server*; return the counts."""
    if server is None:
        command = SERVE if twin is None else (sys.executable, str(TWIN), twin)
        # What was shown makes the log grow, and with it SQLite's page cache: no matter of swaps.
        settings = ("telemetry.impressions=off",) if twin is None else ()
        with served(home, workers, command, settings) as server:
            return measure(home, swaps, width=width, seed=seed, server=server)
    return asyncio.run(_measured(server, swaps, width, seed))


async def _measured(server: Served, swaps: int, width: int, seed: int) -> dict:
    run = Swaps(server, swaps, width, seed)
    await run.run()
    return {"workers": len(server.workers()), **run.told()}


def _scores(told: dict) -> dict[str, float]:
    return {item["item_id"]: item["score"] for item in told["items"]}


def _distance(one: dict[str, float], other: dict[str, float]) -> float:
    """Return how far two slates are apart: the mean difference of scores, an item that one lacks counting as 0."""
    items = one.keys() | other.keys()
    return sum(abs(one.get(item, 0.0) - other.get(item, 0.0)) for item in items) / max(1, len(items))


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p99, most = np.percentile(values, (50, 99, 100))
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(float(most), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--width", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = given.home or prepared(Path(scratch) / "home")
        found = measure(home, given.swaps, workers=given.workers, width=given.width)
    is_right = found["failed"] == found["mixed"] == found["not_live"] == 0
    print(json.dumps(found | {"passed": is_right}))
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
