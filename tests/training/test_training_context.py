"""What a request says of where it comes from: learned from logged slates, read the same way live."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

import slatewise
from slatewise.datasets.dataset import Dataset
from slatewise.domain.columns import Interactions
from slatewise.domain.events import AttributeValue, Impression
from slatewise.domain.settings import Settings
from slatewise.features.attributes import AttributeSchema
from slatewise.models.ranker import OnnxRanker
from slatewise.ports.models import Bag
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.testing.worlds import START, surfaces
from slatewise.training import learn_ranker
from slatewise.training.files import read_schema
from slatewise.training.learn import material_of
from slatewise.training.material import TrainingInput
from slatewise.training.ranker_slates import RankerData
from slatewise.training.visible import visible

HOME, SEARCH = {"surface": "home"}, {"surface": "search"}
SMALL = {
    "training.deep": "on",
    "training.dim": 16,
    "training.history_length": 10,
    "training.epochs": 3,
    "training.ranker_epochs": 6,
    "training.negatives": 32,
    "training.learning_rate": 0.004,
    "training.threads": 1,
    "filtering.seen": False,
    "cache.max_bytes": 0,
    "telemetry.impressions": "off",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A deep ranker fitted on slates of two surfaces, and what it was fitted on."""
    pytest.importorskip("torch", reason="a ranker needs the extra slatewise[train]")
    items, people, shown, clicks = surfaces()
    given: list[tuple[RankerData, Bag]] = []

    class Watched(RankerData):
        def __init__(self, slates, requests, embeddings, vectors) -> None:  # type: ignore[no-untyped-def]
            super().__init__(slates, requests, embeddings, vectors)
            given.append((self, requests))

    with (
        pytest.MonkeyPatch.context() as patch,
        slatewise.open(tmp_path_factory.mktemp("surfaces") / "home", settings=SMALL) as home,
    ):
        patch.setattr(learn_ranker, "RankerData", Watched)
        home.import_data(Dataset(items=items, users=people, impressions=shown, interactions=clicks))
        bundle = home.train().bundle
        (data, bag), folder = given[0], home.folders.bundles / bundle
        yield SimpleNamespace(home=home, slates=data.slates, bag=bag, folder=folder, people=people)


def leanings(trained: SimpleNamespace, context: Mapping[str, AttributeValue]) -> tuple[float, float]:
    """Return the share of the first category among the first ten, and how far its mean score lies above the other's."""
    shares, margins = [], []
    for user in range(30):
        answer = trained.home.recommend(f"u{user}", size=40, context=context)
        first = np.array([item.item_id.startswith("c0") for item in answer.items])
        score = np.array([item.score for item in answer.items])
        assert answer.degraded == ()
        shares.append(first[:10].mean())
        margins.append(score[first].mean() - score[~first].mean())
    return float(np.mean(shares)), float(np.mean(margins))


def test_the_ranker_orders_by_the_surface_and_without_one_it_does_not(trained: SimpleNamespace) -> None:
    home, search, nowhere = (leanings(trained, context) for context in (HOME, SEARCH, {}))
    assert home[0] > 0.9
    assert search[0] < 0.1
    assert 0.3 < nowhere[0] < 0.7
    assert min(home[1], -search[1]) > 3 * abs(nowhere[1])


def test_a_surface_that_training_never_saw_is_no_surface(trained: SimpleNamespace) -> None:
    # Not to the last digit: elapsed times are features, and some pass between the questions.
    unknown = leanings(trained, {"surface": "billboard", "weather": 3.0})
    assert unknown == pytest.approx(leanings(trained, {}), abs=1e-3)


def test_weights_of_a_request_order_its_answer_and_no_other(trained: SimpleNamespace) -> None:
    usual = trained.home.recommend("u1", size=40, context=HOME)
    turned = trained.home.recommend("u1", size=40, context=HOME, weights={"click": -2.0})
    score = {item.item_id: item.score for item in usual.items}
    assert {item.item_id for item in turned.items} == set(score)
    assert [item.score for item in turned.items] == pytest.approx(
        [-2.0 * score[item.item_id] for item in turned.items], abs=1e-3
    )
    assert turned.items[0].item_id.startswith("c1"), "on this surface the other category is clicked"
    assert trained.home.recommend("u1", size=40, context=HOME).items[0].item_id.startswith("c0")


