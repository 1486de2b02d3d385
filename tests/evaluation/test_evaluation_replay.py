from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import InputError
from slatewise.domain.holdout import held_out, time_cut
from slatewise.domain.query import Query
from slatewise.domain.slate import Evidence, Slate
from slatewise.evaluation.cases import Case, last_item_cases, time_cases
from slatewise.evaluation.replay import replay

ACTIONS = ("interaction", "view")


def names(rows: np.ndarray) -> list[str]:
    return [f"user {row}" for row in rows.tolist()]


def shuffled_in_time(n: int = 600) -> Interactions:
    """Log order is not time order, and instants repeat."""
    rng = np.random.default_rng(8)
    return Interactions(
        np.arange(n) * 3,
        rng.integers(0, 25, n),
        rng.integers(0, 60, n),
        rng.integers(0, 2, n),
        np.round(rng.uniform(0, 100, n)),
        np.ones(n, np.float32),
    )


def split(past: Interactions) -> tuple[Interactions, list[Case]]:
    cases = time_cases(past, time_cut(past), {0}, names, np.random.default_rng(0))
    return past.take(held_out(past, "time")), cases


def test_each_case_meets_exactly_what_had_happened_by_then(line: Any) -> None:
    past = shuffled_in_time()
    upcoming, cases = split(past)
    assert len(cases) > 20
    assert len(np.unique([case.at for case in cases])) < len(cases)
    done = replay(cases[::-1], line.recommend, line.ids, ACTIONS, upcoming=upcoming, fold=line.fold)
    for case, (_, folded) in zip(done.cases, line.asked, strict=True):
        moment = zip(upcoming.at.tolist(), upcoming.offset.tolist(), strict=True)
        assert set(folded) == {offset for at, offset in moment if (at, offset) < (case.at, case.offset)}
        assert len(set(folded)) == len(folded)
    instants = dict(zip(upcoming.offset.tolist(), upcoming.at.tolist(), strict=True))
    folded_at = [(instants[offset], offset) for offset in line.folded]
    assert folded_at == sorted(folded_at)


def test_a_case_never_sees_itself_nor_a_later_twin_of_the_same_instant(line: Any) -> None:
    at = np.array([5.0, 5.0, 5.0])
    upcoming = Interactions(
        np.array([10, 11, 12]), np.zeros(3, np.int64), np.array([1, 2, 3]), np.zeros(3, np.int64), at, np.ones(3, "f4")
    )
    cases = time_cases(upcoming, 0.0, {0}, names, np.random.default_rng(0))
    replay(cases, line.recommend, line.ids, ACTIONS, upcoming=upcoming, fold=line.fold)
    assert [folded for _, folded in line.asked] == [(), (10,), (10, 11)]


def test_queries_carry_the_whole_history_in_the_customers_words(line: Any) -> None:
    past = Interactions(
        np.arange(4),
        np.zeros(4, np.int64),
        np.array([7, 8, 9, 5]),
        np.array([0, 1, 0, 0]),
        np.array([np.nan, 2.0, 3.0, 4.0]),
        np.ones(4, np.float32),
    )
    replay(last_item_cases(past, {0}, names), line.recommend, line.ids, ACTIONS, size=7)
    query, _ = line.asked[0]
    assert (query.user_id, query.at, query.size) == ("user 0", 4.0, 7)
    told = [(past.item_id, past.action, past.at) for past in query.history]
    assert told == [("item 7", "interaction", None), ("item 8", "view", 2.0), ("item 9", "interaction", 3.0)]


def test_a_cold_case_asks_with_an_empty_history_rather_than_none(line: Any) -> None:
    past = Interactions(
        np.arange(1), np.array([3]), np.array([7]), np.array([0]), np.array([9.0]), np.ones(1, np.float32)
    )
    replay(time_cases(past, 0.0, {0}, names, np.random.default_rng(0)), line.recommend, line.ids, ACTIONS)
    assert line.asked[0][0].history == ()


def test_unknown_instants_are_asked_at_the_given_one(line: Any) -> None:
    n = 3
    past = Interactions(np.arange(n), np.zeros(n, int), np.arange(n), np.zeros(n, int), np.full(n, np.nan), np.ones(n))
    replay(last_item_cases(past, {0}, names), line.recommend, line.ids, ACTIONS, at=123.0)
    assert line.asked[0][0].at == 123.0


