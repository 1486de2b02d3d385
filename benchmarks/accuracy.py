"""Promise: retrieval from the recent history alone stands beside the published tables. Full ranking, default recipe.

    python benchmarks/accuracy.py cf --data DIR [--seeds 3] [--json]           train.txt, test.txt (LightGCN layout)
    python benchmarks/accuracy.py sequential --data DIR [--seeds 3] [--json]   interactions.*, items.* (import layout)
    python benchmarks/accuracy.py cold --data DIR [--seeds 3] [--json]         the same; a tenth of the items is new
    python benchmarks/accuracy.py cascade --data DIR [--split time] [--json]   the same, whole: retrieve 100, keep 10
    python benchmarks/accuracy.py ctr --data DIR [--seeds 3] [--json]          train, valid, test .csv: label and fields

`cf` ranks all items outside a user's training items: Recall@20, NDCG@20 against test.txt. `sequential` hides each
user's last item: HR@10, NDCG@10. Test items never enter the HOME that is trained. Before anything is served every user
is deleted: slates are asked for with the history in the query and come from the real READ line without a ranker.
`cold` withholds a tenth of the items from training and gives the models their attributes only. `cascade` replays the
hidden interactions through the whole READ line, beside the order of retrieval, the ranker's small variant, and trees
on its own features. `ctr` fits click prediction on train.csv, chooses the pass and calibrates on valid.csv, and only
then opens test.csv.

``--set training.x=y`` overrides a setting, for `ctr` ``--set dropout=y`` the recipe (then it is not the default one),
``--subset N`` judges N users, and ``--seeds 0`` the baselines alone.
"""

import argparse
import json
import resource
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cascade import measure_cascade
from cold_items import measure_cold
from ctr import measure_ctr

from slatewise.datasets.dataset import Dataset
from slatewise.datasets.folder import read_folder
from slatewise.datasets.lightgcn import read_lightgcn
from slatewise.domain.columns import Interactions
from slatewise.domain.query import PastAction, Query
from slatewise.evaluation.baselines.als import fit_als_baseline
from slatewise.evaluation.baselines.ease import fit_ease
from slatewise.evaluation.baselines.item_knn import fit_item_knn
from slatewise.evaluation.baselines.markov import fit_markov
from slatewise.evaluation.baselines.popularity import fit_popularity
from slatewise.evaluation.baselines.spectral import fit_spectral_baseline
from slatewise.evaluation.lists import hits, padded
from slatewise.evaluation.metrics.hit_rate import hit_rate
from slatewise.evaluation.metrics.ndcg import ndcg
from slatewise.evaluation.metrics.recall import recall
from slatewise.telemetry.clock import SystemClock
from slatewise.wiring.home import Home

POSITIONS = {"timestamp": "position"}
DEPTH = 20


@dataclass(frozen=True)
class Task:
    """What to train on, and per test user a history (ids, oldest first) and the ids wanted."""

    train: Dataset
    histories: list[list[str]]
    wanted: list[list[str]]
    metrics: dict
    is_ordered: bool
    judged: np.ndarray
    """Places of the test users that are judged: all but for trials."""


def read_cf(folder: Path) -> Task:
    train, test = read_lightgcn(folder)
    past = by_user(train)
    users = [user for user in test if user in past]
    return Task(
        train,
        [[event.item_id for event in past[user]] for user in users],
        [test[user] for user in users],
        {"recall@20": lambda h, n: recall(h, n, 20), "ndcg@20": lambda h, n: ndcg(h, n, 20)},
        is_ordered=False,
        judged=np.arange(len(users)),
    )


def read_sequences(folder: Path) -> Task:
    """Drop each user's last item, and everything but histories: no user attributes, no item that nobody touched."""
    header = {"position"} & set(read_header(folder))
    whole = read_folder(
        folder,
        mapping=POSITIONS if header else {},
        default_action="interaction",
        actions=("interaction",),
        now=SystemClock().now(),
    )
    touched = {event.item_id for event in whole.interactions}
    past = {user: events for user, events in by_user(whole).items() if len(events) >= 3}
    last = {id(events[-1]) for events in past.values()}
    train = replace(
        whole,
        users=[],
        items=[item for item in whole.items if item.item_id in touched],
        interactions=[event for event in whole.interactions if id(event) not in last],
    )
    return Task(
        train,
        [[event.item_id for event in events[:-1]] for events in past.values()],
        [[events[-1].item_id] for events in past.values()],
        {"hr@10": lambda h, n: hit_rate(h, n, 10), "ndcg@10": lambda h, n: ndcg(h, n, 10)},
        is_ordered=True,
        judged=np.arange(len(past)),
    )


