from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra slatewise[train]")

from slatewise.domain.history import History  # noqa: E402  after the skip
from slatewise.features.sequences import ages  # noqa: E402  after the skip
from slatewise.models.ranker import OnnxRanker  # noqa: E402  after the skip
from slatewise.models.sessions import OnnxSession  # noqa: E402
from slatewise.models.towers import OnnxItemTower, OnnxUserTower  # noqa: E402
from slatewise.ports.models import UNKNOWN_AGE, Bag, Sequence  # noqa: E402
from slatewise.training.export import export_item_tower, export_ranker, export_user_tower  # noqa: E402
from slatewise.training.quantise import LEAST_WEIGHTS, quantise  # noqa: E402
from slatewise.training.ranker_module import RankerModule  # noqa: E402
from slatewise.training.tower_graph import LastStep  # noqa: E402
from slatewise.training.tower_modules import ItemTower, UserTower  # noqa: E402
from slatewise.training.tower_training import AT_ONCE, user_vectors  # noqa: E402
from slatewise.training.windows import pad_histories  # noqa: E402

DIM = 16


def random_history(batch: int, steps: int, seed: int) -> Sequence:
    """Return steps whose times are borders of the time buckets apart; some are not known."""
    rng = np.random.default_rng(seed)
    mask = np.ones((batch, steps), np.float32)
    if batch > 1:
        mask[0, max(1, steps // 2) :] = 0
    item = rng.standard_normal((batch, steps, DIM)).astype(np.float32) * mask[..., None]
    action, gap = rng.integers(0, 3, (batch, steps)), rng.integers(0, 30, (batch, steps))
    at = 1.7e9 + np.cumsum(2.0 ** rng.integers(12, 16, (batch, steps)) - 1.0, axis=1)
    at[(mask == 0) | (rng.random((batch, steps)) < 0.1)] = np.nan
    return Sequence(item, action, gap, ages(at), mask)


def tensors(*arrays: np.ndarray) -> list[object]:
    return [torch.from_numpy(a) for a in arrays]


@pytest.fixture(scope="module", params=[True, False], ids=["timed", "timeless"])
def user_tower(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[UserTower, OnnxUserTower]:
    torch.manual_seed(0)
    tower = UserTower(DIM, actions=3, tokens=9, length=12, layers=2, heads=2, dropout=0.1, timed=request.param)
    for table in [] if tower.time_bias is None else [tower.time_bias.table]:
        torch.nn.init.normal_(table, std=3.0)
    path = tmp_path_factory.mktemp("onnx") / "user.onnx"
    export_user_tower(tower, DIM, path)
    return tower.eval(), OnnxUserTower(path, DIM)


@pytest.mark.parametrize(("batch", "steps"), [(1, 1), (1, 12), (3, 5), (2, 1)])
def test_exported_user_tower_equals_torch(user_tower: tuple[UserTower, OnnxUserTower], batch: int, steps: int) -> None:
    torch_tower, onnx_tower = user_tower
    history = random_history(batch, steps, seed=steps)
    bag = Bag(np.tile(np.array([[1, 2]]), (batch, 1)), np.full((batch, 2), 0.5, np.float32))
    with torch.no_grad():
        expected = torch_tower(
            *tensors(history.item, history.action, history.gap, history.age, history.mask, bag.token, bag.weight)
        ).numpy()
    np.testing.assert_allclose(onnx_tower.encode(history, bag), expected, atol=1e-5)


def test_many_histories_encoded_while_training_are_as_each_alone(user_tower: tuple[UserTower, OnnxUserTower]) -> None:
    torch_tower, _ = user_tower
    rng = np.random.default_rng(5)
    embeddings = rng.standard_normal((30, DIM)).astype(np.float32)
    histories = []
    for steps in rng.integers(0, 13, 3 * AT_ONCE + 1).tolist():
        at = 1.7e9 + np.cumsum(rng.integers(1, 100_000, steps)).astype(np.float64)
        histories.append(History(rng.integers(0, 30, steps), rng.integers(0, 3, steps), at))
    bag = Bag(rng.integers(1, 9, (len(histories), 2)), rng.random((len(histories), 2)).astype(np.float32))
    together = user_vectors(LastStep(torch_tower), embeddings, pad_histories(histories, 12), bag)
    for i, history in enumerate(histories):
        past = pad_histories([history], 12)
        held = (past.row >= 0).astype(np.float32)
        item = embeddings[np.maximum(past.row, 0)] * held[..., None]
        with torch.no_grad():
            alone = torch_tower(
                *tensors(item, past.action, past.gap, past.age, held, bag.token[i : i + 1], bag.weight[i : i + 1])
            )
        np.testing.assert_allclose(together[i], alone[0].numpy(), atol=1e-5)


def test_padding_does_not_change_a_user_vector(user_tower: tuple[UserTower, OnnxUserTower]) -> None:
    _, tower = user_tower
    short = random_history(1, 4, seed=3)
    bag = Bag(np.array([[1]]), np.ones((1, 1), np.float32))
    padded = Sequence(
        np.concatenate([short.item, np.zeros((1, 5, DIM), np.float32)], 1),
        np.pad(short.action, ((0, 0), (0, 5))),
        np.pad(short.gap, ((0, 0), (0, 5))),
        np.pad(short.age, ((0, 0), (0, 5)), constant_values=UNKNOWN_AGE),
        np.pad(short.mask, ((0, 0), (0, 5))),
    )
    np.testing.assert_allclose(tower.encode(padded, bag), tower.encode(short, bag), atol=1e-5)


def test_only_a_timed_tower_reads_ages(user_tower: tuple[UserTower, OnnxUserTower]) -> None:
    torch_tower, tower = user_tower
    history = random_history(2, 8, seed=4)
    other = replace(history, age=np.where(history.age > 0, history.age * 40, history.age))
    bag = Bag(np.array([[1], [2]]), np.ones((2, 1), np.float32))
    is_same = np.allclose(tower.encode(other, bag), tower.encode(history, bag), atol=1e-5)
    assert is_same == (torch_tower.time_bias is None)


def test_exported_item_tower_equals_torch_and_unknown_items_are_their_attributes(tmp_path: object) -> None:
    torch.manual_seed(0)
    tower = ItemTower(n_items=20, tokens=9, dim=DIM, sparse=False)
    path = tmp_path / "item.onnx"  # type: ignore[operator]
    export_item_tower(tower, path)
    bag = Bag(np.array([[1, 2, 0], [3, 0, 0]]), np.array([[0.5, 0.5, 0], [1, 0, 0]], np.float32))
    known = np.array([0, 7])
    embedding, vector = OnnxItemTower(path, DIM).encode(known, bag)
    with torch.no_grad():
        expected = tower(*tensors(known, bag.token, bag.weight))
        from_attributes = (tower.tokens.weight[1] + tower.tokens.weight[2]).numpy() / 2
    np.testing.assert_allclose(embedding, expected[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(vector, expected[1].numpy(), atol=1e-5)
    np.testing.assert_allclose(embedding[0], from_attributes, atol=1e-6)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[RankerModule, OnnxRanker, Path]:
    torch.manual_seed(0)
    module = RankerModule(DIM, features=6, actions=3, tokens=9, heads=2, dropout=0.1, length=12)
    # What begins at zero, or at one, would hide what the graph makes of it.
    for weights in (module.gates.out.weight, module.lasting.weight, module.residual, module.block.distance_bias):
        torch.nn.init.normal_(weights)
    rng = np.random.default_rng(0)
    module.numbers.fit(rng.standard_normal((500, 6)).astype(np.float32), rng.random(500) < 0.1)
    module.slope.copy_(torch.tensor([0.5, 2.0]))
    path = tmp_path_factory.mktemp("onnx") / "ranker.onnx"
    export_ranker(module, DIM, 6, path)
    return module.eval(), OnnxRanker(path, ("click", "buy")), path


@pytest.fixture(scope="module")
def ranker(exported: tuple[RankerModule, OnnxRanker, Path]) -> tuple[RankerModule, OnnxRanker]:
    return exported[:2]


@pytest.mark.parametrize(("steps", "candidates"), [(1, 1), (12, 40), (5, 3)])
def test_exported_ranker_equals_torch(ranker: tuple[RankerModule, OnnxRanker], steps: int, candidates: int) -> None:
    module, exported = ranker
    rng = np.random.default_rng(candidates)
    history = random_history(1, steps, seed=steps)
    user = rng.standard_normal((1, DIM)).astype(np.float32)
    candidate = rng.standard_normal((candidates, DIM)).astype(np.float32)
    feature = rng.standard_normal((candidates, 6)).astype(np.float32)
    feature[0, 2] = np.nan
    bag = Bag(np.array([[2, 5]]), np.array([[0.5, -0.5]], np.float32))
    got = exported.predict(history, user, bag, candidate, feature)
    with torch.no_grad():
        logits = module(
            *tensors(history.item, history.action, history.gap, history.mask, user, bag.token, bag.weight),
            *tensors(candidate[None], feature[None]),
        )
        expected = module.probabilities(logits)[0].numpy()
    np.testing.assert_allclose(got["click"], expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(got["buy"], expected[:, 1], atol=1e-5)


def test_the_exported_ranker_does_not_look_at_padding(ranker: tuple[RankerModule, OnnxRanker]) -> None:
    _, exported = ranker
    rng = np.random.default_rng(1)
    short = random_history(1, 4, seed=3)
    noise = random_history(1, 5, seed=4)
    mask = np.concatenate([short.mask, np.zeros((1, 5), np.float32)], 1)
    columns = ("item", "action", "gap", "age")
    padded = Sequence(
        **{name: np.concatenate([getattr(short, name), getattr(noise, name)], 1) for name in columns}, mask=mask
    )
    user = rng.standard_normal((1, DIM)).astype(np.float32)
    candidate = rng.standard_normal((7, DIM)).astype(np.float32)
    feature = rng.standard_normal((7, 6)).astype(np.float32)
    bag = Bag(np.array([[1]]), np.ones((1, 1), np.float32))
    got, expected = (exported.predict(history, user, bag, candidate, feature) for history in (padded, short))
    np.testing.assert_allclose(got["buy"], expected["buy"], atol=1e-5)


def test_large_products_alone_are_in_8_bits(exported: tuple[RankerModule, OnnxRanker, Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    module, _, path = exported
    rng = np.random.default_rng(2)
    samples = []
    for _ in range(8):
        history = random_history(1, 6, seed=5)
        samples.append(
            {name: getattr(history, name) for name in ("item", "action", "gap", "mask")}
            | {"user": rng.standard_normal((1, DIM)).astype(np.float32)}
            | {"user_token": np.array([[2]]), "user_weight": np.ones((1, 1), np.float32)}
            | {"candidate": rng.standard_normal((30, DIM)).astype(np.float32)}
            | {"feature": rng.standard_normal((30, 6)).astype(np.float32)}
        )
    quantise(path, tmp_path / "small.onnx", samples)
    held = {one.name: one for one in onnx.load(str(tmp_path / "small.onnx")).graph.initializer}
    sizes = {name: np.prod(one.dims) for name, one in held.items() if one.data_type == onnx.TensorProto.INT8}
    large = [w for layer in module.modules() if (w := getattr(layer, "weight", None)) is not None and w.ndim == 2]
    wanted = sum(w.numel() >= LEAST_WEIGHTS for w in large)
    assert wanted == sum(size >= LEAST_WEIGHTS for size in sizes.values())
    assert not any(len(held[name].dims) > 1 and size < LEAST_WEIGHTS for name, size in sizes.items())
    small, whole = OnnxSession(tmp_path / "small.onnx"), OnnxSession(path)
    got, expected = small.run(**samples[0])[0], whole.run(**samples[0])[0]
    assert 0 < np.abs(got - expected).max() < 0.02
    alone = samples[0] | {name: samples[0][name][:1] for name in ("candidate", "feature")}
    np.testing.assert_allclose(small.run(**alone)[0], got[:1], atol=1e-5)
