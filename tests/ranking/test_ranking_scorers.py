import numpy as np
import pytest

from slatewise.domain.errors import ConfigError
from slatewise.ports.models import Bag, Sequence
from slatewise.ranking.model_scorer import ModelScorer
from slatewise.ranking.retrieval_scorer import RetrievalScorer
from slatewise.testing.small_shop import DIM, item_vectors
from slatewise.testing.stages import ScorerContract, candidates, resolved


class RowFrame:
    names = ("parity",)

    def read(self, query, candidates):
        return (candidates.row[:, None] % 2).astype(np.float32)


class LogisticRanker:
    """A real function: probabilities from the affinity and the one feature."""

    actions = ("click", "buy", "hide")

    def predict(self, history, user, attributes, candidates, features):
        assert history.item.shape == (1, 0, DIM)
        affinity = (candidates * user).sum(1) + features[:, 0]
        return {a: (1 / (1 + np.exp(-affinity * (i + 1)))).astype(np.float32) for i, a in enumerate(self.actions)}


def inputs(query, rows):
    empty = np.zeros((1, 0), np.int64)
    none = np.zeros((1, 0), np.float32)
    history = Sequence(np.zeros((1, 0, DIM), np.float32), empty, empty, none, none)
    return history, query.vector, Bag(empty, none), item_vectors(rows)


def scorer(weights, ranker=None):
    return ModelScorer(ranker or LogisticRanker(), RowFrame(), inputs, weights)


class TestModelScorer(ScorerContract):
    def make(self, shop):
        return scorer({"click": 1.0, "buy": 4.0})


QUERY = resolved(vector=item_vectors(np.array([1])))


def test_score_is_the_weighted_sum_of_probabilities():
    scored = scorer({"click": 1.0, "buy": 4.0, "hide": -2.0}).score(QUERY, candidates(range(5)))
    p = scored.probabilities
    assert scored.score == pytest.approx(p["click"] + 4 * p["buy"] - 2 * p["hide"], rel=1e-6)
    assert scored.features.tolist() == [[0], [1], [0], [1], [0]]


def test_heads_without_a_weight_and_weights_without_a_head_are_ignored():
    scored = scorer({"click": 1.0, "share": 9.0}).score(QUERY, candidates(range(5)))
    assert np.array_equal(scored.score, scored.probabilities["click"])
    assert "buy" in scored.probabilities


def test_weights_of_the_query_stand_in_action_by_action():
    query = resolved(vector=item_vectors(np.array([1])), weights={"buy": 0.5, "hide": 1, "share": 7.0})
    scored = scorer({"click": 1.0, "buy": 4.0}).score(query, candidates(range(5)))
    p = scored.probabilities
    assert scored.score == pytest.approx(p["click"] + 0.5 * p["buy"] + p["hide"], rel=1e-6)


def test_a_ranker_without_any_weighted_head_is_refused():
    with pytest.raises(ConfigError, match="no action of the ranker"):
        scorer({"share": 1.0})


def test_an_unknown_probability_gives_no_score():
    class Unsure(LogisticRanker):
        def predict(self, history, user, attributes, candidates, features):
            return {"click": np.array([0.5, np.nan], np.float32)}

    scored = scorer({"click": 1.0}, Unsure()).score(QUERY, candidates([1, 2]))
    assert scored.score[0] == 0.5
    assert np.isnan(scored.score[1])


def test_retrieval_scorer_keeps_the_order_of_retrieval_even_for_thousands():
    score = RetrievalScorer().score(resolved(), candidates(range(5000))).score
    assert np.all(np.diff(score) < 0)
    assert score.dtype == np.float32
