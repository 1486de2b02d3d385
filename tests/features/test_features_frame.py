from types import SimpleNamespace

import numpy as np
import pytest

from slatewise.domain.candidate import Candidates
from slatewise.domain.columns import Interactions
from slatewise.domain.history import EMPTY_HISTORY, History
from slatewise.domain.query import Query, Resolved, UserState
from slatewise.features.attributes import AttributeEncoder, fit_schema
from slatewise.features.content import Content, ContentLayout
from slatewise.features.frame import DenseFrame, names_for
from slatewise.features.sequences import GAP_BUCKETS, gap_buckets
from slatewise.features.state import CountedState

DAY = 86_400.0
NOW = 1.7e9
SCHEMA = fit_schema([{"brand": "a"}, {"brand": "a"}, {"brand": "b"}, {"brand": "b"}, {}, {}])
LAYOUT = ContentLayout.of(SCHEMA)
TOKENS = LAYOUT.pack(AttributeEncoder(SCHEMA).encode([{"brand": b} if b else {} for b in "aabb"] + [{}, {}]))
CONTENT = Content(LAYOUT, lambda rows: TOKENS[rows])
NAMES = names_for(("view", "buy"), LAYOUT.names)
VECTORS = np.eye(6, dtype=np.float32)


def frame_of(state: CountedState, vectors: np.ndarray = VECTORS, wanted: tuple[str, ...] = ()) -> DenseFrame:
    codes = np.array([0, 0, 1, 1, -1, 2])
    created = np.array([NOW - DAY, np.nan, NOW, NOW, NOW, NOW])
    catalogue = SimpleNamespace(codes=lambda name: codes, created_at=created)
    return DenseFrame(
        state,
        catalogue,  # type: ignore[arg-type]
        lambda rows: vectors[rows],
        {"view": 0, "buy": 1},
        CONTENT,
        wanted=wanted,
    )


def query(history: History, vector: np.ndarray | None = None) -> Resolved:
    user = UserState(row=0, version=0, history=history, seen=np.empty(0, np.int64))
    return Resolved(query=Query(request_id="", at=NOW), user=user, vector=vector, blocked=user.seen, allow=None)


def candidates(*rows: int) -> Candidates:
    return Candidates.of("test", np.array(rows, np.int64), np.zeros(len(rows), np.float32))


def folded(items: list[int], user: int = 0) -> CountedState:
    state = CountedState([0])
    n = len(items)
    at = NOW - np.arange(n, 0, -1) * 3600.0
    columns = (np.arange(n), np.full(n, user), np.array(items), np.zeros(n, np.int64), at, np.ones(n, np.float32))
    state.fold(Interactions(*columns))
    return state


def value(name: str, values: np.ndarray, row: int = 0) -> float:
    return float(values[row, NAMES.index(name)])


def test_columns_say_what_their_names_say() -> None:
    history = History(np.array([1, 2]), np.zeros(2, np.int64), np.array([NOW - 2 * DAY, NOW - DAY]))
    frame = frame_of(folded([1, 2, 3, 1, 2, 3])).read(query(history, VECTORS[3:4]), candidates(3, 2, 0))
    assert frame.shape == (3, len(NAMES))
    assert value("affinity", frame, 0) == 1.0
    assert value("affinity_to_last", frame, 1) == 1.0
    assert value("affinity_to_recent_mean", frame, 1) == 0.5
    assert value("popularity", frame, 0) == pytest.approx(np.log1p(2))
    assert value("follows_last", frame, 0) > 0, "3 followed 2, which was last"
    assert value("follows_last", frame, 2) == 0
    assert value("contacts", frame, 1) == pytest.approx(np.log1p(1))
    assert value("since_contact", frame, 1) == pytest.approx(np.log1p(86_400), abs=1e-5)
    assert value("contact_lag", frame, 1) == 0, "2 was the last"
    assert value("contact_before_last", frame, 1) == 0
    assert value("contacts_view", frame, 1) == pytest.approx(np.log1p(1))
    assert value("contacts_buy", frame, 1) == 0
    assert value("trend_day", frame, 0) < value("trend_month", frame, 0) < 0, (
        "two of old count less, the faster the less"
    )
    assert value("since_last", frame, 0) == pytest.approx(np.log1p(86_400), abs=1e-5)
    assert value("age", frame, 2) == pytest.approx(np.log1p(86_400), abs=1e-5)
    assert value("category_share", frame, 2) == pytest.approx(0.5)
    assert value("share_brand", frame, 2) == pytest.approx(0.5), "rows 0 and 1 are of one brand"


