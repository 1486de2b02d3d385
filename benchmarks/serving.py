"""Promise: serving costs little more than the native calls in it, far less than the stack of a day. One run.

    python benchmarks/serving.py [--items 1000000] [--folder F] [--only a,b,c,d,e,f] [--json]

Makes the HOME in F where it is not there yet (`serving_home`: minutes, once). Parts:

a  uncached    CPU of one request in process, per stage and in total, against the bare native calls measured alone
b  load        over HTTP: capacity, open-loop latencies below it, goodput and refusals above it
c  naive       FastAPI, Redis, faiss HNSW and PyTorch over the same data: CPU per request, and ours beside it
d  cached      cached slates over HTTP against the same server answering fixed bytes
e  freshness   from an acknowledged event to the slate that reflects it
f  swaps       bundles promoted and rolled back under load, in a small world whose two bundles answer differently

Each part is a file of its own, ``serving_*.py``, that runs alone as well. A part that fails says so in its place and
the others run all the same; the exit code is 1 then. Last line: one JSON object with a key per part.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

import serving_freshness
import serving_history
import serving_http
import serving_naive
import serving_swaps
import serving_uncached
from serving_home import built

PARTS = {"a": "uncached", "c": "naive", "e": "freshness", "b": "load", "d": "cached", "f": "swaps"}
"""In the order they run: what is compared with each other runs next to each other."""
SECONDS = 8.0
"""Of each run over HTTP; a cached one takes half of it."""


def load(home):
    with serving_freshness.copied(home) as copy:
        return serving_http.loaded(copy, SECONDS, (), 0, serving_http.DEFAULT_MIX, serving_http.LOADS)


def cached(home):
    with serving_freshness.copied(home) as copy:
        return serving_http.cached(copy, SECONDS / 2, (), 0)


def swaps(swaps):
    with tempfile.TemporaryDirectory() as scratch:
        return serving_swaps.measure(serving_history.prepared(Path(scratch) / "home"), swaps)


def measured(home, wanted, given):
    """Return the parts that are wanted, by name."""
    runs = {
        "a": lambda: serving_uncached.measure(home, rounds=given.rounds),
        "c": lambda: serving_naive.measure(home, requests=given.requests),
        "e": lambda: serving_freshness.measure(home),
        "b": lambda: load(home),
        "d": lambda: cached(home),
        "f": lambda: swaps(given.swaps),
    }
    result = {}
    for letter, name in PARTS.items():
        if letter not in wanted:
            continue
        start = time.monotonic()
        told(f"{letter}: {name} ...")
        try:
            result[name] = runs[letter]()
        except (Exception, SystemExit) as error:  # noqa: BLE001  one part lost, not all
            traceback.print_exc()
            result[name] = {"failed": f"{type(error).__name__}: {error}"}
        told(f"{letter}: {name} took {time.monotonic() - start:.0f} s  {json.dumps(result[name])}")
    compared(result.get("uncached", {}), result.get("naive", {}))
    return result


def compared(uncached, naive):
    """Add to *uncached* what the *naive* stack costs beside it, where both were measured."""
    if "cpu_ms" in uncached and "cpu_ms" in naive:
        ratio = naive["cpu_ms"] / uncached["cpu_ms"]
        uncached |= {"naive_cpu_ms": naive["cpu_ms"], "naive_ratio": round(ratio, 2)}


def told(part):
    print(f"{time.strftime('%H:%M:%S')}  {part}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the HOME is or is to be; by default a temporary place")
    parser.add_argument("--only", default=",".join(PARTS), help="letters of the parts to run")
    parser.add_argument("--rounds", type=int, default=20, help="turns of requests and bare calls, 50 of each, part a")
    parser.add_argument("--requests", type=int, default=300, help="requests per turn over HTTP, part c")
    parser.add_argument("--swaps", type=int, default=100, help="part f")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    given = parser.parse_args()
    wanted = set(given.only.replace(",", ""))
    if not wanted or wanted - set(PARTS):
        parser.error(f"--only {given.only}: expected letters out of {','.join(sorted(PARTS))}")
    # Kept between runs: a HOME of a million items takes longer to make than to measure.
    folder = given.folder or Path(tempfile.gettempdir()) / f"slatewise-serving-{given.items}"
    home, _ = built(folder, given.items)
    before = os.getloadavg()[0]
    result = {"items": given.items, **measured(home, wanted, given)}
    # CPU times on a busy machine hold what others do to the caches: the reader has to know.
    result["machine"] = {"cores": os.cpu_count(), "load_before": round(before, 1), "load": round(os.getloadavg()[0], 1)}
    if not given.json:
        print(json.dumps(result, indent=2))
    print(json.dumps(result))
    # Swaps count what failed; a text is a whole part's.
    is_whole = not any(isinstance(result[name].get("failed"), str) for name in PARTS.values() if name in result)
    sys.exit(0 if is_whole else 1)


if __name__ == "__main__":
    main()