def test_stages_are_taken_from_the_slate_in_their_own_orders(line: Any) -> None:
    line.swap_first_two = True
    line.count[[20, 30, 40]] = [3, 2, 1]
    past = Interactions(
        np.arange(4),
        np.zeros(4, np.int64),
        np.array([1, 20, 2, 9]),
        np.zeros(4, np.int64),
        np.arange(4.0),
        np.ones(4, np.float32),
    )
    done = replay(last_item_cases(past, {0}, names), line.recommend, line.ids, ACTIONS, size=3)
    assert done.stage("retrieval", 5).tolist() == [[0, 1, 2, 3, 4]]
    assert done.stage("filtered", 5).tolist() == [[0, 3, 4, 5, 6]]
    assert done.stage("ranked", 5).tolist() == [[30, 40, 0, 3, 4]]
    assert done.stage("final", 5).tolist() == [[40, 30, 0, -1, -1]]
    assert done.score.tolist() == [[1.0, 2.0, 0.0]]


def test_timings_degradations_and_bundles_are_kept(line: Any) -> None:
    past = shuffled_in_time()
    _, cases = split(past)
    done = replay(cases, line.recommend, line.ids, ACTIONS)
    assert done.timing_ms["retrieval"].tolist() == [2.0] * len(cases)
    assert done.degraded == {"ranking/deep": (len(cases) + 1) // 2}
    assert done.bundles == ("b1",)


def test_sampled_cases_still_meet_all_that_had_happened(line: Any) -> None:
    upcoming, cases = split(shuffled_in_time())
    done = replay(
        cases,
        line.recommend,
        line.ids,
        ACTIONS,
        upcoming=upcoming,
        fold=line.fold,
        max_cases=5,
        rng=np.random.default_rng(4),
    )
    again = replay(cases, line.recommend, line.ids, ACTIONS, max_cases=5, rng=np.random.default_rng(4))
    assert [case.offset for case in done.cases] == [case.offset for case in again.cases]
    assert (len(done.cases), done.offered) == (5, len(cases))
    last = done.cases[-1]
    before = (upcoming.at < last.at) | ((upcoming.at == last.at) & (upcoming.offset < last.offset))
    assert set(line.asked[4][1]) == set(upcoming.offset[before].tolist())


def test_sampling_without_a_generator_is_refused(line: Any) -> None:
    _, cases = split(shuffled_in_time())
    with pytest.raises(InputError, match="rng"):
        replay(cases, line.recommend, line.ids, ACTIONS, max_cases=5)


def test_progress_is_told_case_by_case(line: Any) -> None:
    class Told:
        def __init__(self) -> None:
            self.steps: list[tuple[str, float, float]] = []

        def step(self, task: str, done: float, total: float, note: str = "") -> None:
            self.steps.append((task, done, total))

    told = Told()
    _, cases = split(shuffled_in_time())
    replay(cases[:3], line.recommend, line.ids, ACTIONS, progress=told)
    assert told.steps == [("replay", 1, 3), ("replay", 2, 3), ("replay", 3, 3)]


def test_a_second_scorer_orders_what_was_ranked_and_changes_nothing(line: Any) -> None:
    past = Interactions(
        np.arange(3),
        np.zeros(3, np.int64),
        np.array([1, 2, 9]),
        np.zeros(3, np.int64),
        np.arange(3.0),
        np.ones(3, "f4"),
    )
    cases = last_item_cases(past, {0}, names)
    plain = replay(cases, line.recommend, line.ids, ACTIONS, size=3)

    def explained(query: Query) -> Slate:
        assert query.explain
        slate = line.recommend(query)
        row = np.array([4, 8, 6])
        return replace(slate, evidence=Evidence(row=row, feature_names=("x",), features=row[:, None], probabilities={}))

    done = replay(cases, explained, line.ids, ACTIONS, size=3, rescore=lambda evidence: evidence.features[:, 0])
    assert [rows.tolist() for rows in done.rescored] == [[8, 6, 4]]
    assert done.stage("final", 3).tolist() == plain.stage("final", 3).tolist()
    assert plain.rescored == ()


def test_where_ranking_failed_the_second_scorer_is_not_asked(line: Any) -> None:
    past = Interactions(
        np.arange(3), np.zeros(3, int), np.array([1, 2, 9]), np.zeros(3, int), np.arange(3.0), np.ones(3, "f4")
    )

    def explained(query: Query) -> Slate:
        row = np.array([4, 8, 6])
        nothing = Evidence(row=row, feature_names=(), features=np.empty((3, 0), "f4"), probabilities={})
        return replace(line.recommend(query), evidence=nothing)

    cases = last_item_cases(past, {0}, names)
    done = replay(cases, explained, line.ids, ACTIONS, rescore=lambda evidence: evidence.features[:, 0])
    assert [rows.tolist() for rows in done.rescored] == [[4, 8, 6]]
