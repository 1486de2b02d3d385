"""What an acknowledgement is worth with the event log in PostgreSQL: the serving process killed under load.

    python benchmarks/trust_postgres.py --cycles 100 --url postgresql://postgres@127.0.0.1/postgres

Each cycle starts `slatewise serve`, sends batches over HTTP from several connections, ends the server's sessions in the
database in some cycles, and kills the whole process group with SIGKILL at a random moment. Every other batch has no
event_id, so nothing but the log itself keeps it from being stored twice; a batch with event_ids that was not
acknowledged is sent again in the next life. Then the log is read: all that was acknowledged must be there, once, and
batches whole.

Twins put a fault into the serving process (`trust_postgres_twin.py`) and must be noticed. The database, one of its
own, is dropped at the end. Nobody cuts the database's power here: that a commit survives it is PostgreSQL's promise,
and that we ask for it (synchronous_commit, fsync) is tested in `tests/storage`.

The last line is JSON. The exit code is 1 where a promise was broken or a twin went unnoticed.
"""

import argparse
import http.client
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from trust_store import Counts

from slatewise.storage.postgres.log import PostgresEventLog

TOGETHER = 3
CONNECTIONS = 6
TWINS = ("early", "in_parts", "forgetful")
TWIN_CYCLES = 40
SCHEMA = "slatewise"
START_S = 60.0
STAMP = 8
"""Digits of a life's number in the names of its events."""


@dataclass
class Told:
    """What one life of the server said, batch by batch; a batch is named by its life, connection and number."""

    stored: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    """Not acknowledged: refused, or the server was killed before it answered."""
    refusals: int = 0


def main() -> int:
    """Run what was asked for; return the exit code."""
    asked = _arguments()
    with _database(asked.url) as url:
        counts = kills(url, asked.cycles, asked.seed)
        print(counts.line(), flush=True)
        for note in counts.notes[:10]:
            print(f"    {note}", flush=True)
    red = {}
    for twin in asked.twins:
        with _database(asked.url) as url:
            found = kills(url, asked.twin_cycles, asked.seed, twin)
        red[twin] = found.is_red
        print(f"twin {twin}: {'red' if found.is_red else 'NOT NOTICED'} after {found.cycles} cycles", flush=True)
    result = counts.told() | {"upper_bound": counts.bound, "twins_red": all(red.values()), "twins": red}
    print(json.dumps(result | {"seed": asked.seed}), flush=True)
    return int(counts.is_red or not all(red.values()))


def kills(url: str, cycles: int, seed: int, twin: str = "") -> Counts:
    """Kill the serving process *cycles* times, or, with a *twin*, until that is noticed."""
    chance = random.Random(seed)
    total, kept, told, again, read_to = Counts(), Counter[str](), Told(), set[str](), 0
    with tempfile.TemporaryDirectory(prefix="slatewise-trust-") as scratch:
        for cycle in range(cycles):
            life = _life(Path(scratch), url, f"{cycle:0{STAMP}}", twin, chance, again)
            told.stored |= life.stored
            told.unsure |= life.unsure
            again = {name for name in life.unsure if _has_id(name)} - life.stored
            with PostgresEventLog(url, SCHEMA, ("click",), read_only=True) as log:
                # Asked first: a commit that a killed process left under way may still come between two questions.
                end = log.end
                for stored in log.read(read_to, end, impressions=False):
                    kept[stored.event.request_id] += 1
                read_to = end
            total.cycles += 1
            total.acknowledged += len(life.stored)
            total.failures_told += life.refusals
            _judge(kept, told, total)
            if total.is_red:
                break
    return total


def _judge(kept: Counter[str], told: Told, total: Counts) -> None:
    whole = Counter(name.rpartition("/")[0] for name in kept)
    for name in told.stored:
        if whole[name] == 0:
            total.lost += 1
            total.notes.append(f"{name} was acknowledged and is not there")
    known = told.stored | told.unsure
    for name, count in whole.items():
        if name not in known or count < TOGETHER:
            total.phantom += 1
            total.notes.append(f"{name}: {count} of {TOGETHER} events are there, sent: {name in known}")
    for name, count in kept.items():
        if count > 1:
            total.duplicated += 1
            total.notes.append(f"{name} is there {count} times")


def _life(home: Path, url: str, life: str, twin: str, chance: random.Random, again: set[str]) -> Told:
    """Serve, load, kill; return what was answered. *again* are batches that an earlier life did not answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    begin = [str(Path(__file__).with_name("trust_postgres_twin.py")), twin] if twin else ["-m", "slatewise"]
    settings = {"SLATEWISE_STORAGE__URL": url, "SLATEWISE_STORAGE__SCHEMA": SCHEMA}
    with (home / "server.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *begin, "serve", "--home", str(home / "home"), "--port", str(port)],
            stdout=output,
            stderr=output,
            env=os.environ | settings | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
    try:
        _wait(process, port, home / "server.log")
        told, gate, ended = Told(), threading.Lock(), threading.Event()
        resent = sorted(again)
        sending = [
            threading.Thread(target=_send, args=(port, life, me, resent[me::CONNECTIONS], told, gate, ended))
            for me in range(CONNECTIONS)
        ]
        for thread in sending:
            thread.start()
        if chance.random() < 0.4:
            time.sleep(chance.uniform(0.0, 0.3))
            _hang_up(url)
        time.sleep(chance.uniform(0.02, 0.4))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    ended.set()
    for thread in sending:
        thread.join()
    return told


def _send(
    port: int, life: str, me: int, again: list[str], told: Told, gate: threading.Lock, ended: threading.Event
) -> None:
    names = iter(again)
    number = 0
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as link:
        while not ended.is_set():
            name = next(names, None)
            if name is None:
                name, number = f"{life}/{me}/{number}", number + 1
            try:
                link.request(
                    "POST", "/v1/events", json.dumps({"events": batch(name)}), {"content-type": "application/json"}
                )
                answer = link.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                with gate:
                    told.unsure.add(name)
                return
            with gate:
                if answer.status == 200:
                    told.stored.add(name)
                else:
                    told.unsure.add(name)
                    told.refusals += 1


def batch(name: str) -> list[dict[str, str]]:
    """Return the events of a batch: there whole or not at all. Their ``request_id`` names them."""
    events = [
        {"user_id": f"u{j}", "item_id": f"i{len(name) % 50}", "action": "click", "request_id": f"{name}/{j}"}
        for j in range(TOGETHER)
    ]
    return [event | {"event_id": event["request_id"]} for event in events] if _has_id(name) else events


def _has_id(name: str) -> bool:
    return int(name.rpartition("/")[2]) % 2 == 0


def _wait(process: subprocess.Popen, port: int, log: Path) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as link:
                link.request("GET", "/healthz")
                link.getresponse().read()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server does not answer:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.05)


def _hang_up(url: str) -> None:
    """End the server's sessions, as a restart of the database would."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@contextmanager
def _database(url: str):
    """Make a database and yield its url; drop it afterwards."""
    name = f"slatewise_trust_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        finally:
            db.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cycles", type=int, default=20, help="kills")
    parser.add_argument("--twin-cycles", type=int, default=TWIN_CYCLES, help="kills of each twin at most")
    parser.add_argument("--twins", type=lambda text: [t for t in text.split(",") if t], default=list(TWINS))
    parser.add_argument("--url", default="postgresql://postgres@127.0.0.1/postgres", help="may create databases there")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the last line is JSON always")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