def read_header(folder: Path) -> list[str]:
    from slatewise.datasets.sheets import find, read_file

    return read_file(find(folder, "interactions")).table.column_names


def by_user(dataset: Dataset) -> dict:
    """Group interactions by user, in the order of the data set: that of time, where there is one."""
    past: dict = {}
    for event in dataset.interactions:
        past.setdefault(event.user_id, []).append(event)
    return past


def measured(task: Task, lists: np.ndarray, wanted: list[np.ndarray]) -> dict[str, np.ndarray]:
    found, count = hits(lists, [wanted[i] for i in task.judged])
    return {name: metric(found, count) for name, metric in task.metrics.items()}


def summary(values: dict[str, np.ndarray]) -> dict[str, float]:
    out = {name: round(float(v.mean()), 4) for name, v in values.items()}
    return out | {f"{name}_se": round(float(v.std(ddof=1) / np.sqrt(v.size)), 4) for name, v in values.items()}


def trained(task: Task, folder: Path, overrides: dict, progress) -> tuple[Home, dict, float]:
    settings = {"training.ranker": "off", "telemetry.impressions": "off", "cache.max_bytes": 0, **overrides}
    home = Home(folder, settings=settings)
    home.import_data(task.train, progress=progress)
    start = time.perf_counter()
    facts = home.train(progress=progress).facts
    return home, facts, time.perf_counter() - start


def forget_everybody(home: Home, task: Task) -> None:
    for user in {event.user_id for event in task.train.interactions}:
        home.delete_user(user)


def served(home: Home, task: Task, progress) -> np.ndarray:
    """Return the rows of each history's slate, ``(queries, DEPTH)``, asked for without any user."""
    lists = []
    for done, i in enumerate(task.judged):
        history = task.histories[i]
        if done % 500 == 0:
            progress.step("served from history alone", done, len(task.judged))
        past = tuple(
            PastAction(item_id=item, at=float(at) if task.is_ordered else None) for at, item in enumerate(history)
        )
        query = Query(request_id=f"q{i}", at=0.0, size=DEPTH, history=past, deadline_ms=60_000.0)
        lists.append(home.slate(query).shown.row)
    progress.step("served from history alone", 1, 1)
    return padded(lists, DEPTH)


