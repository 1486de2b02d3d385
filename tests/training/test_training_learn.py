from types import SimpleNamespace

import numpy as np
import pytest

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import TrainingError
from slatewise.domain.history import History
from slatewise.domain.holdout import held_out
from slatewise.domain.settings import Settings
from slatewise.features.attributes import AttributeEncoder
from slatewise.features.sequences import as_sequence
from slatewise.models.ranker import OnnxRanker
from slatewise.models.towers import OnnxItemTower, OnnxUserTower
from slatewise.ports.models import Bag
from slatewise.telemetry.clock import SystemClock
from slatewise.training.files import RANKER, RANKER_INT8, RANKER_SMALL, read_schema
from slatewise.training.learn import learn
from slatewise.training.material import Histories, TrainingInput
from slatewise.training.progress import Silent
from slatewise.wiring.settings import load_settings


def test_towers_find_the_next_item_that_popularity_cannot(world: SimpleNamespace) -> None:
    tower = OnnxUserTower(world.folder / "user_tower.onnx", 16)
    hits = popular_hits = 0
    train = world.given.interactions.take(~held_out(world.given.interactions, "last-item"))
    popular = np.argsort(-np.bincount(train.item, minlength=80))[:10]
    histories = Histories.of(world.given.interactions)
    blank = AttributeEncoder(world.learned.schema.users).encode([{}])
    for i in range(len(histories)):
        history = histories.history(i)
        past = History(history.row[:-1], history.action[:-1], history.at[:-1])
        recent = past.last(20)
        vector = tower.encode(as_sequence(past, 20, world.learned.embeddings[recent.row]), blank)
        top = np.argsort(-(world.learned.vectors @ vector[0]))[:10]
        hits += int(history.row[-1]) in top
        popular_hits += int(history.row[-1]) in popular
    assert hits / len(histories) > 0.6
    assert hits > 2 * popular_hits


def test_ranker_beats_retrieval_on_held_back_slates_and_ships(world: SimpleNamespace) -> None:
    facts = world.learned.facts["ranker"]
    assert facts["validation_ndcg@10"] > facts["retrieval_ndcg@10"]
    assert facts["shipped"]
    assert world.learned.schema.heads == ("click",)
    assert (world.folder / RANKER).exists()
    assert facts["small_ndcg@10"] > facts["retrieval_ndcg@10"]
    assert facts["int8"]["served"] == (world.folder / RANKER_INT8).exists()
    assert facts["int8"]["served"] == (world.learned.schema.precision == "int8")
    assert not facts["int8"]["served"] or facts["int8"]["ndcg@10"] >= 0.998 * facts["int8"]["float_ndcg@10"]


@pytest.mark.parametrize("graph", [RANKER, RANKER_INT8, RANKER_SMALL])
def test_ranker_answers_calibrated_probabilities_one_candidate_at_a_time(world: SimpleNamespace, graph: str) -> None:
    if not (world.folder / graph).exists():
        assert (graph, world.learned.schema.precision) == (RANKER_INT8, "float"), "only 8 bits may lose the comparison"
        pytest.skip("8-bit numbers were no better here")
    ranker = OnnxRanker(world.folder / graph, world.learned.schema.heads)
    nobody = Bag(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32))
    rng = np.random.default_rng(0)
    vectors = world.learned.vectors
    past = History(np.array([3, 4, 5]), np.zeros(3, np.int64), 1.7e9 + np.arange(3.0))
    sequence = as_sequence(past, 50, world.learned.embeddings[past.row])
    features = rng.standard_normal((30, len(world.learned.schema.features))).astype(np.float32)
    features[2, 5] = np.nan
    whole = ranker.predict(sequence, vectors[5:6], nobody, vectors[:30], features)["click"]
    assert whole.shape == (30,)
    assert ((whole >= 0) & (whole <= 1)).all()
    for i in range(30):
        alone = ranker.predict(sequence, vectors[5:6], nobody, vectors[i : i + 1], features[i : i + 1])["click"]
        np.testing.assert_allclose(alone[0], whole[i], rtol=1e-4, atol=1e-6)
    assert world.learned.facts["ranker"]["calibration"]["click"]["ece"] < 0.05


