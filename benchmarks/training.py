"""Promise: towers learn from more interactions than memory holds, at tens of thousands of examples per CPU-second.

    python benchmarks/training.py [--users 1000000 --items 100000 --interactions 10000000 --dim 64 --seconds 90]

Generates histories with popular items, topics and items that follow each other, writes them to Parquet in a process of
its own, and trains towers from that file for a bounded time. Prints a table, and one JSON line last:
``examples_per_cpu_s`` counts predicted positions per CPU-second of all threads, reading and batching included;
``peak_mb`` is the peak resident memory of the training process, torch included; ``loss`` is the mean of the first and
the last hundredth of the batches.
"""

import argparse
import json
import math
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.settings import TrainingSettings

TOPICS = 200
USERS_PER_BLOCK = 50_000
YEAR_S = 365 * 86_400


def blocks(users, items, interactions, rng):
    """Yield interactions of blocks of users, shuffled within a block: log-normal lengths, Zipf items in topics."""
    ranks = -(-items // TOPICS)
    cumulative = np.cumsum((np.arange(ranks) + 5.0) ** -1.0)
    cumulative /= cumulative[-1]
    mean = interactions / users
    for lo in range(0, users, USERS_PER_BLOCK):
        held = np.arange(lo, min(lo + USERS_PER_BLOCK, users))
        length = np.maximum(1, np.rint(rng.lognormal(math.log(mean) - 0.5, 1.0, held.size))).astype(np.int64)
        user = np.repeat(held, length)
        favourite = rng.integers(0, TOPICS, (held.size, 3))
        topic = favourite[user - lo, rng.integers(0, 3, user.size)]
        rank = np.searchsorted(cumulative, rng.random(user.size), side="right")
        # Three in ten steps go on with what follows the item before, as the next part of a series.
        follows = np.append(False, (user[1:] == user[:-1]) & (rng.random(user.size - 1) < 0.3))
        before = np.flatnonzero(follows) - 1
        topic[follows], rank[follows] = topic[before], rank[before] + 1
        item = np.minimum((rank % ranks) * TOPICS + topic, items - 1)
        start = np.repeat(np.cumsum(length) - length, length)
        spent = np.cumsum(rng.exponential(6 * 3600, user.size))
        at = 1.7e9 + np.repeat(rng.uniform(0, YEAR_S, held.size), length) + spent - spent[start]
        yield Interactions(
            np.arange(user.size), user, item, np.zeros(user.size, np.int64), at, np.full(user.size, np.nan, np.float32)
        ).take(rng.permutation(user.size))
        print(f"\rgenerated {held[-1] + 1:,} of {users:,} users", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def generate(path, users, items, interactions, seed):
    from slatewise.training.stream import write_histories

    write_histories(blocks(users, items, interactions, np.random.default_rng(seed)), path)


def trainer_of(path, items, settings):
    from slatewise.models.spectral import SpectralFactors
    from slatewise.ports.models import Bag
    from slatewise.training.material import Material
    from slatewise.training.stream import StreamedHistories
    from slatewise.training.tower_training import TowerData, TowerTrainer, new_towers

    histories = StreamedHistories(path)
    some = next(histories.chunks(np.random.default_rng(0))).ordered.take(slice(0, 1000))
    # Every item has one attribute, its topic, as most catalogues have a category.
    token = 1 + np.arange(items)[:, None] % TOPICS
    material = Material(
        interactions=some,  # a sample, by which towers see what kind of times there are
        n_items=items,
        items=Bag(token, np.ones((items, 1), np.float32)),
        item_tokens=TOPICS + 1,
        users=Bag(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32)),
        user_tokens=1,
        actions=("click",),
        positive=frozenset({0}),
    )
    blank = np.zeros((items, settings.dim), np.float32)
    model = new_towers(material, SpectralFactors(blank, blank, np.zeros(settings.dim, np.float32)), settings)
    return TowerTrainer(model, TowerData(material, histories), settings)


def train(trainer, seconds):
    """Train until *seconds* are over or the histories are; return losses and numbers of examples, and CPU seconds."""
    losses, examples = [], []
    start, cpu = time.perf_counter(), time.process_time()
    trainer.model.train()
    for batch in trainer.batches():
        losses.append(trainer.update(batch, trainer.settings.learning_rate * min(1.0, (len(losses) + 1) / 100)))
        examples.append(int(batch.wanted.sum()))
        spent = time.perf_counter() - start
        if spent > seconds:
            break
        if len(losses) % 50 == 0:
            print(f"\r{spent:4.0f} s  loss {np.mean(losses[-50:]):.3f}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return losses, examples, time.process_time() - cpu


def use_threads(settings):
    # Torch's threads spin while they wait: on cores that others use as well, that is most of what a run would measure.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from slatewise.training.fit_towers import use_threads

    use_threads(settings)


def peak_mb():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--negatives", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=90.0, help="time to train for, at most one pass")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; 0 uses all cores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    given = parser.parse_args()
    settings = TrainingSettings(dim=given.dim, negatives=given.negatives, threads=given.threads, seed=given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "histories.parquet"
        wanted = (path, given.users, given.items, given.interactions, given.seed)
        # Another process, not a fork: its memory must not count as the training's.
        writer = multiprocessing.get_context("spawn").Process(target=generate, args=wanted)
        start = time.perf_counter()
        writer.start()
        writer.join()
        if writer.exitcode:
            raise SystemExit("generating the histories failed")
        generated_s = time.perf_counter() - start
        use_threads(settings)
        trainer = trainer_of(path, given.items, settings)
        losses, examples, cpu_s = train(trainer, given.seconds)
        interactions, file_bytes = trainer.data.histories.size, path.stat().st_size
    some = max(1, len(losses) // 100)
    result = {
        "examples_per_cpu_s": round(sum(examples) / cpu_s),
        "peak_mb": round(peak_mb()),
        "users": given.users,
        "items": given.items,
        "interactions": interactions,
        "dim": given.dim,
        "negatives": given.negatives,
        "loss": [round(float(np.mean(part)), 4) for part in (losses[:some], losses[-some:])],
        "examples": sum(examples),
        "batches": len(losses),
        "cpu_s": round(cpu_s, 1),
        "file_bytes": file_bytes,
        "generate_s": round(generated_s, 1),
    }
    if not given.json:
        for name, value in result.items():
            print(f"{name:<20} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
