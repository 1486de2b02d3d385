"""The stack that is put together in a day: FastAPI, Redis, faiss HNSW, PyTorch; its CPU per request, over HTTP.

    python benchmarks/serving_naive.py --folder F [--items 1000000] [--requests 300] [--redis redis://127.0.0.1:6379/0]

Over the HOME of `serving_home`: the same item vectors, users' histories, features (by the product's own code, so that
these cost both the same) and network shapes, history 50, 100 candidates. The networks' weights are random: what a
layer costs does not depend on them. So that the graph is asked what towers ask, the vector that is searched with is
the one that the bundle's tower made of that user before the run; the torch tower runs all the same. The graph's
`efSearch` is the smallest of a few that reach recall@100 of .95 on those vectors.

What is counted is the processor time of the server's process (Redis' own comes on top and is not counted), and turn
by turn that of `slatewise serve` over the same HOME, asked by the same client, without its result cache.
"""

import argparse
import http.client
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from serving_home import HISTORY, built
from serving_process import cores, served
from serving_uncached import CANDIDATES, CASCADE, asked_users, bodies_of, native_calls, opened

EF = (32, 64, 96, 128, 192, 256, 384, 512, 768)
RECALL = 0.95
LINKS, CONSTRUCTION = 16, 100
WARM = 60
TURNS = 3
PATH = "/v1/recommendations"
REDIS = "redis://127.0.0.1:6379/0"
KEYS = "slatewise-bench"


def prepared(home, redis_url):
    """Write histories to Redis and the graph and the queries to files; return what the graph reaches."""
    import faiss
    import redis

    with opened(home, [f"{name}={value}" for name, value in CASCADE.items()]) as live:
        users, bundle = asked_users(live), live.folders.bundles / live.live_bundle
        store = redis.Redis.from_url(redis_url)
        with native_calls() as (_, searches):
            for user in users:
                live.recommend(user)
        queries = np.stack([given[5] for given in searches])
        for user in users:
            history = live._users.state(user).history
            events = zip(live.catalogue.ids(history.row), history.action.tolist(), history.at.tolist(), strict=True)
            store.delete(f"{KEYS}:{user}")
            store.rpush(f"{KEYS}:{user}", *(json.dumps({"item_id": i, "action": a, "at": at}) for i, a, at in events))
    vectors = np.load(bundle / "item_vectors.npy")
    file = Path(home).parent / f"hnsw-{bundle.name}.faiss"
    if not file.exists():
        faiss.omp_set_num_threads(os.cpu_count() or 1)
        graph = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = CONSTRUCTION
        graph.add(vectors)
        faiss.write_index(graph, str(file))
    graph = faiss.read_index(str(file))
    faiss.omp_set_num_threads(1)
    worst = [np.partition(vectors @ query, -100)[-100] for query in queries]
    for ef in EF:
        graph.hnsw.efSearch = ef
        _, found = graph.search(queries, 100)
        reached = np.mean(
            [(vectors[rows] @ q >= w - 1e-6).mean() for rows, q, w in zip(found, queries, worst, strict=True)]
        )
        if reached >= RECALL:
            break
    np.savez(file.with_suffix(".npz"), users=np.array(users), queries=queries, ef=ef)
    return file, users, {"ef_search": ef, "recall@100": round(float(reached), 4)}


