import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.holdout import held_out, last_of_each_user, time_cut
from slatewise.evaluation.cases import last_item_cases, time_cases

POSITIVE = {0}


def names(rows: np.ndarray) -> list[str]:
    return [f"user {row}" for row in rows.tolist()]


def interactions(rows: list[tuple[int, int, float]], action: list[int] | None = None) -> Interactions:
    user, item, at = (np.array(column) for column in zip(*rows, strict=True))
    acted = np.zeros(len(rows), np.int64) if action is None else np.array(action)
    return Interactions(
        np.arange(len(rows)) * 10, user, item, acted, at.astype(np.float64), np.ones(len(rows), np.float32)
    )


def random_interactions(seed: int = 0, n: int = 2000) -> Interactions:
    rng = np.random.default_rng(seed)
    at = np.round(rng.uniform(0, 500, n))
    at[rng.random(n) < 0.05] = np.nan
    return Interactions(
        np.arange(n), rng.integers(0, 60, n), rng.integers(0, 80, n), rng.integers(0, 2, n), at, np.ones(n, np.float32)
    )


def test_last_item_case_holds_all_that_came_before_in_order_of_time() -> None:
    past = interactions([(4, 1, 30.0), (4, 2, 10.0), (4, 3, 20.0), (9, 5, 1.0), (9, 6, 2.0)])
    (case,) = last_item_cases(past, POSITIVE, names)
    assert (case.user, case.user_id, case.at, case.offset) == (4, "user 4", 30.0, 0)
    assert case.history.row.tolist() == [2, 3]
    assert case.history.at.tolist() == [10.0, 20.0]
    assert case.targets.tolist() == [1]


def test_last_item_cases_are_what_training_may_not_see() -> None:
    past = random_interactions()
    offsets = {case.offset for case in last_item_cases(past, {0, 1}, names)}
    assert offsets == set(past.offset[last_of_each_user(past)].tolist())


def test_a_negative_last_item_is_no_case_and_its_user_gets_no_other() -> None:
    past = interactions([(0, 1, 1.0), (0, 2, 2.0), (0, 3, 3.0)], action=[0, 0, 1])
    assert last_item_cases(past, POSITIVE, names) == []
    assert [case.targets.tolist() for case in last_item_cases(past, POSITIVE, names, skip=1)] == [[2]]


def test_unordered_interactions_are_taken_in_log_order() -> None:
    past = interactions([(0, 1, np.nan), (0, 2, np.nan), (0, 3, np.nan)])
    (case,) = last_item_cases(past, POSITIVE, names)
    assert (case.history.row.tolist(), case.targets.tolist()) == ([1, 2], [3])
    assert np.isnan(case.at)


def test_time_cases_equal_a_walk_through_the_log_by_hand() -> None:
    past = random_interactions(1)
    cut = time_cut(past)
    cases = time_cases(past, cut, POSITIVE, names, np.random.default_rng(0), max_per_user=10**6)
    order = np.lexsort((past.offset, np.where(np.isfinite(past.at), past.at, -np.inf)))
    known: dict[int, list[int]] = {}
    expected = []
    for place in order.tolist():
        before = known.setdefault(int(past.user[place]), [])
        if past.at[place] >= cut and past.action[place] == 0:
            expected.append((int(past.offset[place]), tuple(before), int(past.item[place])))
        before.append(int(past.item[place]))
    assert [(case.offset, tuple(case.history.row.tolist()), int(case.targets[0])) for case in cases] == expected
    assert len(expected) > 50


def test_time_cases_are_what_training_may_not_see() -> None:
    past = random_interactions(2)
    cases = time_cases(past, time_cut(past), {0, 1}, names, np.random.default_rng(0), max_per_user=10**6)
    assert {case.offset for case in cases} == set(past.offset[held_out(past, "time")].tolist())


def test_a_cold_user_is_a_case_without_history_and_learns_within_the_test() -> None:
    past = interactions([(0, 1, 1.0), (7, 2, 10.0), (7, 3, 11.0)])
    first, second = time_cases(past, 5.0, POSITIVE, names, np.random.default_rng(0))
    assert len(first.history) == 0
    assert second.history.row.tolist() == [2]


def test_the_cap_per_user_is_kept_and_drawn_by_the_seed() -> None:
    past = random_interactions(3)
    all_cases = time_cases(past, 0.0, {0, 1}, names, np.random.default_rng(0), max_per_user=10**6)
    drawn = [time_cases(past, 0.0, {0, 1}, names, np.random.default_rng(seed), max_per_user=5) for seed in (1, 1, 2)]
    offsets = [[case.offset for case in cases] for cases in drawn]
    per_user = np.bincount([case.user for case in drawn[0]])
    assert per_user.max() == 5
    assert offsets[0] == offsets[1] != offsets[2]
    assert set(offsets[0]) < {case.offset for case in all_cases}
    # The draw is over a user's whole test period, not its beginning.
    assert np.mean([case.at for case in drawn[0]]) > 150


def test_no_interactions_make_no_cases() -> None:
    nothing = Interactions.empty()
    assert last_item_cases(nothing, POSITIVE, names) == []
    assert time_cases(nothing, 0.0, POSITIVE, names, np.random.default_rng(0)) == []
