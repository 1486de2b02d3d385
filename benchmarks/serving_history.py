"""What was acknowledged holds in every answer that is asked for afterwards, on whichever worker, whatever is cached.

A real server with several workers is asked for slates of all kinds, similar items and later pages, while items are
deleted, banned and brought back, users act and are forgotten, and bundles are swapped. Every request is written down
with the times of its sending and its answer; a checker (`history_checker.py`) then looks for answers that no order of
these can explain. The same is run against servers broken on purpose, which have to be found out.

    python benchmarks/serving_history.py --responses 200000 --workers 2

Prints the parts, and one JSON line last. `python benchmarks/serving_history.py --home H` takes an existing HOME of
the walkers' world with two bundles or more, and writes to it.
"""

import argparse
import asyncio
import itertools
import json
import resource
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import msgspec
import numpy as np
from history_checker import NEVER, Read, Verdict, Write, judge
from serving_workers import SERVE, Links, Served, served

from slatewise.testing.worlds import batched, walkers
from slatewise.wiring.home import Home

USERS, CATEGORIES, PER_CATEGORY = 120, 8, 10
HIDDEN_AT_MOST = 20
"""Items that are away at once: of 80, so that slates are short of what is left."""
SIZES = (5, 10, 20, 40)
SWAP_EVERY_S = 0.7
AFTER_WRITE = 2
"""Reads sent at once, to whichever worker, after a write was acknowledged."""
MIX = {"slate": 0.54, "short": 0.13, "similar": 0.06, "event": 0.08, "change": 0.06, "forget": 0.03, "insist": 0.1}
INSISTED = 12
"""Times that one question is asked in a row: on each worker often enough to be answered by the answer before."""
TWIN = Path(__file__).with_name("serving_twin.py")


def prepared(folder: Path) -> Path:
    """Make a HOME with the walkers' world and two bundles that answer differently."""
    items, users, events = walkers(USERS, CATEGORIES, PER_CATEGORY)
    for settings in ({"training.dim": 16}, {"training.dim": 24, "training.lists": "off"}):
        with Home(folder, settings={"training.deep": "off", **settings}) as home:
            if not home.bundles():
                home.put_items(items)
                home.put_users(users)
                for batch in batched(events, 1000):
                    home.record(batch)
            home.train()
    return folder


