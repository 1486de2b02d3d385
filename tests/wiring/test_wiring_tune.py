from pathlib import Path

import pytest

import slatewise
from slatewise.domain.errors import ConfigError, TrainingError
from slatewise.testing.worlds import walkers
from slatewise.training.tune import Trial, Tuned
from slatewise.wiring.tune_job import save_best

QUICK = {"training.dim": 32, "training.epochs": 1, "training.minutes": 0.05, "training.threads": 1}


def tuned(best: float = 0.3) -> Tuned:
    trial = Trial({"dim": 96, "dropout": 0.123456}, best)
    return Tuned((trial,), trial, 0.1)


def test_trials_start_with_the_present_settings_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra slatewise[train]")
    pytest.importorskip("optuna", reason="tuning needs the extra slatewise[tune]")
    items, _, events = walkers(users=40, steps=12)
    with slatewise.open(tmp_path / "home", settings=QUICK) as home:
        home.put_items(items)
        home.record(events)
        first = home.tune(trials=1)
        again = home.tune(trials=2, save=True)
        assert home.live_bundle is None, "tuning publishes nothing"
    assert first.trials[0].settings["dim"] == 32
    assert first.trials[0].settings["temperature"] == home.settings.training.temperature
    assert again.trials[0] == first.trials[0]
    assert len(again.trials) == 2
    assert again.best.ndcg == max(trial.ndcg or 0.0 for trial in again.trials)
    assert 0.0 < again.linear_ndcg <= 1.0
    assert (tmp_path / "home" / "reports" / "tune.png").read_bytes().startswith(b"\x89PNG")
    with slatewise.open(tmp_path / "home") as home:
        assert home.settings.training.dim == again.best.settings["dim"]
        assert home.settings.training.dropout == pytest.approx(again.best.settings["dropout"], rel=1e-3)


def test_data_without_an_order_have_no_towers_to_tune(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra slatewise[train]")
    with slatewise.open(tmp_path / "home", settings=QUICK) as home:
        home.record(
            [
                slatewise.Interaction(user_id=f"u{i % 7}", item_id=f"i{i % 5}", action="click", at=None)
                for i in range(35)
            ]
        )
        with pytest.raises(TrainingError, match="no towers to tune: histories have no order"):
            home.tune(trials=1)


def test_the_best_settings_join_a_file_that_has_others(tmp_path: Path) -> None:
    path = tmp_path / "slatewise.toml"
    path.write_text("[http]\nport = 9000")
    save_best(tuned(), path)
    assert path.read_text() == "[http]\nport = 9000\n\n[training]\ndim = 96\ndropout = 0.1235\n"


def test_training_settings_written_by_hand_are_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "slatewise.toml"
    path.write_text("[training]\ndim = 8\n")
    with pytest.raises(ConfigError, match="dim = 96"):
        save_best(tuned(), path)
    assert path.read_text() == "[training]\ndim = 8\n"
