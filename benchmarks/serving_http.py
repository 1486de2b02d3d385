"""Promise: over HTTP, open loop, an overloaded server does as much as one at its limit, and refuses the rest at once.

    python benchmarks/serving_http.py --home HOME [--seconds 8] [--set NAME=VALUE]

HOME needs a live bundle; it is copied first and left as it was. The server has all cores but the last, which sends the
requests. Last line: one JSON object.

``http``: capacity (closed loop), then open-loop runs at shares of it. ``goodput_per_s`` counts answers of 200 within
the deadline, ``cpu_share`` compares it with capacity for the same processor time, latencies run from when a request was
due, ``rejects_p99_ms`` is of the answers of 503.
``cached``: the same few slates again and again, against the same server answering fixed bytes, turn by turn; ``share``
compares processor time per request. ``impressions_lost`` says how many slates were not logged: each costs, so none may
be left out.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from serving_process import cores, served

from slatewise.load.apart import measure_apart
from slatewise.load.known import made_up_users, prepare
from slatewise.load.outcome import REJECTED
from slatewise.load.plan import DEFAULT_MIX, KINDS, SLATES, Plan

BENCHMARKS = Path(__file__).parent
LOADS = (0.3, 0.6, 0.9, 3.0, 10.0)
CONNECTIONS = 8
"""At once while capacity is measured: enough to keep a server busy, too few to be refused."""
DEADLINE_MS = 200.0
WARMUP_S = 2.0
CACHED_USERS = 32
TURNS = 3


def measure(home, *, seconds=8.0, overrides=(), workers=0, mix=DEFAULT_MIX, loads=LOADS):
    """Return both parts for a HOME, which gets the events that are sent. *overrides* as of ``serve --set``."""
    return {
        "http": loaded(home, seconds, overrides, workers, mix, loads),
        "cached": cached(home, seconds / 2, overrides, workers),
    }


def serving(home, overrides, workers):
    arguments = ["-m", "slatewise", "serve", "--home", str(home)]
    for override in overrides:
        arguments += ["--set", override]
    return served([*arguments, *(["--workers", str(workers)] if workers else [])], cores()[1])


def loaded(home, seconds, overrides, workers, mix, loads):
    """Return capacity, and what became of each share of it."""
    cpu = cores()[0]
    with serving(home, overrides, workers) as server:
        base = f"b{os.getpid()}"
        first = Plan(url=server.url, rate=1.0, duration_s=1.0, name=base, mix=mix)
        known = prepare(first)
        users = made_up_users(first)
        asked = {"url": server.url, "mix": dict(mix), "users": users, "items": known.items, "cpu": cpu}
        capacity = priced(
            server,
            {**asked, "name": f"{base}-c", "seconds": seconds, "warmup_s": WARMUP_S, "connections": CONNECTIONS},
        )
        runs = {}
        for load in loads:
            plan = Plan(
                url=server.url, rate=max(1.0, load * capacity["per_s"]), duration_s=seconds, name=f"{base}-{load:g}",
                mix=mix, user_ids=users, cpu=cpu, warmup_s=WARMUP_S,
            )  # fmt: skip
            before = server.cpu_s()
            result = measure_apart(plan, known)
            runs[f"{load:g}"] = told(result, load, capacity, server.cpu_s() - before)
            print(f"{load:>4g} x  {json.dumps(runs[f'{load:g}'])}", file=sys.stderr, flush=True)
    return {"capacity": capacity, "deadline_ms": DEADLINE_MS, "loads": runs}


def told(result, load, capacity, cpu_s):
    """Return the figures of one open-loop run, in which the server used *cpu_s*, the warm-up included."""
    samples = result.samples
    slates = np.isin(samples.kind, [KINDS.index(name) for name in SLATES])
    good = samples.is_ok & (samples.latency_s * 1000.0 <= DEADLINE_MS)
    rejects = samples.latency_s[samples.status == REJECTED] * 1000.0
    answered = samples.latency_s[samples.is_ok] * 1000.0
    figures = result.figures()
    per_s = good.sum() / result.seconds
    per_cpu_s = per_s * (result.seconds + WARMUP_S) / max(cpu_s, 1e-9)
    return {
        "rate": round(result.rate, 1),
        "goodput_per_s": round(float(per_s), 1),
        "goodput_share": round(float(per_s / (min(load, 1.0) * capacity["per_s"])), 3),
        "goodput_per_cpu_s": round(float(per_cpu_s), 1),
        "cpu_share": round(float(per_cpu_s * capacity["cpu_us"] / 1e6), 3),
        "slates_per_s": round(float((good & slates).sum() / result.seconds), 1),
        "p50_ms": percentile(answered, 50),
        "p99_ms": percentile(answered, 99),
        "p99.9_ms": percentile(answered, 99.9),
        "slates_p99_ms": percentile(samples.latency_s[samples.is_ok & slates] * 1000.0, 99),
        "rejected": len(rejects),
        "rejects_p50_ms": percentile(rejects, 50),
        "rejects_p99_ms": percentile(rejects, 99),
        "errors": dict(figures.errors),
        "cached": round(figures.cached, 3),
        "degraded": round(figures.degraded, 3),
        "generator": result.why,
    }


def percentile(values, which):
    return round(float(np.percentile(values, which)), 2) if len(values) else None


def cached(home, seconds, overrides, workers):
    """Return throughput and processor time per request of cached slates and of fixed bytes."""
    cpu, server_cpus = cores()
    turns = {"cached": [], "bare": []}
    with serving(home, overrides, workers) as server:
        plan = Plan(
            url=server.url, rate=1.0, duration_s=1.0, name=f"k{os.getpid()}", mix={"returning": 1.0}, users=CACHED_USERS
        )
        known = prepare(plan)
        asked = {
            "mix": plan.mix, "users": made_up_users(plan), "items": known.items, "cpu": cpu, "name": plan.name,
            "seconds": seconds / TURNS, "warmup_s": 0.5, "connections": CONNECTIONS,
        }  # fmt: skip
        size = len(server.text(f"/v1/recommendations/{asked['users'][0]}"))
        bare = [str(BENCHMARKS / "bare_server.py")]
        with served(bare, server_cpus, ready="/", port_flag=(), after=[str(size)]) as fixed:
            for _ in range(TURNS):
                for name, target in (("cached", server), ("bare", fixed)):
                    turns[name].append(priced(target, {**asked, "url": target.url}))
        lost = counted(server, "slatewise_impressions_dropped_total")
    found = {name: {key: median(turn[key] for turn in taken) for key in taken[0]} for name, taken in turns.items()}
    return {
        **found,
        "share": round(found["bare"]["cpu_us"] / found["cached"]["cpu_us"], 3),
        "throughput_share": round(found["cached"]["per_s"] / found["bare"]["per_s"], 3),
        "impressions_lost": lost,
    }


def counted(server, metric):
    """Return what a counter of the server says, all its labels together."""
    lines = server.text("/metrics").splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{metric} ", f"{metric}{{")))


def priced(server, asked):
    """Return what a closed loop found, with the processor time that the server took for each answer."""
    before = server.cpu_s()
    found = closed(asked)
    whole_s = asked["seconds"] + asked["warmup_s"]
    return {**found, "cpu_us": round((server.cpu_s() - before) / max(1.0, found["per_s"] * whole_s) * 1e6, 1)}


def closed(asked):
    child = subprocess.run(
        [sys.executable, str(BENCHMARKS / "closed_loop.py")], input=json.dumps(asked), stdout=subprocess.PIPE,
        text=True, check=True,
    )  # fmt: skip
    return json.loads(child.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each open-loop run")
    parser.add_argument("--loads", type=float, nargs="+", default=LOADS, help="shares of capacity to ask for")
    parser.add_argument("--workers", type=int, default=0, help="processes of the server; 0: as by default")
    parser.add_argument("--part", choices=("both", "http", "cached"), default="both")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(shutil.copytree(given.home, Path(scratch) / "home"))
        if given.part == "both":
            found = measure(home, seconds=given.seconds, overrides=given.set, workers=given.workers, loads=given.loads)
        elif given.part == "http":
            found = {"http": loaded(home, given.seconds, given.set, given.workers, DEFAULT_MIX, given.loads)}
        else:
            found = {"cached": cached(home, given.seconds, given.set, given.workers)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