class Generator:
    """Asks and writes down. One event loop: all times are of its clock."""

    def __init__(self, url: str, width: int, responses: int, seconds: float, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.width = width
        self.links = Links(url, (AFTER_WRITE + 2) * width + 1, self.rng)
        self.responses, self.until = responses, asyncio.get_running_loop().time() + seconds
        self.writes: list[Write] = []
        self.reads: list[Read] = []
        self.told: Counter = Counter()
        self.problems: list[str] = []
        self.slowest_s: Counter = Counter()
        self.items = [f"c{c}-{k}" for c in range(CATEGORIES) for k in range(PER_CATEGORY)]
        self.of_category = {c: frozenset(i for i in self.items if i.startswith(f"c{c}-")) for c in range(CATEGORIES)}
        self.away: set[str] = set()
        self.busy: set[str] = set()
        self.bundles: frozenset[str] = frozenset()
        self.version = 0
        self._kinds, self._shares = list(MIX), list(MIX.values())
        # New to the HOME: an event that it knows by name is a duplicate, and nothing happens.
        self._names = (f"{secrets.token_hex(4)}-{n}" for n in itertools.count())

    @property
    def is_over(self) -> bool:
        return len(self.reads) >= self.responses or asyncio.get_running_loop().time() > self.until

    async def run(self) -> None:
        _, body, _, _ = await self.links.ask("GET", "/v1/bundles")
        self.bundles = frozenset(one["id"] for one in msgspec.json.decode(body)["bundles"])
        swapping = asyncio.create_task(self.swap())
        await asyncio.gather(*(self.go() for _ in range(self.width)))
        await swapping
        self.links.close()

    async def go(self) -> None:
        while not self.is_over:
            await getattr(self, str(self.rng.choice(self._kinds, p=self._shares)))()

    def user(self) -> str:
        # A few users ask often: only so are there answers from the cache.
        return f"u{min(USERS - 1, int(self.rng.zipf(1.3)) - 1)}"

    def item(self) -> str:
        return self.items[int(self.rng.integers(len(self.items)))]

    async def slate(self, user: str = "") -> None:
        draw = self.rng.random(6)
        user = user or (self.user() if draw[0] < 0.8 else "")
        body: dict = {"size": int(self.rng.choice(SIZES))}
        excluded, wanted, least = frozenset(), None, 0
        if user:
            body["user_id"] = user
        if not user or draw[1] < 0.1:
            body["history"] = [self.item(), self.item()]
        if draw[2] < 0.2:
            excluded = frozenset(self.item() for _ in range(5))
            body["exclude"] = sorted(excluded)
        if draw[3] < 0.1:
            kind = int(self.rng.integers(CATEGORIES))
            wanted = self.of_category[kind]
            body["where"] = {"categories": f"kind{kind}"}
        if draw[4] < 0.1:
            least = body["min_version"] = self.version
        # A history in the query replaces what the user saw.
        seer = "" if "history" in body else user
        before: frozenset[str] = frozenset()
        for page in range(3):
            # A cursor from before its user was forgotten is gone, as it should be.
            read = await self.read("POST", "/v1/recommendations", body, also=410 if page else 200)
            if read is None:
                return
            sent, answered, told = read
            late = any(entry.startswith("min_version") for entry in told["degraded"])
            shown = tuple(item["item_id"] for item in told["items"])
            self.told["paged" if page else "slates"] += 1
            self.reads.append(
                Read(sent, answered, shown, told["bundle"], seer, excluded, wanted, before, page == 0,
                     0 if late or page else least, told["as_of"])
            )  # fmt: skip
            cursor = told.get("cursor")
            if cursor is None or draw[5] > 0.15:
                return
            before |= frozenset(shown)
            body["cursor"] = cursor

    async def short(self) -> None:
        await self.plain(self.user(), int(self.rng.choice(SIZES)))

    async def plain(self, user: str, size: int) -> tuple[str, ...] | None:
        read = await self.read("GET", f"/v1/recommendations/{quote(user)}?size={size}")
        if read is None:
            return None
        sent, answered, told = read
        shown = tuple(item["item_id"] for item in told["items"])
        self.reads.append(Read(sent, answered, shown, told["bundle"], user))
        self.told["slates"] += 1
        self.told["repeated"] += set(told["timing_ms"]) == {"total"}
        return shown

    async def insist(self) -> None:
        """Ask the same until it is answered without being computed, take one of the items away, and ask on."""
        user = self.user()
        shown: tuple[str, ...] = ()
        for _ in range(INSISTED):
            shown = await self.plain(user, 10) or shown
        item = shown[0] if shown else self.item()
        if self.rng.random() < 0.7:
            await self.buy(user, item)
        elif item not in self.busy:
            self.busy.add(item)
            await self.hide_or_show(item)
            self.busy.discard(item)
        await asyncio.gather(*(self.plain(user, 10) for _ in range(AFTER_WRITE)))

    async def similar(self) -> None:
        read = await self.read("GET", f"/v1/items/{self.item()}/similar?size=20", also=404)
        if read is not None:
            sent, answered, told = read
            self.reads.append(Read(sent, answered, tuple(item["item_id"] for item in told["items"])))
            self.told["similar"] += 1

    async def event(self) -> None:
        user = self.user()
        await self.buy(user, self.item())
        await self.again(user)

    async def buy(self, user: str, item: str) -> None:
        body = {"events": [{"user_id": user, "item_id": item, "action": "buy", "event_id": next(self._names)}]}
        await self.write(Write("seen", 0, NEVER, item=item, user=user), "POST", "/v1/events", body)

    async def forget(self) -> None:
        user = self.user()
        await self.write(Write("forget", 0, NEVER, user=user), "DELETE", f"/v1/users/{user}", also=404)

    async def change(self) -> None:
        item = self.item()
        if item not in self.busy:
            self.busy.add(item)
            await self.hide_or_show(item)
            self.busy.discard(item)
            await self.again()

    async def hide_or_show(self, item: str) -> None:
        is_away = item in self.away
        body = {"items": [{"item_id": item, "categories": [f"kind{item[1]}"], "available": is_away}]}
        if is_away:
            await self.write(Write("show", 0, NEVER, item=item), "PUT", "/v1/items", body)
            self.away.discard(item)
        elif len(self.away) < HIDDEN_AT_MOST:
            self.away.add(item)
            hide = Write("hide", 0, NEVER, item=item)
            if self.rng.random() < 0.5:
                await self.write(hide, "DELETE", f"/v1/items/{item}", also=404)
            else:
                await self.write(hide, "PUT", "/v1/items", body)

    async def swap(self) -> None:
        """Promote one bundle after another, and only what is acknowledged before the end."""
        for bundle in itertools.cycle(sorted(self.bundles)):
            await asyncio.sleep(SWAP_EVERY_S)
            if self.is_over:
                return
            await self.write(Write("promote", 0, NEVER, bundle=bundle), "POST", f"/v1/bundles/{bundle}/promote")

    async def again(self, user: str = "") -> None:
        await asyncio.gather(*(self.slate(user) for _ in range(AFTER_WRITE)))

    async def read(self, method: str, path: str, body: object = None, also: int = 200):
        """Return when it was sent and answered, and the answer; None where there is no slate."""
        status, content, sent, answered = await self.asked(method, path, body)
        if status == 200:
            told = msgspec.json.decode(content)
            self.told["cached"] += bool(told.get("cached"))
            self.told["degraded"] += bool(told.get("degraded"))
            return sent, answered, told
        self.note(status, also, method, path, content)
        return None

    async def write(self, write: Write, method: str, path: str, body: object = None, also: int = 200) -> None:
        write.sent = asyncio.get_running_loop().time()
        self.writes.append(write)
        status, content, _, answered = await self.asked(method, path, body)
        if status == 200:
            write.answered = answered
            self.version = max(self.version, msgspec.json.decode(content).get("version", 0))
            self.told[write.kind] += 1
        else:
            self.note(status, also, method, path, content)

    async def asked(self, method: str, path: str, body: object) -> tuple[int, bytes, float, float]:
        begun = asyncio.get_running_loop().time()
        try:
            return await self.links.ask(method, path, body)
        except (OSError, TimeoutError) as error:
            return 0, repr(error).encode(), 0.0, 0.0
        finally:
            kind = f"{method} /{path.split('/')[2]}"
            self.slowest_s[kind] = max(self.slowest_s[kind], asyncio.get_running_loop().time() - begun)

    def note(self, status: int, also: int, method: str, path: str, content: bytes) -> None:
        if status == 503:
            self.told["refused"] += 1
        elif status != also:
            self.told["failed"] += 1
            self.problems.append(f"{method} {path}: {status} {content[:200]!r}")


def run(
    home: Path,
    responses: int = 200_000,
    *,
    workers: int = 2,
    width: int = 6,
    seconds: float = 3600.0,
    seed: int = 0,
    twin: str | None = None,
    server: Served | None = None,
) -> dict:
    """Write a history against a server of *home*, or against *server*, and judge it."""
    if server is None:
        command = SERVE if twin is None else (sys.executable, str(TWIN), twin)
        with served(home, workers, command) as server:
            return run(home, responses, workers=workers, width=width, seconds=seconds, seed=seed, server=server)
    start = time.perf_counter()
    generator = asyncio.run(_generated(server.url, width, responses, seconds, seed))
    took_s = time.perf_counter() - start
    verdict: Verdict = judge(generator.writes, generator.reads, generator.bundles)
    return {
        "responses": len(generator.reads),
        "workers": workers,
        "seconds": round(took_s, 1),
        "violations": verdict.counts.total(),
        "by_rule": dict(verdict.counts),
        "examples": verdict.examples[:3],
        "failed": generator.told["failed"],
        "problems": generator.problems[:3],
        "told": dict(generator.told),
        "slowest_s": {kind: round(s, 2) for kind, s in generator.slowest_s.items()},
    }


async def _generated(url: str, width: int, responses: int, seconds: float, seed: int) -> Generator:
    generator = Generator(url, width, responses, seconds, seed)
    await generator.run()
    return generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--responses", type=int, default=200_000)
    parser.add_argument("--twin-responses", type=int, default=4_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--width", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = given.home or prepared(Path(scratch) / "home")
        options = {"workers": given.workers, "width": given.width, "seed": given.seed}
        found = run(home, given.responses, seconds=given.seconds, **options)
        print(json.dumps(found, indent=1), flush=True)
        twins = {}
        for twin in ("filter", "position", "encore"):
            broken = run(home, given.twin_responses, seconds=120, twin=twin, **options)
            print(twin, json.dumps(broken, indent=1), flush=True)
            twins[twin] = broken["violations"]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    is_right = found["violations"] == 0 and found["failed"] == 0 and all(twins.values())
    print(json.dumps({**found, "twins": twins, "generator_mb": round(peak_mb), "passed": is_right}))
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
