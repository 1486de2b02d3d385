"""The Python API over a real folder: what a reader would guess."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import slatewise
from slatewise.datasets.shop import ShopSettings, generate, write_shop
from slatewise.domain.errors import InputError, NotFound, NotReady, TrainingError
from slatewise.domain.events import Interaction, ItemChange, UserChange
from slatewise.storage.log import SqliteEventLog
from slatewise.testing.worlds import batched, walkers
from slatewise.wiring.home import Home

SPECTRAL = {"training.deep": "off", "training.dim": 16}


def filled(path: Path) -> Home:
    home = slatewise.open(path, settings=SPECTRAL)
    items, users, events = walkers()
    home.put_items(items)
    home.put_users(users)
    for batch in batched(events, 1000):
        home.record(batch)
    return home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with filled(tmp_path / "home") as opened:
        opened.train()
        yield opened


def test_ten_lines_do_the_whole_loop(home: Home) -> None:
    answer = home.recommend("u1", size=5)
    assert len(answer.items) == 5
    home.record(user_id="u1", item_id=answer.items[0].item_id, action="buy")
    after = home.recommend("u1", size=5)
    assert answer.items[0].item_id not in [item.item_id for item in after.items]
    assert len(home.similar("c1-1", 4)) == 4


def test_without_a_bundle_the_answer_says_what_to_do(tmp_path: Path) -> None:
    with slatewise.open(tmp_path / "new") as home, pytest.raises(NotReady, match="slatewise train"):
        home.recommend("anyone")


def test_training_on_nothing_says_what_is_missing(tmp_path: Path) -> None:
    with slatewise.open(tmp_path / "new") as home, pytest.raises(TrainingError, match="import data first"):
        home.train()


def test_a_spectral_bundle_serves_the_whole_line(home: Home) -> None:
    assert [b.live for b in home.bundles()] == [True]
    offered = home.recommend(history=["c2-1", "c2-2"], size=10, explain=True)
    assert offered.degraded == ()
    assert (offered.explanation or ())[0].source == "two_tower"
    assert sum(item.item_id.startswith("c2-") for item in offered.items) >= 5


def test_two_homes_open_on_one_folder_see_each_others_writes_and_bundles(home: Home) -> None:
    with Home(home.path, settings=SPECTRAL) as other:
        shown = [item.item_id for item in other.recommend("u2", size=20).items]
        home.delete_item(shown[0])
        assert shown[0] not in [item.item_id for item in other.recommend("u2", size=20).items]
        first = home.live_bundle
        trained = home.train()
        assert trained.bundle != first
        assert other.live_bundle == trained.bundle
        assert other.rollback() == first
        assert home.live_bundle == first


def test_a_reopened_home_answers_as_the_closed_one_did(tmp_path: Path) -> None:
    with filled(tmp_path / "home") as home:
        home.train()
        home.record(user_id="u1", item_id="c3-3", action="click")
        home.delete_item("c3-4")
        home.put_items([ItemChange(at=home.clock.now(), item_id="new", title="new", categories=("kind3",))])
        before = home.recommend("u1", size=30)
    with slatewise.open(tmp_path / "home", settings=SPECTRAL) as home:
        after = home.recommend("u1", size=30)
    assert [(i.item_id, i.score) for i in after.items] == [(i.item_id, i.score) for i in before.items]


def test_everything_but_the_log_and_the_bundles_can_be_lost_and_is_rebuilt_from_the_log(home: Home) -> None:
    state = home._engine.current().live.state
    with Home(home.path, settings=SPECTRAL) as again:
        rebuilt = again._engine.current().live.state
        assert (state.popularity.total[:80] == rebuilt.popularity.total[:80]).all()
        assert home.catalogue.ids(home.catalogue.available.nonzero()[0]) == again.catalogue.ids(
            again.catalogue.available.nonzero()[0]
        )


def test_a_bundle_of_another_home_is_refused_and_the_live_one_stays(home: Home, tmp_path: Path) -> None:
    with slatewise.open(tmp_path / "other", settings=SPECTRAL) as other:
        other.put_items([ItemChange(at=1.0, item_id=f"x{n}") for n in range(30)])
        other.record([Interaction(user_id=f"u{n}", item_id=f"x{n % 7}", action="click", at=1e9 + n) for n in range(40)])
        foreign = other.train().bundle
        (home.folders.bundles / foreign).symlink_to(other.folders.bundles / foreign)
    live = home.live_bundle
    with pytest.raises((slatewise.BundleError, NotFound)):
        home.promote(foreign)
    assert home.live_bundle == live
    assert home.recommend("u1").bundle == live


def test_bad_input_names_field_value_and_what_would_be_right_and_stores_nothing(home: Home) -> None:
    version = home.version
    with pytest.raises(InputError, match=r"events\[1\].action.*'clack'.*click"):
        home.record(
            [
                Interaction(user_id="u1", item_id="c1-1", action="click", at=1e9),
                Interaction(user_id="u1", item_id="c1-1", action="clack", at=1e9),
            ]
        )
    with pytest.raises(InputError, match="user_id"):
        home.record(item_id="c1-1")
    with pytest.raises(InputError, match="size"):
        home.recommend("u1", size=0)
    with pytest.raises(InputError, match=r"context\.page.*takes no vectors"):
        home.recommend("u1", context={"page": (0.5, 1.0)})
    with pytest.raises(InputError, match=r"weights\.click.*inf.*a number from"):
        home.recommend("u1", weights={"click": float("inf")})
    assert home.version == version


def test_evaluating_a_bundle_that_saw_the_answers_is_refused(home: Home) -> None:
    with pytest.raises(InputError, match="train with --holdout"):
        home.evaluate(split="last-item")


def test_evaluation_replays_the_held_out_part_through_the_real_line(home: Home) -> None:
    home.train(holdout="last-item")
    report = home.evaluate(split="last-item")
    assert report.users == report.queries == 120
    figures = report.to_json()
    assert figures["stages"]["final"]["hr@10"] > 1.5 * figures["baselines"]["popularity"]["hr@10"]
    assert set(figures["stages"]) == {"retrieval", "filtered", "ranked", "final"}


def test_impressions_are_logged_for_known_users_and_only_what_was_shown(home: Home) -> None:
    shown = home.recommend("u7", size=4)
    home.recommend("u7", size=4, context={"surface": "home", "hour": 7})
    home.recommend(size=4)
    home.close()
    with SqliteEventLog(home.folders.log, home.settings.action_names) as log:
        logged = [impression for _, impression in log.impressions()]
    assert (logged[0].user_id, logged[0].request_id) == ("u7", shown.request_id)
    assert logged[0].shown == tuple(item.item_id for item in shown.items)
    assert [i.context for i in logged] == [{}, {"surface": "home", "hour": 7.0}]


def test_user_attributes_are_kept_and_a_deleted_user_is_gone(home: Home) -> None:
    home.put_users([UserChange(at=1.0, user_id="u1", attributes={"country": "x"})])
    assert home.user("u1").attributes == {"country": "x"}
    home.delete_user("u1")
    with pytest.raises(NotFound, match="'u1'"):
        home.user("u1")


def test_a_promoted_bundle_that_is_damaged_leaves_the_held_one_in_service(home: Home) -> None:
    first = home.recommend("u1").bundle
    second = home.train(promote=False).bundle
    file = home.folders.bundles / second / "item_vectors.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    (home.folders.bundles / "LIVE").write_text(second)
    home._engine._looked_ms = -1e9
    assert home.recommend("u1").bundle == first
    with pytest.raises(slatewise.BundleError, match=r"item_vectors\.npy"):
        home.promote(second)
    assert home.recommend("u1").bundle == first


def test_data_frames_are_imported_like_files(tmp_path: Path) -> None:
    interactions = pd.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "x"], "when": [1e9, 1e9 + 1, 1e9 + 2]})
    items = pd.DataFrame({"item_id": ["x", "y"], "title": ["X", "Y"], "price": [1.5, 2.0]})
    mapping = {"user_id": "user", "item_id": "item", "timestamp": "when"}
    with slatewise.open(tmp_path / "frames") as home:
        report = home.import_data(interactions, items=items, mapping=mapping)
        assert (report.interactions, report.items, report.rejected) == (3, 2, {})
        assert home.item("x").attributes == {"price": 1.5}
        again = home.import_data(interactions, items=items, mapping=mapping)
        assert (again.interactions, again.items, again.duplicates) == (0, 0, 3)


def test_importing_the_same_folder_twice_stores_everything_once(tmp_path: Path) -> None:
    data, _ = generate(ShopSettings(n_users=30, n_items=60, days=4))
    (tmp_path / "data").mkdir()
    write_shop(data, tmp_path / "data")
    with slatewise.open(tmp_path / "home") as home:
        first = home.import_data(tmp_path / "data")
        assert first.rejected == {}
        assert (first.users, first.items, first.impressions) == (30, 60, len(data.impressions))
        version = home.version
        again = home.import_data(tmp_path / "data")
        assert (again.users, again.items, again.impressions, again.interactions) == (0, 0, 0, 0)
        assert again.duplicates == first.interactions == len(data.interactions)
        assert home.version == version


def test_towers_that_do_not_beat_the_spectral_factors_leave_retrieval_to_them(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra slatewise[train]")
    items, users, events = walkers()
    # No time to learn: the towers stay as they were drawn.
    idle = {"training.dim": 16, "training.minutes": 1e-9, "training.ranker_epochs": 2, "training.batch_size": 8}
    with slatewise.open(tmp_path / "home", settings=idle) as home:
        home.put_items([*items])
        home.put_users(users)
        home.record(events[:3000])
        facts = home.train().facts
        assert facts["retriever"]["spectral_ndcg@10"] > facts["retriever"]["towers_ndcg@10"]
        assert facts["kind"] == "spectral"
        assert facts["ranker"]["shipped"] == (home.folders.bundles / home.bundles()[0].id / "ranker.onnx").exists()
        answer = home.recommend("u1")
        assert len(answer.items) == 10
        assert answer.degraded == ()
        assert len(home.recommend().items) == 10, "nobody's vector is none, and other sources answer"


def test_a_deleted_item_leaves_the_index_and_comes_back_with_its_next_description(home: Home) -> None:
    index = home._engine.current().live.index
    assert len(index) == 80
    home.delete_item("c1-1")
    assert len(index) == 79
    home.put_items([ItemChange(at=home.clock.now(), item_id="c1-1", categories=("kind1",))])
    assert len(index) == 80


def test_a_bundle_trained_on_a_part_serves_with_counters_of_the_whole(home: Home) -> None:
    home.train(holdout="last-item")
    total = home._engine.current().live.state.popularity.total
    assert total.sum() == 3000, "what was held out for evaluation still happened"
