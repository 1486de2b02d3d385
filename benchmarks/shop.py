"""The simulated shop's truth: how near slates come to the oracle's, and what correcting position bias is worth.

A slate is judged by the true probabilities that its user clicks its items once looked at, as gains of NDCG@10 against
the ten likeliest of the whole catalogue. Users visit on their own: what they click is chosen from slates of random
items, and recorded to every system alike, so that all answer the same questions. Nothing of this is known to training.
Since clicks are judged, slates are ranked by the probability of a click alone: weights are changed after training.

    python benchmarks/shop.py --visits 400 --set training.minutes=3

The last line is JSON.
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from slatewise.datasets.shop.export import write_shop
from slatewise.datasets.shop.generate import generate
from slatewise.datasets.shop.settings import ShopSettings
from slatewise.domain.events import Interaction
from slatewise.domain.query import Query
from slatewise.evaluation.bootstrap import paired_bootstrap
from slatewise.wiring.home import Home

SIZE = 10
SLATES = 3
"""Slates asked for in one visit; between them the user clicks on something."""
GAP_S = 60.0
RANDOM = 60
"""Random items a user looks at to find something to click, between two slates."""
CLICKS = {f"actions.{name}.weight": float(name == "click") for name in ("view", "click", "cart", "buy")}
SYSTEMS = {"corrected": {}, "naive": {"training.position_bias": "ignored"}}


def gain(chance):
    """Return the discounted sum of true click probabilities in display order."""
    return float((chance / np.log2(np.arange(len(chance)) + 2)).sum())


def judged(shop, homes, popular, visits, rng):
    """Return per slate: the user, and for each way of choosing, its gain as a share of the oracle's."""
    items = np.array(shop.item_ids)
    user_of, found = [], []
    at = shop.settings.end
    for _ in range(visits):
        user = shop.session(rng, at)
        for _ in range(SLATES):
            truth = dict(zip(items.tolist(), shop.true_click_probability(user, items.tolist(), at), strict=True))
            best = gain(np.sort(list(truth.values()))[::-1][:SIZE])
            row = {"popularity": chances(truth, popular)}
            for name, home in homes.items():
                asked = Query(request_id=f"{len(found)}-{name}", at=at, user_id=user, size=SIZE, deadline_ms=60_000)
                slate = home.slate(asked)
                ids = home.catalogue.ids
                row[name] = chances(truth, ids(slate.shown.row))
                ranked = np.concatenate([slate.shown.row, slate.reserve.row])
                row[f"{name}: retrieval's order"] = chances(truth, ids(in_order(slate.retrieved.row, ranked)[:SIZE]))
                offered = np.sort(chances(truth, ids(ranked)))[::-1]
                row[f"{name}: oracle on its candidates"] = offered[:SIZE]
            found.append({key: gain(values) / best for key, values in row.items()})
            user_of.append(user)
            at += GAP_S
            looked = rng.choice(items, RANDOM, replace=False).tolist()
            reactions = shop.react(user, looked, at, rng)
            done = [Interaction(user_id=user, item_id=item, action=action, at=at) for item, action in reactions]
            for home in homes.values():
                if done:
                    home.record(done)
            at += GAP_S
        at += GAP_S
    return np.unique(user_of, return_inverse=True)[1], {key: np.array([one[key] for one in found]) for key in found[0]}


def train(data, folder, into, settings):
    write_shop(data, folder / "data")
    with Home(folder / "unfinished", settings=settings) as home:
        home.import_data(folder / "data")
        facts = home.train().facts
    print(into.name, json.dumps({k: facts.get(k) for k in ("retriever", "ranker", "train_s")}), flush=True)
    (folder / "unfinished").rename(into)


def in_order(retrieved, ranked):
    return retrieved[np.isin(retrieved, ranked)]


def chances(truth, ids):
    return np.array([truth[item] for item in ids])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--visits", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--position-bias", type=float, default=ShopSettings().position_bias)
    parser.add_argument(
        "--view-share",
        type=float,
        default=ShopSettings().view_share,
        help="how often users find an item on their own: at 0 all that is known was shown",
    )
    parser.add_argument("--folder", type=Path, help="keep the trained systems here, and use what is there")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    overrides = dict(pair.split("=", 1) for pair in given.set)
    overrides = {name: json.loads(value) if value[0].isdigit() else value for name, value in overrides.items()}
    world = replace(ShopSettings(), n_users=given.users, n_items=given.items, seed=given.seed)
    data, shop = generate(replace(world, position_bias=given.position_bias, view_share=given.view_share))
    homes = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        settings = {"cache.max_bytes": 0, "telemetry.impressions": "off", "training.seed": given.seed, **overrides}
        for name in given.systems.split(","):
            trained = folder / f"{name}-trained"
            if not trained.exists():
                train(data, folder, trained, {**settings, **SYSTEMS[name]})
            # Events of the visits go into a copy: a run leaves no trace in what it judges.
            shutil.copytree(trained, Path(scratch) / f"{name}-judged")
            homes[name] = Home(Path(scratch) / f"{name}-judged", settings={**settings, **CLICKS})
        first = next(iter(homes.values()))
        user, share = judged(shop, homes, first.trending(SIZE), given.visits, np.random.default_rng(1))
        for home in homes.values():
            home.close()
    rng = np.random.default_rng(0)
    told = {"ndcg@10": {key: round(float(value.mean()), 4) for key, value in share.items()}, "slates": len(user)}
    # Before anything is clicked in a visit, only the lasting taste is there to go by.
    told["by_slate_of_visit"] = {
        key: [round(float(value[place::SLATES].mean()), 4) for place in range(SLATES)] for key, value in share.items()
    }
    if {"corrected", "naive"} <= set(homes):
        lift = paired_bootstrap(share["corrected"], share["naive"], user, rng)
        told["corrected_vs_naive"] = {
            "mean": round(lift.difference, 4),
            "ci95": [round(lift.low, 4), round(lift.high, 4)],
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
