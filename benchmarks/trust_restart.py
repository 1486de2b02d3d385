"""A server killed with kill -9 is ready again in time, and not before it has folded all that was acknowledged.

    python benchmarks/large_home.py --home H
    python benchmarks/trust_restart.py --home H --tail 1000000 --cycles 3

Events of known users are recorded until the log holds `--tail` of them behind what the live bundle was trained on: all
of these are folded at each start. Then, `--cycles` times: a server is started, events are posted to it, it is killed in
the middle of that, started again and asked until `/readyz` says 200. The first answer after that must name a log
position that holds every acknowledged event. Time counts from the start of the process; processor time is told beside
it, for machines that others use too.

The last line is JSON; the exit code is 1 where it took longer than `--limit-s`, or anything was missing. Linux only.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from trust_soak import processor_ms

from slatewise.domain.events import Interaction
from slatewise.wiring.home import Home

BATCH = 10_000
POSTS = 40
"""Events posted one by one before a kill; the last one is still on its way."""
PATIENCE_S = 600.0


def lengthen(path: Path, tail: int) -> int:
    """Record events until *tail* lie behind the live bundle's training; return how many do."""
    rng = np.random.default_rng(5)
    with Home(path) as home:
        _ = home.live_bundle
        behind = home._log.end - home._engine.current().schema.trained_to
        items = home.catalogue.ids(np.flatnonzero(home.catalogue.available)[:100_000])
        while behind < tail:
            size, at = min(BATCH, tail - behind), home.clock.now()
            chosen, users = rng.integers(0, len(items), size), rng.integers(0, 100_000, size)
            home.record(
                [
                    Interaction(user_id=f"u{user}", item_id=items[item], action="click", at=at)
                    for user, item in zip(users.tolist(), chosen.tolist(), strict=True)
                ]
            )
            behind += size
        return behind


@contextmanager
def server(home: Path):
    """Start a server and yield its process and address; killed at the end, if it lives."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "slatewise", "serve", "--home", str(home), "--port", str(port)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def asked(url: str, body: object = None) -> tuple[int, dict]:
    """Return status and body; status 0 where nobody listens."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, {}
    except OSError:
        return 0, {}


def until_ready(process: subprocess.Popen, url: str) -> dict:
    """Return the wall and processor seconds that a server takes from its start until it is ready."""
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE_S and process.poll() is None:
        if asked(f"{url}/readyz")[0] == 200:
            return {"s": round(time.monotonic() - begun, 2), "cpu_s": round(processor_ms(process.pid) / 1000.0, 2)}
        time.sleep(0.05)
    raise SystemExit(f"never ready (exit code {process.returncode})")


def cycle(home: Path, seed: int) -> tuple[dict, list[str]]:
    """Kill a server while it is written to, start it again; return how long that took, and what was wrong."""
    acknowledged = 0
    with server(home) as (process, url):
        until_ready(process, url)
        items = [item["item_id"] for item in asked(f"{url}/v1/recommendations/u1?size=20")[1]["items"]]
        for number in range(POSTS):
            event = {"user_id": f"u{number}", "item_id": items[number % len(items)], "action": "click"}
            status, told = asked(f"{url}/v1/events", {"events": [event | {"event_id": f"restart-{seed}-{number}"}]})
            if status // 100 == 2:
                acknowledged = max(acknowledged, told["version"])
        process.kill()
        process.wait()
    with server(home) as (process, url):
        took = until_ready(process, url)
        status, told = asked(f"{url}/v1/recommendations/u1?size=10")
        wrong = [] if status == 200 and told["items"] else [f"the first answer was {status}"]
        if told.get("as_of", 0) < acknowledged:
            wrong.append(f"ready at {told.get('as_of')}, with {acknowledged} acknowledged")
    return took, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--tail", type=int, default=1_000_000)
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--limit-s", type=float, default=30.0)
    given = parser.parse_args()
    behind = lengthen(given.home, given.tail)
    with Home(given.home) as home:
        items = len(home.catalogue)
    run = time.time_ns()
    cycles = [cycle(given.home, run + number) for number in range(given.cycles)]
    wrong = [problem for _, problems in cycles for problem in problems]
    slowest = max(took["s"] for took, _ in cycles)
    if slowest > given.limit_s:
        wrong.append(f"ready after {slowest} s, {given.limit_s:.0f} allowed")
    print(json.dumps({"items": items, "tail": behind, "ready": [took for took, _ in cycles], "wrong": wrong}))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
