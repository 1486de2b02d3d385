import numpy as np
import pytest

from slatewise.domain.events import ItemChange, Stored
from slatewise.domain.history import History
from slatewise.features.attributes import AttributeEncoder, AttributeSchema, fit_schema
from slatewise.features.content import NO_TOKENS, ContentLayout
from slatewise.features.request_bag import RequestEncoder
from slatewise.features.state import CountedState
from slatewise.index.exact import ExactIndex
from slatewise.models.spectral import SpectralFactors
from slatewise.models.taste_table import TasteTable
from slatewise.ports.models import Bag
from slatewise.serving.live import LiveBundle, Models

DIM = 2
NOTHING = AttributeSchema(())


class Towers:
    dim = DIM

    def encode(self, known: np.ndarray, item: Bag) -> tuple[np.ndarray, np.ndarray]:
        return np.full((1, DIM), 7.0, np.float32), np.ones((1, DIM), np.float32)


def models(schema: AttributeSchema = NOTHING, **more: object) -> Models:
    return Models(
        user_tower=Towers(),  # type: ignore[arg-type]
        item_tower=Towers(),
        ranker=None,
        items=AttributeEncoder(schema),
        requests=RequestEncoder(NOTHING, NOTHING),
        actions=("view", "buy"),
        history_length=50,
        ranker_history=50,
        trained_items=3,
        reads_order=True,
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
def live() -> LiveBundle:
    embeddings = np.arange(6, dtype=np.float32).reshape(3, DIM)
    layout = ContentLayout.of(NOTHING)
    tokens = np.zeros((3, 0), NO_TOKENS.dtype)
    index = ExactIndex(DIM)
    state = CountedState([0])
    return LiveBundle("b", models(), index, state, embeddings, embeddings.copy(), layout, tokens, ("view", "buy"))


def history(*rows: int) -> History:
    return History(np.array(rows), np.zeros(len(rows), np.int64), np.arange(float(len(rows))))


def test_a_history_is_read_once_for_tower_and_ranker(live: LiveBundle) -> None:
    past = history(0, 2)
    assert live.sequence(past, 50) is live.sequence(past, 50)
    assert live.sequence(past, 1).item.shape == (1, 1, DIM)
    other = live.sequence(history(1), 50)
    np.testing.assert_array_equal(other.item, [[[2.0, 3.0]]])


def test_a_history_is_read_again_once_an_item_in_it_has_changed(live: LiveBundle) -> None:
    past = history(0, 2)
    np.testing.assert_array_equal(live.sequence(past, 50).item[0, 1], [4.0, 5.0])
    live.follow([Stored(offset=5, event=ItemChange(at=1.0, item_id="c"), user=-1, item=2)])
    np.testing.assert_array_equal(live.sequence(past, 50).item[0, 1], [7.0, 7.0])


def test_a_new_or_changed_item_is_placed_among_tastes_by_its_attributes() -> None:
    schema = fit_schema([{"brand": b} for b in "aabb"])
    table = TasteTable(
        np.array([[0, 0, 0], [1, 0, 0.5], [0, 1, -0.5]], np.float32), np.array([[0, 0, 1.0]] * 3, np.float32)
    )
    factors = SpectralFactors(np.ones((3, 2), np.float32), np.ones((3, 2), np.float32), np.ones(2, np.float32))
    layout = ContentLayout.of(schema)
    placed = np.array([[1, 0, 1.5]] * 3, np.float32)
    arrays = np.zeros((3, DIM), np.float32), np.zeros((3, DIM), np.float32)
    tokens = np.zeros((3, layout.width), NO_TOKENS.dtype)
    known = models(schema, factors=factors, tastes=table)
    live = LiveBundle(
        "b", known, ExactIndex(DIM), CountedState([0]), *arrays, layout, tokens, ("view", "buy"), tastes=placed
    )
    for row, brand in ((1, "b"), (4, "a")):
        change = ItemChange(at=1.0, item_id=f"i{row}", attributes={"brand": brand})
        live.follow([Stored(offset=row, event=change, user=-1, item=row)])
    expected = [[1, 0, 1.5], [0, 1, 0.5], [0, 0, 0], [1, 0, 0.5], [0, 0, 0]]
    np.testing.assert_array_equal(live.tastes(np.array([0, 1, 3, 4, 99])), expected)
    spaces = live.spaces()
    assert spaces is not None
    np.testing.assert_array_equal(spaces.inputs(np.array([2, 4])), [[1, 1], [0, 0]], err_msg="zeros for later items")