def baseline_lists(baseline, histories: list[np.ndarray], backfill: np.ndarray) -> np.ndarray:
    """Rank the whole catalogue but a history's own items; places without an opinion go by popularity."""
    lists = np.zeros((len(histories), DEPTH), np.int64)
    step = max(1, 10_000_000 // baseline.n_items)
    tiny = 1e-12 * backfill / max(backfill.max(), 1.0)
    for lo in range(0, len(histories), step):
        part = histories[lo : lo + step]
        score = np.nan_to_num(np.array(baseline.score(part), np.float64), nan=-1e6) + tiny
        score[np.repeat(np.arange(len(part)), [len(h) for h in part]), np.concatenate(part)] = -np.inf
        best = np.argpartition(-score, DEPTH, 1)[:, :DEPTH]
        order = np.argsort(-np.take_along_axis(score, best, 1), 1, kind="stable")
        lists[lo : lo + step] = np.take_along_axis(best, order, 1)
    return lists


def baselines(train: Interactions, n_items: int, is_ordered: bool, seed: int) -> list:
    rng = np.random.default_rng(seed)
    fits = [
        lambda: fit_popularity(train, n_items),
        lambda: fit_item_knn(train, n_items),
        lambda: fit_ease(train, n_items),
        lambda: fit_als_baseline(train, n_items, rng),
        lambda: fit_spectral_baseline(train, n_items, rng),
    ]
    return fits + ([lambda: fit_markov(train, n_items)] if is_ordered else [])


def run(task: Task, seeds: int, overrides: dict, progress, only_model: bool) -> dict:
    per_seed, train_s, peak_mb, facts = [], [], [], []
    others: dict = {}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as scratch:
            home, told, took = trained(task, Path(scratch) / "home", {"training.seed": seed, **overrides}, progress)
            with home:
                peak_mb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
                train_s.append(took)
                facts.append(
                    {k: told[k] for k in ("kind", "plan", "linear", "retriever", "vectors", "index") if k in told}
                )
                rows = [home.catalogue.rows(history) for history in task.histories]
                wanted = [home.catalogue.rows(items) for items in task.wanted]
                if seed == 0 and not only_model:
                    others = judged_baselines(task, rows, wanted, len(home.catalogue), progress)
                forget_everybody(home, task)
                per_seed.append(measured(task, served(home, task, progress), wanted))
                print(json.dumps({"seed": seed, "train_s": round(took, 1), **summary(per_seed[-1])}), flush=True)
    mean = {name: np.mean([values[name] for values in per_seed], 0) for name in per_seed[0]}
    return {
        "model": summary(mean),
        "seeds": [{name: round(float(v.mean()), 4) for name, v in values.items()} for values in per_seed],
        "baselines": others,
        "train_s": round(float(np.median(train_s)), 1),
        "peak_mb": round(peak_mb[0]),
        "users": len(task.judged),
        "facts": facts,
    }


def baselines_alone(task: Task, progress) -> dict:
    with tempfile.TemporaryDirectory() as scratch, Home(Path(scratch) / "home") as home:
        home.import_data(task.train, progress=progress)
        rows = [home.catalogue.rows(history) for history in task.histories]
        wanted = [home.catalogue.rows(items) for items in task.wanted]
        found = judged_baselines(task, rows, wanted, len(home.catalogue), progress)
    return {"baselines": found, "users": len(task.judged)}


def judged_baselines(task: Task, rows: list, wanted: list, n_items: int, progress) -> dict:
    user = np.repeat(np.arange(len(rows)), [len(h) for h in rows])
    item = np.concatenate(rows)
    at = np.arange(item.size, dtype=np.float64) if task.is_ordered else np.full(item.size, np.nan)
    zeros = np.zeros(item.size, np.int64)
    train = Interactions(np.arange(item.size), user, item, zeros, at, np.ones(item.size, np.float32))
    popular = np.bincount(item, minlength=n_items).astype(np.float64)
    found = {}
    for fit in baselines(train, n_items, task.is_ordered, 0):
        start = time.perf_counter()
        baseline = fit()
        if baseline is None:
            continue
        took = time.perf_counter() - start
        progress.step("baselines", len(found), 6, baseline.name)
        lists = baseline_lists(baseline, [rows[i] for i in task.judged], popular)
        found[baseline.name] = summary(measured(task, lists, wanted)) | {"fit_s": round(took, 1)}
    progress.step("baselines", 1, 1)
    return found


class Lines:
    """Progress as lines on stderr: one per task and tenth."""

    def __init__(self):
        self._told = None

    def step(self, task, done, total, note=""):
        mark = (task, int(10 * done / max(total, 1e-9)))
        if mark != self._told:
            self._told = mark
            print(f"  {task} {100 * done / max(total, 1e-9):3.0f} % {note}", flush=True)


class Silent:
    def step(self, task, done, total, note=""):
        pass


def value_of(text: str):
    try:
        return json.loads(text)
    except ValueError:
        return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=("cf", "sequential", "cold", "cascade", "ctr"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--subset", type=int, default=0, help="judge a random subset of this many users")
    parser.add_argument("--split", choices=("last-item", "time"), help="cascade: by default time, where it is known")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--model-only", action="store_true", help="leave the baselines out")
    parser.add_argument("--json", action="store_true", help="no progress, only results")
    given = parser.parse_args()
    overrides = {name: value_of(value) for name, value in (pair.split("=", 1) for pair in given.set)}
    progress = Silent() if given.json else Lines()
    if given.protocol == "ctr":
        print(json.dumps(measure_ctr(given.data, max(given.seeds, 1), overrides, progress)))
        return
    if given.protocol == "cascade":
        found = measure_cascade(given.data, given.split, given.seeds, overrides, progress, given.subset or None)
        print(json.dumps(found))
        return
    task = read_cf(given.data) if given.protocol == "cf" else read_sequences(given.data)
    if given.protocol == "cold":
        print(json.dumps(measure_cold(task, given.seeds, overrides, progress)))
        return
    if given.subset:
        task = replace(task, judged=np.sort(np.random.default_rng(0).permutation(task.judged)[: given.subset]))
    if not given.seeds:
        print(json.dumps(baselines_alone(task, progress)))
        return
    print(json.dumps(run(task, given.seeds, overrides, progress, given.model_only)))


if __name__ == "__main__":
    main()
