"""Promise: serving costs little more than the native calls in it, far less than the stack of a day. One run, one HOME.

    python benchmarks/serving.py --folder F [--items 1000000] [--parts a,b,c,d,e,f] [--json]

Makes the HOME in F where it is not there yet (`serving_home`: minutes, once). Parts:

a  uncached    CPU of one request in process, per stage and in total, against the bare native calls measured alone
b  load        over HTTP: capacity, open-loop latencies below it, goodput and refusals above it
c  naive       FastAPI, Redis, faiss HNSW and PyTorch over the same data: CPU per request, and ours beside it
d  cached      cached slates over HTTP against the same server answering fixed bytes
e  freshness   from an acknowledged event to the slate that reflects it
f  swaps       bundles promoted and rolled back under load

Each part is a file of its own, ``serving_*.py``, that runs alone as well. Last line: one JSON object with a key per
part.
"""

import argparse
import json
import os
import shutil
import sys
import time
from importlib import import_module
from pathlib import Path

import serving_freshness
import serving_naive
import serving_uncached
from serving_home import built

from slatewise.bundles.manifest import seal
from slatewise.bundles.registry import FolderRegistry
from slatewise.telemetry.clock import SystemClock

PARTS = "abcdef"


def optional(name):
    """Return the measurement of a sibling file, None where that file is not there."""
    there = (Path(__file__).parent / f"{name}.py").exists()
    return import_module(name).measure if there else None


def over_http(home, wanted):
    measure = optional("serving_http")
    if measure is None or not wanted & {"b", "d"}:
        return {}
    with serving_freshness.copied(home) as copy:
        told = measure(copy)
    parts = {"load": told.get("load", told.get("http")), "cached": told.get("cached")}
    return {name: part for name, part in parts.items() if ("b" if name == "load" else "d") in wanted}


def measured(home, wanted, rounds, requests):
    """Return the parts that are wanted, by name."""
    result = {}
    if "a" in wanted:
        told("a: uncached")
        result["uncached"] = serving_uncached.measure(home, rounds=rounds)
    if "c" in wanted:
        told("c: naive")
        naive = result["naive"] = serving_naive.measure(home, requests=requests)
        if "uncached" in result:
            own = result["uncached"]
            own |= {"naive_cpu_ms": naive["cpu_ms"], "naive_ratio": round(naive["cpu_ms"] / own["cpu_ms"], 2)}
    if "e" in wanted:
        told("e: freshness")
        result["freshness"] = serving_freshness.measure(home)
    if wanted & {"b", "d"}:
        told("b, d: over HTTP")
        result |= over_http(home, wanted)
    swaps = optional("serving_swaps")
    if "f" in wanted and swaps is not None:
        told("f: swaps")
        with serving_freshness.copied(home) as copy:
            add_twin(copy)
            result["swaps"] = swaps(copy)
    return result


def add_twin(home):
    """Publish the live bundle once more, under another id and behind links: there have to be two to swap."""
    registry = FolderRegistry(home / "bundles", SystemClock())
    live = registry.live()
    staged = registry.staging()
    ignored = shutil.ignore_patterns("manifest.json")
    shutil.copytree(registry.path(live), staged, ignore=ignored, copy_function=os.link, dirs_exist_ok=True)
    seal(staged, created_at=SystemClock().now(), parent=live, facts={})
    return registry.publish(staged)


def told(part):
    print(f"{time.strftime('%H:%M:%S')}  {part}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--parts", default=",".join(PARTS), help="letters of the parts to run")
    parser.add_argument("--rounds", type=int, default=20, help="turns of requests and bare calls, 50 of each")
    parser.add_argument("--requests", type=int, default=300, help="requests per turn over HTTP, part c")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    given = parser.parse_args()
    wanted = set(given.parts.replace(",", ""))
    if not wanted or wanted - set(PARTS):
        parser.error(f"--parts {given.parts}: expected letters out of {','.join(PARTS)}")
    home, _ = built(given.folder, given.items)
    before = os.getloadavg()[0]
    result = {"items": given.items, **measured(home, wanted, given.rounds, given.requests)}
    # CPU times on a busy machine hold what others do to the caches: the reader has to know.
    result["machine"] = {"cores": os.cpu_count(), "load_before": round(before, 1), "load": round(os.getloadavg()[0], 1)}
    if not given.json:
        print(json.dumps(result, indent=2))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
