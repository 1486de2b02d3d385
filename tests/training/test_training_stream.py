from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import InputError, TrainingError
from slatewise.domain.settings import TrainingSettings
from slatewise.ports.models import Bag
from slatewise.training import stream
from slatewise.training.material import Histories, HistoryChunks, Material
from slatewise.training.stream import FILE, StreamedHistories, kept_histories, write_histories

ITEMS = 60


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes at which three thousand interactions make several spills, parts to join and parts to cut."""
    monkeypatch.setattr(stream, "BLOCK", 700)
    monkeypatch.setattr(stream, "PARTITIONS", 5)


@pytest.fixture
def interactions() -> Interactions:
    """Interactions in log order, a tenth without a time, a few at equal times; two users have but one and two."""
    rng = np.random.default_rng(5)
    n = 3000
    at = np.where(rng.random(n) < 0.1, np.nan, 1.7e9 + rng.integers(0, 5000, n))
    user = rng.integers(0, 150, n) * 7
    user[[5, 50, 500]] = (1, 2, 2)
    return Interactions(np.arange(n), user, rng.integers(0, ITEMS, n), rng.integers(0, 2, n), at, np.zeros(n, "f4"))


def blocks(interactions: Interactions, size: int = 400) -> Iterator[Interactions]:
    mixed = interactions.take(np.random.default_rng(1).permutation(len(interactions)))
    return (mixed.take(slice(lo, lo + size)) for lo in range(0, len(mixed), size))


def columns(chunk: Histories) -> list[np.ndarray]:
    return [getattr(chunk.ordered, name) for name in ("user", "item", "action", "at")]


def everything(histories: HistoryChunks, seed: int = 0) -> list[Histories]:
    return list(histories.chunks(np.random.default_rng(seed)))


def material(interactions: Interactions) -> Material:
    return Material(
        interactions=interactions,
        n_items=ITEMS,
        items=Bag(1 + np.arange(ITEMS)[:, None] % 4, np.ones((ITEMS, 1), np.float32)),
        item_tokens=5,
        users=Bag(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32)),
        user_tokens=1,
        actions=("view", "click"),
        positive=frozenset({0, 1}),
    )


def test_one_row_group_gives_the_very_histories_of_memory_though_blocks_came_in_any_order(
    interactions: Interactions, tmp_path: Path
) -> None:
    streamed = write_histories(blocks(interactions), tmp_path / "h.parquet")
    (chunk,) = everything(streamed)
    held = Histories.of(interactions)
    assert np.array_equal(chunk.user, held.user)
    assert np.array_equal(chunk.start, held.start)
    for got, expected in zip(columns(chunk), columns(held), strict=True):
        assert got.dtype == expected.dtype
        assert np.array_equal(got, expected, equal_nan=got.dtype == np.float64)


@pytest.mark.parametrize("row_group", [40, 300, 900])
def test_row_groups_hold_whole_users_each_once_whatever_their_order(
    interactions: Interactions, tmp_path: Path, row_group: int
) -> None:
    streamed = write_histories(blocks(interactions), tmp_path / "h.parquet", row_group=row_group)
    chunks = everything(streamed)
    held = Histories.of(interactions)
    expected = {user: held.history(i) for i, user in enumerate(held.user.tolist())}
    assert len(chunks) >= len(interactions) // (2 * row_group)
    assert max(len(chunk.ordered) for chunk in chunks) < 2 * row_group
    users = np.concatenate([chunk.user for chunk in chunks])
    assert sorted(users.tolist()) == sorted(expected)
    for chunk in chunks:
        for user, history in zip(chunk.user.tolist(), chunk, strict=True):
            assert np.array_equal(history.row, expected[user].row)
            assert np.array_equal(history.at, expected[user].at, equal_nan=True)


def test_each_pass_has_an_order_of_its_own_that_the_seed_repeats(interactions: Interactions, tmp_path: Path) -> None:
    streamed = write_histories(blocks(interactions), tmp_path / "h.parquet", row_group=300)
    first = [[int(chunk.user[0]) for chunk in everything(streamed, seed)] for seed in (0, 0, 1)]
    assert first[0] == first[1]
    assert first[0] != first[2]
    assert sorted(first[0]) == sorted(first[2])


def test_what_is_known_of_all_is_known_without_reading_all(interactions: Interactions, tmp_path: Path) -> None:
    streamed = write_histories(blocks(interactions), tmp_path / "h.parquet", row_group=300)
    held = Histories.of(interactions)
    assert streamed.size == held.size == len(interactions)
    assert streamed.is_ordered
    assert held.is_ordered
    assert np.array_equal(streamed.counts(ITEMS + 3), held.counts(ITEMS + 3))
    timeless = replace(interactions, at=np.full(len(interactions), np.nan))
    assert not write_histories(blocks(timeless), tmp_path / "t.parquet").is_ordered


def test_items_beyond_the_catalogue_are_refused(interactions: Interactions, tmp_path: Path) -> None:
    streamed = write_histories(blocks(interactions), tmp_path / "h.parquet")
    with pytest.raises(InputError, match="at least 60"):
        streamed.counts(ITEMS - 1)


@pytest.mark.parametrize("step", ["_spill", "_cuts"])
def test_a_failed_write_leaves_the_file_that_was_there_and_nothing_else(
    interactions: Interactions, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "h.parquet"
    write_histories(blocks(interactions), path)

    def breaking(*given: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(stream, step, breaking)
    with pytest.raises(OSError, match="disk full"):
        write_histories(blocks(interactions), path)
    assert [p.name for p in tmp_path.iterdir()] == ["h.parquet"]
    assert StreamedHistories(path).size == len(interactions)


def test_no_interactions_make_a_file_without_histories(tmp_path: Path) -> None:
    streamed = write_histories([], tmp_path / "h.parquet")
    assert everything(streamed) == []
    assert streamed.size == 0
    assert not streamed.is_ordered
    assert streamed.counts(3).tolist() == [0, 0, 0]


def test_any_other_file_is_refused(tmp_path: Path) -> None:
    foreign, broken = tmp_path / "foreign.parquet", tmp_path / "broken.parquet"
    pq.write_table(pa.table({"user": [1]}), foreign)
    broken.write_bytes(b"nothing")
    for path, complaint in ((foreign, "no item counts"), (broken, "cannot read"), (tmp_path / "absent", "cannot read")):
        with pytest.raises(TrainingError, match=complaint):
            StreamedHistories(path)


def test_only_many_interactions_go_into_a_file_and_it_is_removed(interactions: Interactions, tmp_path: Path) -> None:
    with kept_histories(interactions, tmp_path, stream_from=3000) as few:
        assert isinstance(few, Histories)
        assert not list(tmp_path.iterdir())
    with kept_histories(interactions, tmp_path, stream_from=2999) as many:
        assert isinstance(many, StreamedHistories)
        assert many.path == tmp_path / FILE
    assert not list(tmp_path.iterdir())


def trained(interactions: Interactions, histories: HistoryChunks | None, threshold: int) -> dict[str, object]:
    torch = pytest.importorskip("torch", reason="training needs the extra slatewise[train]")
    from slatewise.models.spectral import SpectralFactors
    from slatewise.training import tower_training

    settings = TrainingSettings(dim=8, layers=1, history_length=10, batch_size=32, negatives=16)
    blank = np.zeros((ITEMS, 8), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tower_training, "SPARSE_FROM", threshold)
        model = tower_training.new_towers(
            material(interactions), SpectralFactors(blank, blank, np.zeros(8, "f4")), settings
        )
    data = tower_training.TowerData(material(interactions), histories)
    trainer = tower_training.TowerTrainer(model, data, settings)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        losses = [trainer.one_pass(lambda share: 0.003) for _ in range(2)]
    finally:
        torch.set_num_threads(threads)
    return {"losses": losses, **{name: value.numpy().copy() for name, value in model.state_dict().items()}}


@pytest.mark.parametrize("sparse_from", [1, 1000])
def test_training_from_one_row_group_equals_training_from_memory_bit_for_bit(
    interactions: Interactions, tmp_path: Path, sparse_from: int
) -> None:
    streamed = write_histories(blocks(interactions), tmp_path / "h.parquet")
    memory, file = trained(interactions, None, sparse_from), trained(interactions, streamed, sparse_from)
    assert memory.keys() == file.keys()
    for name, value in memory.items():
        assert np.array_equal(value, file[name]), name


def test_a_pass_over_several_row_groups_visits_what_a_pass_over_memory_visits(
    interactions: Interactions, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="training needs the extra slatewise[train]")
    from slatewise.models.spectral import SpectralFactors
    from slatewise.training.tower_training import TowerData, TowerTrainer, new_towers

    # Windows longer than any history: no random cut decides what is visited.
    settings = TrainingSettings(dim=8, history_length=100, batch_size=2, negatives=16)
    blank = np.zeros((ITEMS, 8), np.float32)
    model = new_towers(material(interactions), SpectralFactors(blank, blank, np.zeros(8, "f4")), settings)
    visits = []
    for histories in (None, write_histories(blocks(interactions), tmp_path / "h.parquet", row_group=300)):
        trainer = TowerTrainer(model, TowerData(material(interactions), histories), settings)
        visited = np.zeros((interactions.user.max() + 1, ITEMS), np.int64)
        for batch in trainer.batches():
            held = batch.row >= 0
            np.add.at(visited, (np.broadcast_to(batch.user[:, None], held.shape)[held], batch.row[held]), 1)
        visits.append(visited)
    expected = np.zeros_like(visits[0])
    worth = interactions.take(interactions.user != 1)  # a history of one has nothing to read
    np.add.at(expected, (worth.user, worth.item), 1)
    for visited in visits:
        assert np.array_equal(visited, expected)
