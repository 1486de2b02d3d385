from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slatewise.domain.slate import Evidence
from slatewise.evaluation.lambdarank import FILE, open_lambdarank
from slatewise.training.lambdarank import LAMBDARANK, fit_lambdarank
from slatewise.training.slates import Slates
from slatewise.training.windows import pad_histories

lightgbm = pytest.importorskip("lightgbm", reason="trees need the extra slatewise[train]")


def slates(count: int = 300, width: int = 12, shown: int = 9) -> Slates:
    """Of each slate the candidate with the largest second feature was wanted; the last places are padding."""
    rng = np.random.default_rng(0)
    feature = rng.standard_normal((count, width, 3)).astype(np.float32)
    candidate = np.tile(np.arange(width), (count, 1))
    candidate[:, shown:] = -1
    label = np.zeros((count, width, 2), bool)
    label[np.arange(count), feature[:, :shown, 1].argmax(1), 1] = True
    feature[:, shown:] = 99.0
    feature[::7, 0, 0] = np.nan
    past = pad_histories([], 4)
    vector = np.zeros((count, 2), np.float32)
    return Slates(np.arange(count), vector, past, candidate, feature, label, np.full((count, width), -1))


def test_trees_find_the_feature_that_orders_and_a_bundle_keeps_them(tmp_path: Path) -> None:
    given = slates()
    trees = fit_lambdarank(given, np.arange(300) < 60, seed=0, threads=1)
    assert trees is not None
    assert type(trees.ndcg) is float, "the card is JSON"
    assert trees.ndcg > 0.95
    assert LAMBDARANK == FILE
    trees.save(tmp_path / FILE)
    rescore = open_lambdarank(tmp_path)
    assert rescore is not None
    feature = given.feature[-1, :9]
    scores = rescore(Evidence(row=np.arange(9), feature_names=("a", "b", "c"), features=feature, probabilities={}))
    assert int(scores.argmax()) in np.argsort(feature[:, 1])[-2:]
    assert open_lambdarank(tmp_path / "elsewhere") is None


def test_trees_need_slates_to_learn_from_and_slates_to_be_judged_by() -> None:
    given = slates(20)
    assert fit_lambdarank(given, np.zeros(20, bool), seed=0, threads=1) is None
    assert fit_lambdarank(given, np.ones(20, bool), seed=0, threads=1) is None
    given.label[:] = False
    assert fit_lambdarank(given, np.arange(20) < 5, seed=0, threads=1) is None


def test_trees_put_what_weighs_more_first() -> None:
    given = slates()
    # Of each slate the candidate with the largest first feature was clicked, that with the largest second bought.
    feature = np.random.default_rng(4).standard_normal(given.feature.shape).astype(np.float32)
    label = np.zeros_like(given.label)
    for head in (0, 1):
        label[np.arange(300), feature[:, :9, head].argmax(1), head] = True
    weighed = replace(given, feature=feature, label=label, weight=np.array([1.0, 0.1]))
    first = []
    for weight in ([1.0, 0.05], [0.05, 1.0]):
        trees = fit_lambdarank(replace(weighed, weight=np.array(weight)), np.arange(300) < 60, seed=0, threads=1)
        assert trees is not None
        assert trees.ndcg > 0.9
        predicted = lightgbm.Booster(model_str=trees.text).predict(feature[:60, :9].reshape(-1, 3)).reshape(60, 9)
        first.append([float(label[np.arange(60), predicted.argmax(1), head].mean()) for head in (0, 1)])
    assert first[0][0] > 0.75 > 0.4 > first[0][1]
    assert first[1][1] > 0.75 > 0.4 > first[1][0]


def test_trees_that_say_nothing_are_not_judged_by_the_order_of_retrieval() -> None:
    given = slates()
    # What is wanted stands first, and the features, equal for most, know nothing of it.
    label = np.zeros_like(given.label)
    label[:, 0, 0] = True
    noise = np.random.default_rng(3).random(given.feature.shape)
    blind = replace(given, label=label, feature=(noise > 0.9).astype(np.float32))
    trees = fit_lambdarank(blind, np.arange(300) < 60, seed=0, threads=1)
    assert trees is not None
    assert trees.ndcg < 0.65, "chance gives about .5"
