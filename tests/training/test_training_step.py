"""The parts of a training step that are written out for speed, against the plain ones they stand for."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra slatewise[train]")

from torch.nn import functional  # noqa: E402  after the skip

from slatewise.domain.columns import Interactions  # noqa: E402
from slatewise.ports.models import Bag  # noqa: E402
from slatewise.training import contrast as contrasting  # noqa: E402
from slatewise.training.dropout import Dropout  # noqa: E402
from slatewise.training.material import Material  # noqa: E402
from slatewise.training.row_adam import RowAdam  # noqa: E402
from slatewise.training.tower_training import TowerData  # noqa: E402


def test_contrast_and_its_gradient_equal_a_plain_softmax_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrasting, "BLOCK", 7)
    torch.manual_seed(0)
    user, right, wrong = (functional.normalize(torch.randn(n, 8), dim=1).requires_grad_() for n in (24, 24, 10))
    offset = torch.randn(10) - 1
    clash = torch.tensor([[0, 3], [6, 1], [6, 2], [7, 9], [23, 0]])
    logits = user @ wrong.T / 0.1 - offset
    hidden = torch.zeros_like(logits).index_put((clash[:, 0], clash[:, 1]), torch.tensor(-torch.inf))
    logits = torch.cat([(user * right).sum(1, keepdim=True) / 0.1, logits + hidden], 1)
    plain = functional.cross_entropy(logits, torch.zeros(24, dtype=torch.int64))
    loss = contrasting.contrast(user, right, wrong, offset, clash, 0.1)
    torch.testing.assert_close(loss, plain)
    tensors = (user, right, wrong)
    for got, expected in zip(
        torch.autograd.grad(3 * loss, tensors), torch.autograd.grad(3 * plain, tensors), strict=True
    ):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_row_adam_steps_as_sparse_adam_does() -> None:
    torch.manual_seed(0)
    tables = [torch.nn.Embedding(50, 4, sparse=True, padding_idx=0) for _ in range(2)]
    tables[1].load_state_dict(tables[0].state_dict())
    before = tables[0].weight.detach().clone()
    ours, plain = (
        kind(t.parameters(), lr=0.01, betas=(0.9, 0.98))
        for kind, t in zip((RowAdam, torch.optim.SparseAdam), tables, strict=True)
    )
    for ids in ([3, 4, 4, 0], [4, 9], [0], [3, 9, 9]):
        weight = torch.randn(len(ids), 4)
        for table, optimiser in zip(tables, (ours, plain), strict=True):
            optimiser.zero_grad()
            (table(torch.tensor(ids)) * weight).sum().backward()
            optimiser.step()
    torch.testing.assert_close(tables[0].weight, tables[1].weight)
    changed = (tables[0].weight != before).any(1).nonzero().flatten().tolist()
    assert changed == [3, 4, 9]


def test_dropout_drops_its_share_keeps_the_mean_and_rests_in_evaluation() -> None:
    torch.manual_seed(0)
    dropout, x = Dropout(0.2), torch.ones(301, 211)
    dropped = dropout(x)
    assert float((dropped == 0).float().mean()) == pytest.approx(51 / 256, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.01)
    assert not torch.equal(dropped, dropout(x))
    assert dropout.eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_an_item_has_attributes_whatever_the_signs_of_its_weights() -> None:
    none = np.empty(0, np.int64)
    interactions = Interactions(none, none, none, none, np.empty(0), np.empty(0, np.float32))
    weight = np.array([[-0.5, 0.2], [0.5, -0.5], [0.0, 0.0], [1.0, 0.0]], np.float32)
    bag = Bag(np.where(weight == 0, 0, [1, 2]), weight)
    data = TowerData(Material(interactions, 4, bag, 3, bag, 3, ("click",), frozenset({0})))
    assert data.has_attributes.tolist() == [False, True, True, False, True]
