"""The parts of the ranker's training, each on data whose answer is known."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra slatewise[train]")

from slatewise.domain.settings import TrainingSettings  # noqa: E402
from slatewise.ports.models import Bag  # noqa: E402
from slatewise.telemetry.clock import SystemClock  # noqa: E402
from slatewise.training.feature_input import FeatureInput  # noqa: E402
from slatewise.training.progress import Silent  # noqa: E402
from slatewise.training.ranker_loss import SlateLoss  # noqa: E402
from slatewise.training.ranker_module import SmallRanker  # noqa: E402
from slatewise.training.ranker_slates import (  # noqa: E402
    RankerData,
    judging,
    sampled_columns,
    shuffled_batches,
    slate_ndcg,
    slate_ndcgs,
)
from slatewise.training.ranker_training import (  # noqa: E402
    Judged,
    RankerFit,
    fit_small_ranker,
    is_clearly_worse,
    judged_logits,
)
from slatewise.training.slates import Slates, judged_slates  # noqa: E402
from slatewise.training.windows import pad_histories  # noqa: E402


def slates_of(feature: np.ndarray, label: np.ndarray, position: np.ndarray | None = None) -> Slates:
    count, width, _ = feature.shape
    place = np.full((count, width), -1) if position is None else position
    candidate = np.tile(np.arange(width), (count, 1))
    past = pad_histories([], 4)
    return Slates(np.arange(count), np.zeros((count, 2), np.float32), past, candidate, feature, label, place)


def fitted(
    slates: Slates,
    epochs: int = 6,
    position_bias: str = "corrected",
    weights: Sequence[float] = (1.0,),
    minutes: float = 60.0,
) -> RankerFit:
    bag = Bag(np.zeros((len(slates), 1), np.int64), np.zeros((len(slates), 1), np.float32))
    vectors = np.zeros((slates.shape[1], 2), np.float32)
    # The small variant reads no history: a padded one of the right height will do.
    slates = Slates(*(getattr(slates, n) for n in ("user", "vector")), past_of(len(slates)), slates.candidate,
                    slates.feature, slates.label, slates.position)  # fmt: skip
    settings = TrainingSettings(ranker_epochs=epochs, ranker_minutes=minutes, position_bias=position_bias)
    data = RankerData(slates, bag, vectors, vectors)
    return fit_small_ranker(Judged(data, judging(slates, 0), np.array(weights), settings, SystemClock(), Silent()))


def past_of(count: int):  # type: ignore[no-untyped-def]
    from slatewise.domain.history import EMPTY_HISTORY

    return pad_histories([EMPTY_HISTORY] * count, 4)


def biased(count: int = 1500, width: int = 8) -> Slates:
    """The second feature decides; but the shop put what has a high third feature first, where people look."""
    rng = np.random.default_rng(0)
    feature = rng.standard_normal((count, width, 3)).astype(np.float32)
    order = np.argsort(-(feature[..., 2] + 0.5 * rng.standard_normal((count, width))), axis=1)
    position = np.argsort(order, axis=1)
    wanted = 1.0 / (1.0 + np.exp(-(1.5 * feature[..., 1] - 1.0)))
    looked = (1.0 + position) ** -1.0
    label = (rng.random((count, width)) < wanted * looked)[..., None]
    return slates_of(feature, label, position)


def test_what_a_place_does_is_learned_apart_from_what_is_wanted() -> None:
    given = biased()
    truth = np.argsort(np.argsort(-given.feature[..., 1], axis=1), axis=1) < 2

    def judged(fit: RankerFit) -> float:
        with torch.no_grad():
            score = fit.model(torch.from_numpy(given.feature))[..., 0].numpy()  # type: ignore[operator]
        unbiased = slates_of(given.feature, truth[..., None])
        return slate_ndcg(score, unbiased, np.arange(len(given)))

    corrected, naive = fitted(given), fitted(given, position_bias="ignored")
    assert judged(corrected) > judged(naive) + 0.02
    bias = np.array(corrected.position_bias[0][:8])
    assert bias[0] == 0.0, "the best place is looked at for sure"
    assert np.allclose(bias, np.log(1.0 / np.arange(1, 9)), atol=0.35), "the places' true logarithms"
    assert naive.position_bias[0][:8] == [0.0] * 8


def test_heads_share_one_scale_so_that_their_sum_orders() -> None:
    rng = np.random.default_rng(1)
    feature = rng.standard_normal((800, 12, 2)).astype(np.float32)
    label = np.zeros((800, 12, 2), bool)
    # The rare action has a loud feature, the frequent one a quiet one: heads on scales of their own would mislead.
    is_rare = rng.random(800) < 0.1
    loud, quiet = feature[..., 0].argmax(1), feature[..., 1].argmax(1)
    label[np.arange(800)[is_rare], loud[is_rare], 0] = True
    label[np.arange(800)[~is_rare], quiet[~is_rare], 1] = True
    fit = fitted(slates_of(feature, label), epochs=40, weights=(1.0, 1.0))
    assert fit.ndcg > 0.85
    assert [one["ece"] < 0.05 for one in fit.calibration] == [True, True]


def test_slates_of_any_length_are_judged_whole_and_each_by_its_own_numbers() -> None:
    rng = np.random.default_rng(2)
    given = slates_of(rng.standard_normal((150, 30, 3)).astype(np.float32), np.zeros((150, 30, 2), bool))
    given.candidate[np.arange(30) >= rng.integers(1, 31, 150)[:, None]] = -1
    given = replace(given, past=past_of(len(given)))
    bag = Bag(np.zeros((len(given), 1), np.int64), np.zeros((len(given), 1), np.float32))
    vectors = np.zeros((30, 2), np.float32)
    torch.manual_seed(0)
    model = SmallRanker(3, heads=2, dropout=0.5)
    at = rng.permutation(150)[:140]
    logits = judged_logits(model, RankerData(given, bag, vectors, vectors), at).numpy()
    with torch.no_grad():
        expected = model(torch.from_numpy(given.feature[at])).numpy()
    held = given.candidate[at] >= 0
    np.testing.assert_allclose(logits[held], expected[held], atol=1e-5)
    assert logits.shape == (140, 30, 2)


def test_a_pass_that_held_back_users_judge_well_is_kept() -> None:
    given = biased(400)
    fit = fitted(given, epochs=12)
    kept = next(step for step in fit.curve if step["ndcg@10"] == fit.ndcg)
    assert kept["placed_ndcg@10"] > max(step["placed_ndcg@10"] for step in fit.curve) - 0.02
    assert fit.earns_its_place


def test_what_was_done_counts_for_what_it_weighs_and_what_counts_against_an_item_for_nothing() -> None:
    label = np.zeros((3, 4, 3), bool)
    label[0, 0, 0] = label[0, 1, 1] = label[0, 1, 0] = True  # a click; a click and a purchase
    label[1, 2, 2] = True  # a dislike alone
    label[2, 3, 0] = True
    given = replace(slates_of(np.zeros((3, 4, 1), np.float32), label), weight=np.array([1.0, 4.0, -2.0]))
    assert given.gain(np.array([2, 0])).tolist() == [[0, 0, 0, 1], [1, 5, 0, 0]]
    assert judged_slates(given, np.ones(3, bool)).tolist() == [0, 2], "nothing good came of the second"
    score = -np.arange(4.0) * np.ones((2, 1))
    second, fourth = 1 / np.log2(3), 1 / np.log2(5)
    expected = [(1 + 5 * second) / (5 + second), fourth]
    np.testing.assert_allclose(slate_ndcgs(score, given, np.array([0, 2])), expected)
    assert slate_ndcg(score, given, np.array([0, 2])) == pytest.approx(np.mean(expected))
    np.testing.assert_allclose(replace(given, weight=None).gain(np.array([0, 1])), [[1, 2, 0, 0], [0, 0, 1, 0]])


def test_where_slates_were_shown_only_they_judge() -> None:
    rng = np.random.default_rng(2)
    label = np.zeros((200, 6, 1), bool)
    label[:, 0] = True
    label[:10] = False
    position = np.tile(np.arange(6), (200, 1))
    position[100:] = -1
    given = slates_of(rng.standard_normal((200, 6, 2)).astype(np.float32), label, position)
    everyone = np.ones(200, bool)
    assert judged_slates(given, everyone).tolist() == list(range(10, 100)), "shown, and something wanted"
    few = np.arange(200) >= 60
    assert judged_slates(given, few).tolist() == list(range(60, 200)), "forty that were shown are not enough"


def test_pieces_tell_where_a_number_lies_and_say_nothing_of_what_is_missing() -> None:
    numbers = FeatureInput(2, bins=4)
    frame = np.stack([np.linspace(0, 100, 1001), np.full(1001, 7.0)], 1).astype(np.float32)
    numbers.fit(frame, frame[:, 0] > 99)
    values, pieces = numbers(torch.tensor([[-5.0, 7.0], [99.6, 7.0], [200.0, 7.0], [float("nan"), 7.0]]))
    pieces = pieces.reshape(4, 2, 4)[:, 0]
    assert pieces[0].tolist() == [0.0] * 4
    assert pieces[2].tolist() == [1.0] * 4
    assert 0 < float(pieces[1].sum()) < 4
    assert (pieces[1] > 0).sum() >= 3, "half of the borders lie where something was wanted"
    assert pieces[3].tolist() == [0.0] * 4
    assert values[3, 0] == 0
    assert values[3, 2] == 1, "the flag of what is missing"
    assert torch.isfinite(values).all()
    beyond, _ = numbers(torch.tensor([[-1e6, 7.0], [0.0, 7.0], [1e6, 7.0], [100.0, 7.0]]))
    assert torch.equal(beyond[0], beyond[1]), "below all that was seen counts as the lowest seen"
    assert torch.equal(beyond[2], beyond[3])


def test_where_the_judges_have_all_that_was_wanted_nothing_is_shipped() -> None:
    given = biased(60)
    given.label[~judging(given, 0)] = False
    assert not fitted(given).earns_its_place


def test_without_time_for_one_update_nothing_is_learned_and_nothing_fails() -> None:
    fit = fitted(biased(200), minutes=1e-12)
    assert len(fit.curve) == 1
    assert math.isnan(fit.curve[0]["loss"])


def test_one_update_sees_all_that_was_wanted() -> None:
    rng = np.random.default_rng(0)
    label = np.zeros((5, 200, 1), bool)
    label[np.arange(5), [0, 50, 199, 3, 120], 0] = True
    given = slates_of(rng.standard_normal((5, 200, 2)).astype(np.float32), label)
    columns = sampled_columns(given, np.arange(5), rng)
    assert columns.shape == (5, 64)
    assert np.take_along_axis(label, columns[..., None], 1).any((1, 2)).all()


def test_a_pass_sees_every_slate_once_and_short_ones_apart_from_long_ones() -> None:
    rng = np.random.default_rng(0)
    given = slates_of(rng.standard_normal((40, 100, 2)).astype(np.float32), np.zeros((40, 100, 1), bool))
    given.candidate[::2, 10:] = -1
    train = np.arange(1, 40)
    batches = shuffled_batches(given, train, 4, rng)
    assert sorted(np.concatenate(batches).tolist()) == train.tolist()
    widths = [sampled_columns(given, at, rng).shape[1] for at in batches]
    assert widths.count(10) == 4, "19 short slates: four batches of their own, one with both"
    assert widths.count(64) == len(batches) - 4
    again = shuffled_batches(given, train, 4, rng)
    assert [at.tolist() for at in again] != [at.tolist() for at in batches]


def test_what_no_list_of_a_kind_holds_is_no_evidence_against_it() -> None:
    """Clicks come from slates, views from retrieved lists: neither pushes the other down."""
    label = np.zeros((4, 3, 2), bool)
    position = np.tile(np.arange(3), (4, 1))
    position[2:] = -1
    label[:2, 0, 1] = True
    label[2:, 0, 0] = True
    given = slates_of(np.zeros((4, 3, 2), np.float32), label, position)
    loss = SlateLoss.starting_from(given, np.arange(4), corrects_position=True)
    logits = torch.zeros(4, 3, 2, requires_grad=True)
    loss(logits, given, np.arange(4), np.tile(np.arange(3), (4, 1))).backward()
    assert logits.grad is not None
    assert (logits.grad[:2, :, 0] == 0.0).all(), "a slate says nothing of views"
    assert (logits.grad[2:, :, 1] == 0.0).all(), "a retrieved list says nothing of clicks"
    assert (logits.grad[:2, 0, 1] < 0.0).all()
    assert (logits.grad[2:, 0, 0] < 0.0).all()


def test_slates_of_which_nothing_was_taken_teach_too() -> None:
    """One item per slate: which is taken can only be told by comparing slates."""
    rng = np.random.default_rng(4)
    feature = rng.standard_normal((1500, 1, 2)).astype(np.float32)
    label = (rng.random((1500, 1)) < 1.0 / (1.0 + np.exp(-2.0 * feature[..., 1] + 1.0)))[..., None]
    fit = fitted(slates_of(feature, label, np.zeros((1500, 1), np.int64)), epochs=8)
    with torch.no_grad():
        logits = fit.model(torch.from_numpy(feature))[:, 0, 0].numpy()  # type: ignore[operator]
    assert np.corrcoef(logits, feature[:, 0, 1])[0, 1] > 0.8


def test_the_loss_begins_at_the_rates_of_each_kind_of_list() -> None:
    rng = np.random.default_rng(5)
    label = np.zeros((4000, 4, 2), bool)
    position = np.tile(np.arange(4), (4000, 1))
    position[2000:] = -1
    label[:2000, :, 1] = rng.random((2000, 4)) < 0.4 * np.array([1.0, 0.5, 0.25, 0.1])
    label[2000:, 0, 0] = True
    given = slates_of(np.zeros((4000, 4, 2), np.float32), label, position)
    loss = SlateLoss.starting_from(given, np.arange(4000), corrects_position=True)
    assert loss.occurs.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    seen = loss.log_seen(np.arange(6)[None]).exp()[0]
    assert np.allclose(seen[:, 1].detach().numpy(), [1.0, 0.5, 0.25, 0.1, 0.1, 0.1], atol=0.05)
    assert (loss.log_seen(np.array([[-1, -1]])) == 0.0).all(), "what was retrieved is looked at"
    naive = SlateLoss.starting_from(given, np.arange(4000), corrects_position=False)
    assert (naive.log_seen(np.arange(6)[None]) == 0.0).all()


def test_padding_is_no_candidate() -> None:
    given = biased(6)
    given.candidate[:, 5:] = -1
    loss = SlateLoss(1, corrects_position=True)
    columns = np.tile(np.arange(8), (6, 1))
    logits = torch.zeros(6, 8, 1)
    given.label[:, 5:] = False
    told = loss(logits, given, np.arange(6), columns)
    logits[:, 5:] = 50.0
    assert torch.allclose(told, loss(logits, given, np.arange(6), columns))


def test_a_pass_is_given_up_only_where_slates_clearly_judge_it_worse() -> None:
    rng = np.random.default_rng(0)
    best = rng.random(400)
    assert not is_clearly_worse(best, None), "the first pass has nothing to be worse than"
    assert not is_clearly_worse(best - 0.001 + 0.1 * rng.standard_normal(400), best), "within chance"
    assert is_clearly_worse(best - 0.1 + 0.1 * rng.standard_normal(400), best)
    assert not is_clearly_worse(best + 0.1, best)
