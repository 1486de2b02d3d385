"""Erased users are looked for in every byte of HOME: after the answer, a restart, compaction, and an older backup.

    python benchmarks/trust_erasure.py                   # 20 users, two workers; about a minute
    python benchmarks/trust_erasure.py --users 200

A real server with two workers writes its JSON log into HOME. Users with names that occur nowhere else are described, do
things, are shown slates, stand in refused lines of an import, and are trained on. They are erased over HTTP while
others (and they themselves, until then) go on asking. Each check runs again with faults put in on purpose: without
zeros and compaction, without compaction alone, without emptying the write-ahead log, without a ledger. The last line is
JSON; the exit code is 1 where anything was found, or a twin went unnoticed. It also tells what zeros cost, as events
per second with them and without, and how fast a file is compacted.
"""

import argparse
import base64
import hashlib
import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import httpx

from slatewise.domain.events import Interaction, UserChange
from slatewise.domain.settings import Settings
from slatewise.storage import schema
from slatewise.storage.log import SqliteEventLog
from slatewise.testing.worlds import batched, walkers
from slatewise.wiring import backup_job
from slatewise.wiring.backup_job import back_up, restore
from slatewise.wiring.home import Home
from slatewise.wiring.ledger import LEDGER
from slatewise.wiring.verify_job import rebuild_home, verify_home

SPECTRAL = {"training.deep": "off", "training.dim": 16}
TIMED = 20_000