def test_what_the_ranker_reads_live_is_what_it_read_in_training(
    trained: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Bag] = []
    predict = OnnxRanker.predict

    def watched(self, history, user, request, candidates, features):  # type: ignore[no-untyped-def]
        read.append(request)
        return predict(self, history, user, request, candidates, features)

    monkeypatch.setattr(OnnxRanker, "predict", watched)
    sizes = []
    for slate in range(0, len(trained.slates), 100):
        user, context = int(trained.slates.user[slate]), trained.slates.context[slate]
        read.clear()
        trained.home.recommend(trained.people[user].user_id, context=context)
        (live,) = read
        assert held(live, 0) == held(trained.bag, slate)
        sizes.append(len(held(live, 0)))
    assert max(sizes) == 3, "a country, a surface, a device"


def held(bag: Bag, row: int) -> list[tuple[int, float]]:
    kept = bag.token[row] > 0
    return list(zip(bag.token[row][kept].tolist(), bag.weight[row][kept].tolist(), strict=True))


def test_a_bundle_from_before_contexts_were_logged_knows_none(trained: SimpleNamespace, tmp_path: Path) -> None:
    told = msgspec.json.decode((trained.folder / "schema.json").read_bytes())
    assert [field["name"] for field in told.pop("contexts")["fields"]] == ["device", "surface"]
    (tmp_path / "schema.json").write_bytes(msgspec.json.encode(told))
    assert read_schema(tmp_path).contexts == AttributeSchema(())
    assert replace_contexts(read_schema(trained.folder)) == read_schema(tmp_path)


def replace_contexts(schema):  # type: ignore[no-untyped-def]
    return msgspec.structs.replace(schema, contexts=AttributeSchema(()))


def slate(n: int, user: int, at: float, surface: str) -> tuple[int, int, Impression, np.ndarray]:
    said = Impression(
        at=START + at, user_id=f"u{user}", request_id=f"r{n}", shown=("a", "b"), context={"surface": surface}
    )
    return (n, user, said, np.array([0, 1]))


@pytest.fixture
def asked() -> TrainingInput:
    """Two users with four clicks each; the last of user 1 came from slate 3, an earlier one from slate 2."""
    at = START + np.array([0.0, 10.0, 20.0, 30.0, 1.0, 11.0, 21.0, 25.0])
    user, item = np.repeat([0, 1], 4), np.array([0, 1, 0, 1, 1, 0, 0, 1])
    clicks = Interactions(np.arange(8), user, item, np.zeros(8, np.int64), at, np.ones(8, np.float32))
    impressions = [
        slate(0, 0, 5.0, "early"),
        slate(1, 0, 15.0, "early"),
        slate(2, 1, 20.5, "early"),
        slate(3, 1, 20.8, "told"),
        slate(4, 0, 29.0, "late"),
        slate(5, 0, 29.5, "late"),
    ]
    catalogue: LiveCatalogue = None  # type: ignore[assignment]
    return TrainingInput(clicks, impressions, {"r2": [(0, 0)], "r3": [(1, 0)]}, [{}, {}], {}, catalogue, 9)


def test_contexts_of_what_is_held_out_are_not_read(asked: TrainingInput, settings: Settings) -> None:
    kept = visible(asked, "last-item")
    assert [n for n, *_ in kept.impressions] == [0, 1, 2], "one led to the answer, two are newer than all that is left"
    assert len(kept.interactions) == 6
    _, schema = material_of(kept, kept.interactions, settings, "last-item")
    assert [field.values for field in schema.contexts.fields] == [("early",)]


def test_without_a_holdout_everything_up_to_the_newest_click_is_read(asked: TrainingInput) -> None:
    newer = replace(asked, impressions=[*asked.impressions, slate(6, 1, 31.0, "unanswered")])
    assert [n for n, *_ in visible(newer, "none").impressions] == [0, 1, 2, 3, 4, 5]
    assert [n for n, *_ in visible(newer, "time").impressions] == [0, 1, 2]