def test_what_is_not_known_is_missing_and_not_zero() -> None:
    frame = frame_of(CountedState([0])).read(query(EMPTY_HISTORY), candidates(1, 4))
    for name in ("affinity", "affinity_to_last", "since_last", "since_contact", "contact_lag", "category_since"):
        assert np.isnan(value(name, frame)), name
    assert np.isnan(value("age", frame)), "created at an unknown time"
    assert np.isnan(value("category_share", frame, 1)), "an item without a category"


def test_a_candidates_values_do_not_depend_on_the_others() -> None:
    vectors = np.random.default_rng(0).standard_normal((6, 64)).astype(np.float32)
    frame = frame_of(folded([1, 2, 3, 1, 2, 5, 4]), vectors)
    asked = query(History(np.array([1, 2]), np.zeros(2, np.int64), np.array([NOW - 50, NOW - 5])), vectors[2:3])
    whole = frame.read(asked, candidates(0, 1, 2, 3, 4, 5))
    for row in range(6):
        np.testing.assert_array_equal(frame.read(asked, candidates(row))[0], whole[row])
    turned = frame.read(asked, candidates(5, 3, 0, 4))
    np.testing.assert_array_equal(turned, whole[[5, 3, 0, 4]], err_msg="to the last digit, wherever it stands")


def test_live_values_equal_those_of_a_replay_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    n = 1500
    columns = Interactions(
        np.arange(n),
        rng.integers(0, 20, n),
        rng.integers(0, 6, n),
        np.zeros(n, np.int64),
        NOW - 30 * DAY + np.sort(rng.uniform(0, 29 * DAY, n)),
        np.ones(n, np.float32),
    )
    live = CountedState([0])
    asked = query(History(np.array([1, 2, 5]), np.zeros(3, np.int64), NOW - np.array([500.0, 50, 5])), VECTORS[2:3])
    for i in range(n):
        live.fold(columns.take(slice(i, i + 1)))
        if i % 300 == 299:
            replayed = CountedState([0])
            replayed.fold(columns.take(slice(0, i + 1)))
            every = candidates(*range(6))
            np.testing.assert_array_equal(frame_of(live).read(asked, every), frame_of(replayed).read(asked, every))


def test_contacts_are_told_apart_by_action_and_by_how_long_ago() -> None:
    history = History(np.array([3, 2, 3, 1]), np.array([0, 0, 1, 0]), NOW - np.array([300.0, 200, 100, 10]))
    frame = frame_of(folded([1, 2])).read(query(history), candidates(3, 5))
    assert value("contacts", frame) == pytest.approx(np.log1p(2))
    assert [value(f"contacts_{action}", frame) for action in ("view", "buy")] == pytest.approx([np.log1p(1)] * 2)
    assert value("contact_lag", frame) == pytest.approx(np.log1p(1)), "one step came after"
    assert value("contact_before_last", frame) == pytest.approx(np.log1p(90))
    assert np.isnan(value("contact_lag", frame, 1))
    assert value("contacts_buy", frame, 1) == 0


def test_an_old_item_tells_no_calendar() -> None:
    created = np.array([NOW - 100 * DAY, NOW - 400 * DAY, NOW - 3 * DAY, NOW, NOW, NOW])
    catalogue = SimpleNamespace(codes=lambda name: np.zeros(6, np.int64), created_at=created)
    frame = DenseFrame(CountedState([0]), catalogue, lambda rows: VECTORS[rows], {}, CONTENT)  # type: ignore[arg-type]
    ages = frame.read(query(EMPTY_HISTORY), candidates(0, 1, 2))[:, frame.names.index("age")]
    assert ages[0] == ages[1] > ages[2]