class World:
    """A HOME with canaries in it, and a backup of it from before they are erased."""

    def __init__(self, folder: Path, users: int) -> None:
        self.home, self.archive = folder / "home", folder / "before.tar"
        self.canaries = [f"canary-{secrets.token_hex(8)}" for _ in range(users)]
        self.tastes = [f"taste-{secrets.token_hex(8)}" for _ in range(users)]
        self.vectors: list[bytes] = []
        items, people, events = walkers()
        with Home(self.home, settings=SPECTRAL) as home:
            home.put_items(items)
            described = zip(self.canaries, self.tastes, strict=True)
            home.put_users([*people, *(UserChange(at=1.0, user_id=c, attributes={"taste": t}) for c, t in described)])
            for batch in batched(events, 1000):
                home.record(batch)
            for step in range(30):
                home.record([_did(canary, step) for canary in self.canaries])
            bad = folder / "bad.csv"
            bad.write_text("user_id,item_id,action,timestamp\n" + "".join(f"{c},i,click,no\n" for c in self.canaries))
            home.import_data(bad)
            home.train()
            for canary in self.canaries:
                home.recommend(canary, size=5)
                state = home._users.state(canary)
                vector = home._engine.current().live.encode_user(state.history, state.attributes, {})
                self.vectors.append(vector.astype("<f4").tobytes()[:16])
            home._impressions.flush()
        back_up(self.home, self.archive, home.clock)

    def needles(self) -> list[bytes]:
        secret = bytes.fromhex((self.home / "secret").read_text())
        found = list(self.vectors)
        for word in (*self.canaries, *self.tastes):
            raw = word.encode()
            found += [raw, raw.hex().encode(), word.encode("utf-16-le")]
            found += [base64.b64encode(b"\0" * shift + raw)[4 : len(raw) * 4 // 3 - 4] for shift in range(3)]
            digests = [hashlib.new(name, raw) for name in ("md5", "sha256", "blake2b")]
            digests.append(hashlib.blake2b(raw, digest_size=16, key=secret))
            found += [d.digest()[:16] for d in digests] + [d.hexdigest()[:32].encode() for d in digests]
        return found

    def hits(self, folder: Path) -> int:
        """Return how many of all needles are in any file of *folder*."""
        whole = b"\0\xff".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
        return sum(needle in whole for needle in self.needles())


def _did(canary: str, step: int) -> Interaction:
    return Interaction(
        user_id=canary, item_id=f"c{step % 4}-{step % 9}", action="click", at=1e6 + step, event_id=f"{canary}/{step}"
    )


@contextmanager
def serving(home: Path):
    """Run a server with two workers; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "slatewise", "serve", "--home", str(home), "--port", str(port), "--workers", "2"]
    options = ["--set", "http.log=json", "--set", "http.access_log=true"]
    with (home / "server.log").open("ab") as output:
        process = subprocess.Popen([*command, *options], stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def traffic(url: str, users: list[str], stop: threading.Event) -> None:
    """Ask for slates, and click on them, until told to stop."""
    with httpx.Client(base_url=url, timeout=20) as http:
        number = 0
        while not stop.is_set():
            number += 1
            told = http.get(f"/v1/recommendations/{users[number % len(users)]}?size=5").json()
            if number % 3 == 0 and told.get("items"):
                click = {"user_id": "u1", "item_id": told["items"][0]["item_id"], "request_id": told["request_id"]}
                http.post("/v1/events", json={"events": [click]})


def over_http(world: World) -> dict[str, object]:
    """Erase everybody while all workers are asked; return what was found when, and how long an erasure took."""
    home, took = world.home, []
    with serving(home) as url, httpx.Client(base_url=url, timeout=60) as http:
        stop, asked = threading.Event(), list(world.canaries)
        threads = [threading.Thread(target=traffic, args=(url, users, stop)) for users in (["u1", "u2", "u3"], asked)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        for canary in world.canaries:
            exported = http.get(f"/v1/users/{canary}/export").json()
            assert len(exported["interactions"]) >= 30, exported
            asked[asked.index(canary)] = "u4"
            time.sleep(0.05)  # what was asked before has its answer
            began = time.perf_counter()
            receipt = http.delete(f"/v1/users/{canary}")
            took.append((time.perf_counter() - began) * 1000)
            assert receipt.status_code == 200, receipt.text
            assert receipt.json()["interactions"] >= 30, receipt.text
        found = {"erased": world.hits(home)}
        stop.set()
        for thread in threads:
            thread.join()
    found["stopped"] = world.hits(home)
    with Home(home, settings=SPECTRAL):
        found["restarted"] = world.hits(home)
    return found | _later(world) | {"erase_ms_median": sorted(took)[len(took) // 2], "erase_ms_most": max(took)}


def _later(world: World) -> dict[str, int]:
    rebuild_home(world.home, Settings())
    found = {"compacted": world.hits(world.home)}
    restored = world.home.with_name("restored")
    report = restore(world.archive, restored, world.home / LEDGER)
    found |= {"restored": world.hits(restored), "not_restored": report.erased}
    found["damage"] = sum(len(f.damage) for folder in (world.home, restored) for f in verify_home(folder, Settings()))
    return found


def twin(users: int, *broken) -> bool:
    """Return whether the fault is noticed, in one process."""
    with tempfile.TemporaryDirectory(prefix="slatewise-erasure-") as scratch:
        world = World(Path(scratch), users)
        with ExitStack() as faults:
            for fault in broken:
                faults.enter_context(fault)
            with Home(world.home, settings=SPECTRAL) as home:
                for canary in world.canaries:
                    home.delete_user(canary)
                found = world.hits(world.home)
            return bool(found or _later(world)["restored"])


def events_per_s(*, zeros: bool) -> tuple[float, float]:
    """Return how many events a second are appended, in batches of 100, in processor time: the disk is left out.

    And how many MB a second are compacted, disk included.
    """
    word = "ON" if zeros else "OFF"
    with (
        tempfile.TemporaryDirectory(prefix="slatewise-erasure-") as scratch,
        patch.object(schema, "secure", lambda db: db.execute(f"PRAGMA secure_delete = {word}").fetchone()),
        SqliteEventLog(Path(scratch, "log.sqlite"), Settings().action_names) as log,
    ):
        batches = [
            [
                Interaction(user_id=secrets.token_hex(8), item_id=f"i{n}", action="click", at=1.0, event_id=f"{lo} {n}")
                for n in range(100)
            ]
            for lo in range(TIMED // 100)
        ]
        began = time.process_time()
        for batch in batches:
            log.append(batch)
        rate = TIMED / (time.process_time() - began)
        log.empty()
        began = time.perf_counter()
        log.compact()
        log.empty()
        return rate, log.path.stat().st_size / 1e6 / (time.perf_counter() - began)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the last line is JSON always")
    asked = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="slatewise-erasure-"))
    try:
        world = World(scratch, asked.users)
        before, needles = world.hits(world.home), len(world.needles())
        found = over_http(world)
    finally:
        shutil.rmtree(scratch)
    no_zeros = patch.object(schema, "secure", lambda db: db.execute("PRAGMA secure_delete = OFF"))
    red = {
        "without_zeros": twin(3, no_zeros, patch.object(schema, "compact")),
        # Which rows move depends on the names, which are random: in some worlds none does.
        "without_compaction": any(twin(40, patch.object(schema, "compact")) for _ in range(8)),
        "without_emptying": twin(3, patch.object(SqliteEventLog, "empty", lambda self: True)),
        "without_ledger": twin(3, patch.object(backup_job, "_erase", lambda *_: 0)),
    }
    times = ("erased", "stopped", "restarted", "compacted", "restored")
    rates = {
        name: [events_per_s(zeros=zeros) for _ in range(3)] for name, zeros in (("with", True), ("without", False))
    }
    result = {
        "users": asked.users,
        "needles": needles,
        "hits_before": before,
        "hits": sum(int(found[name]) for name in times),
        **found,
        "twins_red": all(red.values()),
        "twins": red,
        "events_per_cpu_s_with_zeros": round(max(rates["with"])[0]),
        "events_per_cpu_s_without": round(max(rates["without"])[0]),
        "compacted_mb_per_s": round(sorted(mb for _, mb in rates["with"])[1], 1),
    }
    for name in times:
        print(f"{name:10} {found[name]} of {needles} needles found")
    print(json.dumps(result))
    return int(bool(result["hits"] or found["damage"] or not before) or not all(red.values()))


if __name__ == "__main__":
    sys.exit(main())
