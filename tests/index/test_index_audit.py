import time

import numpy as np
import pytest

from slatewise.domain.settings import IndexSettings
from slatewise.index.audit import FEWEST, AuditedIndex, audited
from slatewise.index.build import build_index
from slatewise.index.ivf import IvfIndex
from slatewise.index.plan import Plan
from slatewise.testing.vector_index import clustered

SIZE = 20_000
EVERY = IndexSettings(kind="ivf", lists=256, recall=0.9, audit=1.0)


@pytest.fixture(scope="module")
def vectors():
    return clustered(SIZE, 1)


def wait_until(done, seconds=10.0):
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.01)
    assert done()


def asked(index, queries, allow=None):
    for query in queries:
        index.search(query, 50, allow)
        # One at a time: searches that come while the queue is full are not audited.
        time.sleep(0.002)


def test_a_good_index_is_told_to_be_good_and_a_bad_one_warned_of_once(vectors, caplog):
    good = build_index(np.arange(SIZE), vectors, EVERY, clustered(100, 2))
    assert isinstance(good, IvfIndex)
    told: list[float] = []
    index = audited(good, EVERY, told.append)
    asked(index, clustered(2 * FEWEST, 3))
    wait_until(lambda: len(told) >= 2 * FEWEST - 5)
    assert told[-1] >= 0.88
    assert "index recall" not in caplog.text
    good.with_plan(Plan(1))
    truth = np.mean(
        [np.isin(*(one(q, 50)[0] for one in (good.search_exactly, good.search))).mean() for q in clustered(30, 4)]
    )
    told.clear()
    index = audited(good, EVERY, told.append)
    asked(index, clustered(3 * FEWEST, 4))
    wait_until(lambda: len(told) >= 3 * FEWEST - 5)
    assert told[-1] == pytest.approx(truth, abs=0.1)
    assert caplog.text.count("index recall") == 1
    assert "index.probes" in caplog.text


def test_a_filtered_search_is_judged_among_what_is_allowed(vectors):
    told: list[float] = []
    index = audited(build_index(np.arange(SIZE), vectors, EVERY, clustered(100, 2)), EVERY, told.append)
    asked(index, clustered(20, 5), np.arange(SIZE) % 3 == 0)
    wait_until(lambda: len(told) >= 15)
    assert told[-1] >= 0.85


def test_only_a_share_is_audited_and_writes_reach_the_index(vectors):
    told: list[float] = []
    settings = IndexSettings(kind="ivf", audit=0.1)
    index = audited(build_index(np.arange(100), vectors[:100], settings), settings, told.append)
    asked(index, clustered(40, 6))
    wait_until(lambda: len(told) == 4)
    time.sleep(0.05)
    assert len(told) == 4
    index.upsert(np.array([500]), vectors[500:501])
    index.remove(np.array([3]))
    assert (len(index), index.dim, index.kind, index.is_exact) == (100, 16, "ivf", False)
    assert index.search(vectors[500], 1)[0].tolist() == [500]


def test_an_exact_index_is_not_audited_nor_one_whose_settings_say_no(vectors):
    exact = build_index(np.arange(10), vectors[:10], IndexSettings(kind="exact"))
    assert audited(exact, EVERY, lambda _: None) is exact
    lists = build_index(np.arange(10), vectors[:10], EVERY)
    assert audited(lists, IndexSettings(audit=0.0), lambda _: None) is lists
    assert isinstance(audited(lists, EVERY, lambda _: None), AuditedIndex)
    graph = build_index(np.arange(10), vectors[:10], IndexSettings(kind="hnsw"))
    assert isinstance(audited(graph, EVERY, lambda _: None), AuditedIndex)


def test_an_audit_that_fails_is_logged_and_the_next_goes_on(vectors, monkeypatch, caplog):
    told: list[float] = []
    lists = build_index(np.arange(10), vectors[:10], EVERY)
    assert isinstance(lists, IvfIndex)
    index = audited(lists, EVERY, told.append)
    right = lists.search_exactly
    monkeypatch.setattr(IvfIndex, "search_exactly", lambda *_: 1 / 0)
    index.search(vectors[0], 5)
    wait_until(lambda: "could not be audited" in caplog.text)
    monkeypatch.setattr(IvfIndex, "search_exactly", lambda _, *given: right(*given))
    index.search(vectors[0], 5)
    wait_until(lambda: bool(told))