def test_hours_meet_at_midnight() -> None:
    midnight = np.floor(NOW / DAY) * DAY
    state, nobody = CountedState([0]), UserState(row=-1, version=0, history=EMPTY_HISTORY, seen=np.empty(0, np.int64))

    def hour(at: float) -> list[float]:
        asked = Resolved(query=Query(request_id="", at=at), user=nobody, vector=None, blocked=nobody.seen, allow=None)
        frame = frame_of(state).read(asked, candidates(0))
        return [value("hour_sine", frame), value("hour_cosine", frame)]

    assert hour(midnight - 1) == pytest.approx(hour(midnight + 1), abs=1e-3)
    assert hour(midnight) == pytest.approx([0, 1], abs=1e-6)
    assert hour(midnight + DAY / 2) == pytest.approx([0, -1], abs=1e-6)


def test_no_candidates_give_no_rows() -> None:
    assert frame_of(CountedState([0])).read(query(EMPTY_HISTORY), candidates()).shape == (0, len(NAMES))


def test_gap_buckets_grow_with_the_gap_and_know_what_is_unknown() -> None:
    at = np.array([NOW, NOW, NOW + 1, NOW + 3601, np.nan, NOW, NOW - 5, NOW + 1e12])
    buckets = gap_buckets(at).tolist()
    assert buckets == [0, 1, 2, 12, 0, 0, 1, GAP_BUCKETS - 1]


def test_the_lasting_taste_wanders_and_a_visit_ends() -> None:
    minute = 60.0
    at = np.array([NOW - 6 * DAY, NOW - 60 * minute, NOW - 20 * minute, NOW - minute])
    history = History(np.array([0, 1, 2, 3]), np.zeros(4, np.int64), at)
    frame = frame_of(folded([])).read(query(history), candidates(0, 1, 2, 3))
    lasting, visit = (frame[:, NAMES.index(f"affinity_to_{name}")] for name in ("lasting", "visit"))
    assert lasting[0] == pytest.approx(0.5 * lasting[3], rel=1e-2), "six days ago counts half"
    assert lasting[1] == pytest.approx(lasting[3], rel=1e-2)
    assert lasting.sum() == pytest.approx(3.5 / 6.5, rel=1e-2), "three interactions' worth of doubt"
    assert visit == pytest.approx([0.0, 0.0, 0.6 / 1.6, 1.0 / 1.6])
    assert value("visit_length", frame) == 2
    later = frame_of(folded([])).read(query(History(history.row, history.action, at - 30 * minute)), candidates(3))
    assert value("visit_length", later) == 0
    assert np.isnan(value("affinity_to_visit", later))


def test_steps_without_a_time_are_of_no_visit() -> None:
    history = History(np.array([0, 1]), np.zeros(2, np.int64), np.array([np.nan, np.nan]))
    frame = frame_of(folded([])).read(query(history), candidates(0, 2))
    assert frame[:, NAMES.index("affinity_to_lasting")] == pytest.approx([1 / 5, 0.0])
    assert value("visit_length", frame) == 0


def test_a_ranker_of_before_reads_the_columns_it_learned_from() -> None:
    before = tuple(name for name in NAMES if name not in ("affinity_to_visit", "visit_length"))
    history = History(np.array([1, 2]), np.zeros(2, np.int64), np.array([NOW - 2 * DAY, NOW - DAY]))
    state = folded([1, 2, 3])
    asked = query(history, VECTORS[3:4])
    today, frame = frame_of(state), frame_of(state, wanted=before)
    assert frame.names == before
    every = today.read(asked, candidates(3, 2))
    kept = every[:, [NAMES.index(name) for name in before]]
    np.testing.assert_array_equal(frame.read(asked, candidates(3, 2)), kept)
