"""The area under the curve against a count of pairs."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slatewise.evaluation.metrics.auc import auc


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=40))
def test_it_is_the_share_of_pairs_in_order_with_ties_as_halves(rows: list[tuple[int, bool]]) -> None:
    ones = [score for score, happened in rows if happened]
    zeros = [score for score, happened in rows if not happened]
    found = auc(np.array([score for score, _ in rows], float), np.array([happened for _, happened in rows]))
    if not ones or not zeros:
        assert math.isnan(found)
        return
    counted = sum((one > zero) + 0.5 * (one == zero) for one in ones for zero in zeros) / (len(ones) * len(zeros))
    assert math.isclose(found, counted)
