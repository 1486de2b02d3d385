"""The cascade judged as one: retrieve 100, rank, keep 10, on any folder in the import layout. See `accuracy.py`.

Beside the deep ranker stands its small variant: what the deep parts are worth on these data.
"""

import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from slatewise.datasets.sheets import find, read_file
from slatewise.wiring.home import Home

KEPT = ("ndcg@10", "hr@10", "recall@100")
POSITION, RATING, TIME = "position", "rating", "timestamp"


def mapping_of(folder: Path) -> dict[str, str]:
    """Return what the folder calls the order and the value of an interaction, where it has its own names."""
    columns = set(read_file(find(folder, "interactions")).table.column_names)
    mapping = {"timestamp": POSITION} if POSITION in columns and TIME not in columns else {}
    return mapping | ({"value": RATING} if RATING in columns else {})


def measure_cascade(folder: Path, split: str | None, seeds: int, overrides: dict, progress, cases: int | None) -> dict:
    """Train and replay once per seed; return what `accuracy.py` prints. *split* None: by time where there is time."""
    mapping = mapping_of(folder)
    split = split or ("last-item" if "timestamp" in mapping else "time")
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as scratch:
            settings = {"telemetry.impressions": "off", "cache.max_bytes": 0, "training.seed": seed, **overrides}
            with Home(Path(scratch) / "home", settings=settings) as home:
                found.append(measured(home, folder, mapping, split, progress, cases))
            with Home(Path(scratch) / "home", settings=settings | {"ranking.kind": "small"}) as home:
                small = home.evaluate(split=split, max_cases=cases, progress=progress)
                found[-1]["small"] = figures(small.stages["final"])
        print(json.dumps({"seed": seed, **found[-1]}), flush=True)
    first = found[0]

    def mean(part: str) -> dict:
        return {name: round(float(np.mean([one[part][name] for one in found])), 4) for name in first[part]}

    return {
        "split": split,
        "retrieval": mean("retrieval"),
        "cascade": mean("cascade"),
        "lambdarank": mean("lambdarank"),
        "small": mean("small"),
        "lift": {
            "ndcg@10": mean("cascade")["ndcg@10"] - mean("retrieval")["ndcg@10"],
            "relative": round(mean("cascade")["ndcg@10"] / max(mean("retrieval")["ndcg@10"], 1e-9) - 1, 4),
            "ci95": first["lift_ci95"],
        },
        "baselines": first["baselines"],
        "seeds": found,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def figures(values) -> dict:
    return {name: round(values[name], 4) for name in KEPT if name in values}


def measured(home: Home, folder: Path, mapping: dict, split: str, progress, cases: int | None) -> dict:
    home.import_data(folder, mapping=mapping, progress=progress)
    start = time.perf_counter()
    facts = home.train(holdout=split, progress=progress).facts
    took = time.perf_counter() - start
    report = home.evaluate(split=split, max_cases=cases, progress=progress)

    interval = report.bootstrap["final_vs_filtered"]
    told = report.to_json()
    return {
        "retrieval": figures(report.stages["filtered"]),
        "cascade": figures(report.stages["final"]),
        "lambdarank": figures(report.baselines.get("lambdarank", {})),
        "lift_ci95": [round(interval.low, 4), round(interval.high, 4)],
        "bootstrap": told["bootstrap"],
        "baselines": {name: figures(values) for name, values in report.baselines.items()},
        "train_s": round(took, 1),
        "queries": report.queries,
        "facts": {name: facts[name] for name in ("kind", "plan", "retriever", "ranker") if name in facts},
    }
