import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from slatewise.domain.candidate import Candidates
from slatewise.domain.membership import among
from slatewise.retrieval.merge import merge, within_quota
from slatewise.testing.stages import candidates

rows = st.lists(st.integers(0, 30), max_size=20)


@given(st.lists(st.tuples(st.sampled_from("abc"), rows), max_size=4))
def test_merge_keeps_each_row_once_with_the_first_source_that_offered_it(offers):
    merged = merge([_offer(name, row) for name, row in offers])
    first = {}
    for name, row in offers:
        for r in row:
            first.setdefault(r, name)
    assert merged.row.tolist() == list(first)
    assert [merged.sources[s] for s in merged.source] == list(first.values())
    assert len(set(merged.sources)) == len(merged.sources)


def test_merge_unites_offers_that_were_merged_before():
    both = merge([_offer("a", [1]), _offer("b", [2])])
    again = merge([_offer("c", [3]), both, _offer("b", [4])])
    assert [again.sources[s] for s in again.source] == ["c", "a", "b", "b"]


def test_merge_of_no_offers_is_empty():
    assert len(merge([])) == 0


@given(rows.map(lambda r: list(dict.fromkeys(r))), st.sets(st.integers(0, 30)), st.integers(0, 10))
def test_quota_ends_an_offer_at_its_limit_of_free_rows(row, blocked, limit):
    kept = within_quota(candidates(row), np.array(sorted(blocked), np.int64), limit).row.tolist()
    assert kept == row[: len(kept)]
    free = [r for r in row if r not in blocked]
    assert [r for r in kept if r not in blocked] == free[:limit]


@given(rows, st.sets(st.integers(0, 30)))
def test_among_is_membership(row, held):
    found = among(np.array(row, np.int64), np.array(sorted(held), np.int64))
    assert found.tolist() == [r in held for r in row]


def _offer(name, row):
    return Candidates.of(name, np.array(row, np.int64), np.zeros(len(row), np.float32))