def test_an_item_never_seen_gets_a_vector_among_its_kind(world: SimpleNamespace) -> None:
    tower = OnnxItemTower(world.folder / "item_tower.onnx", 16)
    encoder = AttributeEncoder(world.learned.schema.items)
    _, vector = tower.encode(np.array([0]), encoder.encode([{"title": "Item of kind3", "categories": ("kind3",)}]))
    nearest = np.argsort(-(world.learned.vectors @ vector[0]))[:8]
    of_its_kind = np.isin(nearest, np.arange(30, 40)).mean()
    assert of_its_kind >= 0.6


def test_an_empty_history_has_a_unit_vector(world: SimpleNamespace) -> None:
    tower = OnnxUserTower(world.folder / "user_tower.onnx", 16)
    nothing = History(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    bag = AttributeEncoder(world.learned.schema.users).encode([{}])
    vector = tower.encode(as_sequence(nothing, 20, np.empty((0, 16), np.float32)), bag)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_user_attributes_move_the_vector(world: SimpleNamespace) -> None:
    tower = OnnxUserTower(world.folder / "user_tower.onnx", 16)
    encoder = AttributeEncoder(world.learned.schema.users)
    past = History(np.array([3, 4]), np.zeros(2, np.int64), np.array([1.7e9, 1.7e9 + 60]))
    sequence = as_sequence(past, 20, world.learned.embeddings[past.row])
    a, b = (tower.encode(sequence, encoder.encode([{"country": c}])) for c in "ab")
    assert not np.allclose(a, b, atol=1e-6)


def test_held_out_interactions_never_reach_what_is_trained(world: SimpleNamespace) -> None:
    interactions = world.given.interactions
    hidden = held_out(interactions, "last-item")
    last = {user: i for i, user in enumerate(interactions.user.tolist())}
    assert sorted(last.values()) == np.flatnonzero(hidden).tolist(), "the log is in order of time here"
    with np.load(world.folder / "features" / "popularity.npz") as file:
        counted = file["total"]
    expected = np.bincount(interactions.item[~hidden], minlength=counted.size)
    assert np.array_equal(counted, expected)


def test_schema_written_is_the_schema_read(world: SimpleNamespace) -> None:
    assert read_schema(world.folder) == world.learned.schema


def test_without_deep_models_a_spectral_bundle_is_made(given: TrainingInput, tmp_path: object) -> None:
    folder = tmp_path / "bundle"  # type: ignore[operator]
    folder.mkdir()
    settings = load_settings(None, {}, {"training.deep": "off", "training.dim": 16}).settings
    learned = learn(given, settings, "none", folder, folder / "work", SystemClock(), Silent())
    assert learned.schema.kind == "spectral"
    assert not (folder / "user_tower.onnx").exists()
    own_kind = []
    for row in range(80):
        scores = learned.vectors @ learned.embeddings[row]
        scores[row] = -np.inf
        own_kind.append(np.argmax(scores) // 10 == row // 10)
    assert np.mean(own_kind) > 0.9


def test_too_little_data_is_refused_with_what_is_needed(
    given: TrainingInput, settings: Settings, tmp_path: object
) -> None:
    little = TrainingInput(
        given.interactions.take(slice(0, 5)), (), {}, given.items, given.users, given.catalogue, given.trained_to
    )
    with pytest.raises(TrainingError, match="at least 20"):
        learn(little, settings, "none", tmp_path, tmp_path, SystemClock(), Silent())  # type: ignore[arg-type]


def test_time_holdout_without_times_is_refused(given: TrainingInput, settings: Settings, tmp_path: object) -> None:
    held = given.interactions
    timeless = Interactions(held.offset, held.user, held.item, held.action, np.full(len(held), np.nan), held.value)
    unordered = TrainingInput(timeless, (), {}, given.items, given.users, given.catalogue, given.trained_to)
    with pytest.raises(TrainingError, match="needs timestamps"):
        learn(unordered, settings, "time", tmp_path, tmp_path, SystemClock(), Silent())  # type: ignore[arg-type]
