"""The uncached request in process: CPU per stage and in total, against the bare native calls measured alone.

    python benchmarks/serving_uncached.py --folder F [--items 1000000] [--rounds 20] [--set NAME=VALUE]

One request is: JSON body -> query -> user state -> user tower -> index -> filters -> features -> ranker -> re-ranking
-> JSON answer, for a known user with 50 interactions and 100 candidates. The floor is what the same requests handed
to the user tower's graph, the index kernel and the ranker's graph, called again and alone. Requests and bare calls
take turns in blocks, so that a busy machine is busy for both; a figure is the median over a block, the median of
blocks. All times are CPU milliseconds of the thread that answers; ``process_cpu_ms`` has what other threads did
beside it.
"""

import argparse
import json
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import onnx
from serving_home import HISTORY, built

from slatewise.cli.options import pairs
from slatewise.http.encoding import json_bytes
from slatewise.index import ivf
from slatewise.models.sessions import OnnxSession
from slatewise.telemetry.clock import SystemClock
from slatewise.wiring.home import Home

CANDIDATES = 100
ASKED = 200
"""Different users whose requests are measured."""
FIRST, LAST = 0, 20_000
"""The users who are looked through."""
BLOCK = 50
WARM = 60
CASCADE = {
    "cache.max_bytes": 0,
    "telemetry.impressions": "off",
    # Towers, an index and a ranker over exactly 100 candidates: what the bare calls and other stacks do as well.
    "retrieval.two_tower": CANDIDATES,
    "retrieval.item_to_item": 0,
    "retrieval.trending": 0,
    "retrieval.new_arrivals": 0,
    "ranking.limit": CANDIDATES,
    # Time is of this thread, and a deadline is not what is measured.
    "serving.deadline_ms": 60_000.0,
}
TABLES = ("Gather", "GatherND", "GatherElements")


class CpuClock(SystemClock):
    """Tells how long this thread ran in place of how long it has been."""

    def elapsed_ms(self):
        return time.thread_time() * 1000.0


def asked_users(home, size=ASKED):
    """Return users with `HISTORY` interactions or a few more, the same ones every time."""
    found = []
    for number in range(FIRST, LAST):
        if HISTORY <= len(home._users.state(f"u{number}").history) <= 1.2 * HISTORY:
            found.append(f"u{number}")
        if len(found) == size:
            break
    return found


def answered(home, body):
    """Take one request from its bytes to the bytes of its answer."""
    sent = msgspec.json.decode(body)
    return json_bytes(home.recommend(sent["user_id"], size=sent["size"]))


def bodies_of(users):
    return [json.dumps({"user_id": user, "size": 10}).encode() for user in users]


class Noted:
    """Stands for a module of functions and notes what one of them was given."""

    def __init__(self, module, name, notes):
        self._module, self._name, self._notes = module, name, notes

    def __getattr__(self, name):
        called = getattr(self._module, name)
        if name != self._name:
            return called

        def noting(*given):
            self._notes.append(given)
            return called(*given)

        return noting


@contextmanager
def native_calls():
    """Note what is handed to graphs and to the index kernel, by session and as plain arguments."""
    runs, searches = [], []
    run, kernel = OnnxSession.run, ivf.kernel

    def noting(session, **inputs):
        runs.append((session, inputs))
        return run(session, **inputs)

    OnnxSession.run, ivf.kernel = noting, Noted(kernel, "search", searches)
    try:
        yield runs, searches
    finally:
        OnnxSession.run, ivf.kernel = run, kernel


def bare(home, bodies):
    """Return the native calls of these requests by name, each as functions without anything around them."""
    with native_calls() as (runs, searches):
        for body in bodies:
            answered(home, body)
    calls = {"user_tower": [], "index": [], "ranker": []}
    for session, inputs in runs:
        fed = {name: np.ascontiguousarray(value) for name, value in inputs.items() if name in session.inputs}
        name = "ranker" if "feature" in inputs else "user_tower"
        calls[name].append(lambda run=session._session.run, fed=fed: run(None, fed))
    search = ivf.kernel.search
    calls["index"] = [lambda given=given: search(*given) for given in searches]
    shapes = {tuple(inputs["feature"].shape) for _, inputs in runs if "feature" in inputs}
    steps = {inputs["item"].shape[1] for _, inputs in runs}
    return calls, shapes, steps


def native_within(home, bodies):
    """Return the median CPU milliseconds of all native calls of a request where they stand: with cold caches."""
    sums, run, kernel = [], OnnxSession.run, ivf.kernel
    spent = [0.0]

    def timed(call):
        def timing(*given, **named):
            start = time.thread_time()
            try:
                return call(*given, **named)
            finally:
                spent[0] += (time.thread_time() - start) * 1000.0

        return timing

    OnnxSession.run, ivf.kernel = timed(run), SimpleNamespace(search=timed(kernel.search))
    try:
        for body in bodies:
            spent[0] = 0.0
            answered(home, body)
            sums.append(spent[0])
    finally:
        OnnxSession.run, ivf.kernel = run, kernel
    return float(np.median(sums))


