"""Reads the log into what training takes, and publishes what it made as a bundle."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from slatewise.bundles.card import render_card
from slatewise.bundles.manifest import seal
from slatewise.bundles.registry import FolderRegistry
from slatewise.bundles.vocabulary import save_vocabulary
from slatewise.domain.holdout import HoldoutMode
from slatewise.domain.settings import Settings
from slatewise.features.attributes import describe
from slatewise.ports.clock import Clock
from slatewise.ports.stores import LogStore
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.users import LiveUsers
from slatewise.training.attribution import with_follow_ups
from slatewise.training.learn import learn
from slatewise.training.material import LoggedSlate, TrainingInput
from slatewise.training.progress import Progress
from slatewise.version import __version__
from slatewise.wiring.settings import to_toml

NEWEST_IMPRESSIONS = 50_000


@dataclass(frozen=True, slots=True)
class Trained:
    """A published bundle and what is known of it."""

    bundle: str
    facts: dict[str, Any]


def read_input(log: LogStore, catalogue: LiveCatalogue, users: LiveUsers, settings: Settings) -> TrainingInput:
    """Return everything in the log up to now."""
    end = log.end
    interactions, impressions = log.interactions(0, end), _impressions(log, catalogue, end)
    weights = np.array([action.weight for action in settings.actions.values()])
    hours = settings.training.follow_up_hours
    return TrainingInput(
        interactions=interactions,
        impressions=impressions,
        reactions=with_follow_ups(interactions, impressions, log.clicks(), weights, hours),
        items=[describe(catalogue.item(row)) for row in range(len(catalogue))],
        users={row: change.attributes for row, change in users.attributes().items()},
        catalogue=catalogue,
        trained_to=end,
    )


def _impressions(log: LogStore, catalogue: LiveCatalogue, end: int) -> Sequence[LoggedSlate]:
    newest = list(log.impressions(0, end))[-NEWEST_IMPRESSIONS:]
    rows = log.user_rows({impression.user_id for _, impression in newest})
    found = []
    for offset, impression in newest:
        shown = catalogue.rows(impression.shown)
        # A place without an item would shift the positions after it.
        if (shown >= 0).all() and impression.user_id in rows:
            found.append((offset, rows[impression.user_id], impression, shown))
    return found


def wait_politely() -> None:
    """Let the threads of a training framework sleep while they wait for each other, unless the environment says else.

    By default they spin: on cores that others use too, five sixths of the time goes there. OpenMP reads this when it is
    loaded, so it must be set before the first import of torch.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # noqa: TID251  wiring is where it is allowed


def train_bundle(
    given: TrainingInput,
    settings: Settings,
    holdout: HoldoutMode,
    registry: FolderRegistry,
    work: Path,
    clock: Clock,
    progress: Progress,
) -> Trained:
    """Train, seal and publish one bundle; does not make it live. Raises TrainingError, BundleError."""
    wait_politely()
    folder = registry.staging()
    learned = learn(given, settings, holdout, folder, work, clock, progress)
    rows = np.arange(learned.schema.n_items, dtype=np.int64)
    save_vocabulary(folder / "vocabulary.json", given.catalogue.ids(rows))
    facts: dict[str, Any] = {
        "slatewise": __version__,
        "kind": learned.schema.kind,
        "holdout": holdout,
        "trained_to": given.trained_to,
        "heads": list(learned.schema.heads),
        **learned.facts,
    }
    (folder / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(facts)))
    (folder / "settings.toml").write_text(to_toml(settings))
    (folder / "card.md").write_text(render_card(facts))
    seal(folder, created_at=clock.now(), parent=registry.live(), facts=_headline(facts))
    return Trained(registry.publish(folder), facts)


def _headline(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what a list of bundles tells: how it was trained, and the few numbers worth a line."""
    metrics: dict[str, Any] = {name: facts[name] for name in ("interactions", "users", "items", "train_s")}
    metrics["index"] = {name: value for name, value in facts["index"].items() if name != "kind"}
    curve = facts.get("towers", {}).get("curve", [])
    if curve:
        metrics["towers"] = {"ndcg@10": round(max(step["ndcg@10"] for step in curve), 4)}
    if "ranker" in facts:
        metrics["ranker"] = {name: facts["ranker"][name] for name in ("validation_ndcg@10", "retrieval_ndcg@10")}
    return {"kind": facts["kind"], "holdout": facts["holdout"], "metrics": metrics}