def application(home, file, redis_url):
    """Return the FastAPI application."""
    import faiss
    import redis
    import torch
    from fastapi import FastAPI
    from pydantic import BaseModel

    from slatewise.domain.candidate import Candidates
    from slatewise.domain.history import History
    from slatewise.domain.query import Query, Resolved, UserState
    from slatewise.features.sequences import as_sequence
    from slatewise.training.files import RANKER_HISTORY
    from slatewise.training.ranker_module import RankerModule
    from slatewise.training.tower_modules import UserTower
    from slatewise.wiring.bundle_files import open_schema

    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    live = opened(home, [f"{name}={value}" for name, value in CASCADE.items()])
    loaded = live._engine.current()
    schema = open_schema(live.folders.bundles / loaded.live.id)
    store = redis.Redis.from_url(redis_url)
    graph = faiss.read_index(str(file))
    known = np.load(file.with_suffix(".npz"))
    graph.hnsw.efSearch = int(known["ef"])
    query_of = dict(zip(known["users"].tolist(), known["queries"], strict=True))
    frame = loaded.recommender._stages.scorer._frame
    weights = torch.tensor([live.settings.actions[name].weight for name in schema.heads])
    tokens = loaded.live.models.requests.tokens
    actions, dim = len(schema.actions), schema.dim
    with torch.device("cpu"):
        tower = UserTower(dim, actions, schema.users.tokens, schema.history_length, 2, 2, 0.0, timed=True).eval()
        ranker = RankerModule(dim, len(schema.features), actions, tokens, len(schema.heads), 0.0, RANKER_HISTORY).eval()
    seen_actions = live.settings.seen_actions
    app = FastAPI()

    class Asked(BaseModel):
        user_id: str
        size: int = 10

    class Item(BaseModel):
        item_id: str
        score: float
        position: int

    class Told(BaseModel):
        items: list[Item]

    @app.get("/readyz")
    async def ready():
        return {"status": "ready"}

    @app.post(PATH, response_model=Told)
    async def recommend(asked: Asked):
        events = [json.loads(text) for text in store.lrange(f"{KEYS}:{asked.user_id}", 0, -1)]
        rows = live.catalogue.rows([event["item_id"] for event in events])
        history = History(
            rows, np.array([event["action"] for event in events]), np.array([event["at"] for event in events])
        )
        seen = {row for row, event in zip(rows.tolist(), events, strict=True) if event["action"] in seen_actions}
        recent = as_sequence(history, HISTORY, loaded.live._arrays.embeddings[history.row[-HISTORY:]])
        steps = [torch.from_numpy(np.ascontiguousarray(a)) for a in (recent.item, recent.action, recent.gap)]
        age, mask = torch.from_numpy(recent.age), torch.from_numpy(recent.mask)
        token, weight = torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1)
        with torch.inference_mode():
            tower(*steps, age, mask, token, weight)
        vector = query_of[asked.user_id]
        scores, found = graph.search(vector[None], CANDIDATES + len(seen))
        kept = [(r, s) for r, s in zip(found[0].tolist(), scores[0].tolist(), strict=True) if r >= 0 and r not in seen]
        at = np.array([row for row, _ in kept[:CANDIDATES]], np.int64)
        candidates = Candidates.of("hnsw", at, np.array([s for _, s in kept[:CANDIDATES]], np.float32))
        query = Query(request_id="naive", at=live.clock.now(), user_id=asked.user_id)
        user = UserState(row=0, version=0, history=history, seen=np.array(sorted(seen), np.int64))
        asking = Resolved(query=query, user=user, vector=vector[None], blocked=user.seen, allow=None)
        features = torch.from_numpy(frame.read(asking, candidates))
        items = torch.from_numpy(loaded.live.vectors(at))
        with torch.inference_mode():
            logits = ranker(*steps, mask, torch.from_numpy(vector[None]), token, weight, items[None], features[None])
            worth = (ranker.probabilities(logits)[0] * weights).sum(-1)
            best = torch.argsort(worth, descending=True)[: asked.size]
        chosen = live.catalogue.ids(at[best.numpy()])
        return {
            "items": [
                {"item_id": item, "score": score, "position": place}
                for place, (item, score) in enumerate(zip(chosen, worth[best].tolist(), strict=True))
            ]
        }

    return app


def asked_of(server, bodies, requests):
    """Send so many requests one after another on one connection; return the server's CPU milliseconds for each."""
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)

    def send(body):
        connection.request("POST", PATH, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200 or len(json.loads(text)["items"]) != 10:
            raise SystemExit(f"{server.url} answers {answer.status}: {text[:300]!r}")

    for i in range(WARM):
        send(bodies[i % len(bodies)])
    start = server.cpu_s()
    for i in range(requests):
        send(bodies[(WARM + i) % len(bodies)])
    return (server.cpu_s() - start) / requests * 1000.0


def measure(home, *, requests=300, redis_url=REDIS, settings=()):
    """Return CPU per request of the naive server and of the product's."""
    file, users, reached = prepared(home, redis_url)
    bodies, cpus = bodies_of(users), cores()[1]
    naive = [str(Path(__file__)), "serve", "--home", str(home), "--file", str(file), "--redis", redis_url]
    ours = ["-m", "slatewise", "serve", "--home", str(home)]
    for override in [*(f"{name}={value}" for name, value in CASCADE.items()), *settings]:
        ours += ["--set", override]
    with served(naive, cpus) as other, served(ours, cpus) as own:
        turns = [(asked_of(other, bodies, requests), asked_of(own, bodies, requests)) for _ in range(TURNS)]
    spent = np.median(turns, axis=0)
    return {
        "cpu_ms": round(float(spent[0]), 3),
        "slatewise_served_cpu_ms": round(float(spent[1]), 3),
        "ratio_served": round(float(np.median([a / b for a, b in turns])), 2),
        "index": "faiss IndexHNSWFlat",
        "links": LINKS,
        "ef_construction": CONSTRUCTION,
        "requests": requests * TURNS,
        **reached,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command")
    serve = commands.add_parser("serve", help="the server itself")
    serve.add_argument("--home", type=Path, required=True)
    serve.add_argument("--file", type=Path, required=True)
    serve.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=300)
    for one in (parser, serve):
        one.add_argument("--redis", default=REDIS)
    given = parser.parse_args()
    if given.command == "serve":
        import uvicorn

        uvicorn.run(application(given.home, given.file, given.redis), port=given.port, access_log=False)
        return
    print(json.dumps(measure(built(given.folder, given.items)[0], requests=given.requests, redis_url=given.redis)))


if __name__ == "__main__":
    main()