def spent_ms(call):
    start = time.thread_time()
    call()
    return (time.thread_time() - start) * 1000.0


def taking_turns(parts, rounds):
    """Return per part the medians of its blocks, ``(rounds,)`` each; the parts take turns, block by block."""
    medians, at = {name: [] for name in parts}, 0
    for _ in range(rounds):
        for name, calls in parts.items():
            medians[name].append(np.median([spent_ms(calls[(at + i) % len(calls)]) for i in range(BLOCK)]))
        at += BLOCK
    return {name: np.array(values) for name, values in medians.items()}


def dense_parameters(graph):
    """Return the numbers of a graph's matrices and biases, tables of embeddings left out."""
    model = onnx.load(str(graph)).graph
    tables = {node.input[0] for node in model.node if node.op_type in TABLES}
    return sum(int(np.prod(i.dims)) for i in model.initializer if i.name not in tables and i.dims and i.data_type == 1)


def recall(home, vectors, calls, k=100):
    """Return the share of the true *k* best that the index finds, at its own number of probes, over these queries."""
    index, found = home._engine.current().live.index, []
    for query in calls:
        scores = vectors @ query
        rows, _ = index.search(query, k)
        worst = np.partition(scores, -k)[-k]
        found.append(np.count_nonzero(scores[rows] >= worst - 1e-6) / k)
    return float(np.mean(found))


def stages(home, bodies):
    """Return median CPU milliseconds by stage, and around them: to parse, to name the items, to write JSON."""
    kept = []
    for body in bodies:
        start = time.thread_time()
        sent = msgspec.json.decode(body)
        parsed = time.thread_time()
        answer = home.recommend(sent["user_id"], size=sent["size"])
        done = time.thread_time()
        json_bytes(answer)
        written = time.thread_time()
        spent = dict(answer.timing_ms)
        total = spent.pop("total")
        around = (done - parsed) * 1000.0 - total
        extra = {"between": total - sum(spent.values()), "answer": around}
        kept.append({"parse": (parsed - start) * 1000.0, **spent, **extra, "serialise": (written - done) * 1000.0})
    return {name: round(float(np.median([one[name] for one in kept])), 4) for name in kept[0]}


def measured(home, rounds):
    """Return the measurement of an opened home."""
    bodies = bodies_of(asked_users(home))
    for body in bodies[:WARM]:
        answered(home, body)
    calls, shapes, steps = bare(home, bodies)
    parts = {"request": [lambda body=body: answered(home, body) for body in bodies], **calls}
    taking_turns(parts, 1)
    medians = taking_turns(parts, rounds)
    floor = sum(medians[name] for name in calls)
    whole = time.process_time()
    for body in bodies:
        answered(home, body)
    whole = (time.process_time() - whole) / len(bodies) * 1000.0
    return {
        "cpu_ms": round(float(np.median(medians["request"])), 4),
        "native_floor_ms": round(float(np.median(floor)), 4),
        "ratio": round(float(np.median(medians["request"] / floor)), 3),
        "ratio_of_blocks": np.percentile(medians["request"] / floor, [10, 90]).round(3).tolist(),
        "native_ms": {name: round(float(np.median(medians[name])), 4) for name in calls},
        "native_within_requests_ms": round(native_within(home, bodies), 4),
        "stages_cpu_ms": stages(home, bodies),
        "process_cpu_ms": round(whole, 4),
        "candidates": sorted(shape[0] for shape in shapes),
        "features": next(iter(shapes))[1],
        "history": sorted(steps),
    }


def measure(home, *, rounds=20, settings=()):
    """Measure the HOME folder *home*, made by `serving_home`; *settings* as of ``--set`` come on top."""
    overrides = [f"{name}={value}" for name, value in CASCADE.items()]
    with opened(home, [*overrides, *settings]) as live:
        told = measured(live, rounds)
        bundle = live.folders.bundles / live.live_bundle
        vectors = np.load(bundle / "item_vectors.npy", mmap_mode="r")
        with native_calls() as (_, searches):
            for body in bodies_of(asked_users(live)):
                answered(live, body)
        told["recall@100"] = round(recall(live, np.asarray(vectors), [given[5] for given in searches]), 4)
        told["ranker_parameters"] = dense_parameters(bundle / "ranker.onnx")
        told["ranker"] = (msgspec.json.decode((bundle / "metrics.json").read_bytes()).get("ranker") or {}).get("int8")
    return told


def opened(home, overrides):
    """Open a HOME whose stages are timed by this thread's CPU time."""
    return Home(home, settings=pairs("--set", overrides), clock=CpuClock())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    given = parser.parse_args()
    print(json.dumps(measure(built(given.folder, given.items)[0], rounds=given.rounds, settings=given.set)))


if __name__ == "__main__":
    main()
