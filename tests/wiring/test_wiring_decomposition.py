"""The judge over a real folder: what training may see, what counts as a miss, and lines with other candidates."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slatewise.domain.events import Interaction
from slatewise.domain.holdout import time_cut
from slatewise.domain.query import PastAction, Query
from slatewise.features.state import CountedState
from slatewise.storage.log import SqliteEventLog
from slatewise.testing.stages import ListSource
from slatewise.testing.worlds import START, batched, walkers
from slatewise.wiring.home import Home

LINEAR = {"training.deep": "off", "training.dim": 16, "telemetry.impressions": "off"}
VECTORS = {**LINEAR, "training.lists": "off"}
NOW = START + 31 * 86_400.0


class Clock:
    """Stands still just after the last event."""

    def now(self) -> float:
        return NOW

    def elapsed_ms(self) -> float:
        return 0.0


def filled(path: Path, events: list[Interaction], settings: dict[str, Any]) -> Home:
    items, _, _ = walkers(categories=16)
    home = Home(path, settings=settings, clock=Clock())
    home.put_items(items)
    for batch in batched(events, 1000):
        home.record(batch)
    return home


@pytest.fixture(scope="module")
def events() -> list[Interaction]:
    return walkers(categories=16)[2]


@pytest.fixture
def home(tmp_path: Path, events: list[Interaction]) -> Iterator[Home]:
    with filled(tmp_path / "home", events, VECTORS) as opened:
        yield opened


def contents(home: Home, bundle: str) -> dict[str, np.ndarray]:
    """Return every array of a bundle, and the counters, by name."""
    folder = home.registry.path(bundle)
    arrays = {file.name: np.load(file) for file in sorted(folder.glob("*.npy"))}
    state = CountedState.load(folder / "features", sorted(home.settings.positive_actions))
    rows = np.arange(len(home.catalogue))
    arrays["counts"] = state.popularity.counts(rows)
    arrays["trends"] = state.popularity.trends(rows, NOW)
    arrays["between"] = np.stack([np.stack(state.transitions.between(row, rows)) for row in rows.tolist()])
    return arrays


def test_what_time_holds_out_changes_neither_counts_nor_vectors_nor_vocabulary(
    tmp_path: Path, events: list[Interaction]
) -> None:
    with filled(tmp_path / "whole", events, LINEAR) as whole:
        with SqliteEventLog(whole.folders.log, whole.settings.action_names) as log:
            cut = time_cut(log.interactions())
        held = whole.train(holdout="time").bundle
        late = [event for event in events if event.at is not None and event.at >= cut]
        assert len(late) == pytest.approx(0.15 * len(events), abs=2)
        with filled(tmp_path / "past", [e for e in events if e.at is not None and e.at < cut], LINEAR) as past:
            bare = past.train(holdout="none").bundle
            seen, unseen = contents(whole, held), contents(past, bare)
            assert set(seen) == set(unseen) >= {"item_vectors.npy", "item_embeddings.npy", "neighbours_value.npy"}
            for name, array in seen.items():
                np.testing.assert_array_equal(array, unseen[name], err_msg=name)
            words = [h.registry.path(b) / "vocabulary.json" for h, b in ((whole, held), (past, bare))]
            assert words[0].read_bytes() == words[1].read_bytes()
        everything = whole.train(holdout="none").bundle
        # How many neighbours each item keeps, and what items say of themselves, need not change with more interactions.
        alike = {"neighbours_start.npy", "item_tokens.npy"}
        for name, array in contents(whole, everything).items():
            assert name in alike or not np.array_equal(array, seen[name]), name


def test_an_item_known_only_from_what_is_held_out_has_a_row_and_nothing_else(
    tmp_path: Path, events: list[Interaction]
) -> None:
    late = [Interaction(user_id=f"u{n}", item_id="late", action="click", at=NOW - 1) for n in range(20)]
    with filled(tmp_path / "home", [*events, *late], LINEAR) as home:
        bundle = home.train(holdout="time").bundle
        row = home.catalogue.row("late")
        told = contents(home, bundle)
        assert told["counts"][row] == told["trends"][:, row].max() == told["between"][:, :, row].max() == 0
        assert not told["item_vectors.npy"][row].any()
        report = home.evaluate(split="time")
        assert report.queries >= 20


def test_wanted_items_that_were_removed_since_are_misses_and_stay_in_the_denominator(home: Home) -> None:
    home.train(holdout="last-item")
    before = home.evaluate(split="last-item")
    with SqliteEventLog(home.folders.log, home.settings.action_names) as log:
        past = log.interactions()
    last = {user: item for user, item in zip(past.user.tolist(), past.item.tolist(), strict=True)}
    wanted, times = np.unique(list(last.values()), return_counts=True)
    gone = wanted[np.argsort(-times)[:5]]
    for item in home.catalogue.ids(gone):
        home.delete_item(item)
    after = home.evaluate(split="last-item")
    missed = int(times[np.isin(wanted, gone)].sum())
    assert missed > 5
    assert after.queries == before.queries == len(last)
    assert after.stages["filtered"]["recall@100"] <= 1 - missed / len(last)
    assert after.decomposition.oracle.hit_rate <= 1 - missed / len(last)
    for name, metrics in after.baselines.items():
        assert metrics["recall@100"] <= 1 - missed / len(last), name
    assert after.lost["retrieval"] + after.lost["filtering"] >= missed / len(last)


def test_an_exact_index_is_found_exact_and_recall_grows_with_k(home: Home) -> None:
    home.train(holdout="time")
    report = home.evaluate(split="time", max_cases=120, decompose_cases=60)
    told = report.decomposition
    assert told.cases == 60
    assert told.index is not None
    assert (told.index.kind, told.index.is_exact, told.index.fidelity) == ("exact", True, 1.0)
    assert told.index.recall == told.index.recall_exact
    assert all(before.recall <= after.recall for before, after in pairwise(told.curve))
    assert all(before.candidates <= after.candidates for before, after in pairwise(told.curve))
    assert told.curve[-1].recall > told.curve[0].recall
    assert told.oracle.ndcg >= max(report.stages[stage]["ndcg@10"] for stage in ("filtered", "ranked", "final"))
    assert any("No ranker is asked" in note for note in report.notes)
    assert any("60 of the 120 cases" in note for note in report.notes)


def test_an_index_that_looks_into_few_lists_is_found_out(tmp_path: Path) -> None:
    items, _, events = walkers(categories=40, per_category=25)
    few = {**VECTORS, "index.kind": "ivf", "index.lists": 64, "index.probes": 1}
    with Home(tmp_path / "home", settings=few, clock=Clock()) as home:
        home.put_items(items)
        home.record(events)
        built = home.train(holdout="last-item").facts["index"]
        check = home.evaluate(split="last-item", decompose_cases=200).decomposition.index
    assert check is not None
    assert (check.kind, check.is_exact, check.searched, check.k) == ("ivf", False, 120, 100.0)
    assert check.fidelity < 0.98
    assert check.fidelity == pytest.approx(built["recall@100"], abs=0.03), "as measured when it was built, on others"


def test_a_line_with_a_source_of_its_own_asks_no_other(home: Home) -> None:
    home.train()
    loaded = home._engine.current()
    past = (PastAction(item_id="c1-1"), PastAction(item_id="c1-2"))
    query = Query(request_id="r", at=NOW, size=10, history=past)
    only = ListSource("mine", [5, 40, 7])
    line = home._engine.line(loaded.live, home.settings, lambda: 0, only=only)
    slate = line.recommend(query)
    assert sorted(slate.retrieved.row.tolist()) == [5, 7, 40]
    assert slate.retrieved.sources == ("mine",)
    assert len(home._engine.line(loaded.live, home.settings, lambda: 0).recommend(query).shown) == 10
