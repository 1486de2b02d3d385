import sys
import threading
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest

from slatewise.domain.errors import ConfigError, InputError, StorageError
from slatewise.domain.settings import IndexSettings
from slatewise.index import pgvector_table
from slatewise.index import pgvector_wire as wire
from slatewise.index.build import measure_recall
from slatewise.index.exact import ExactIndex
from slatewise.index.pgvector import PgvectorIndex, adopt_pgvector, build_pgvector, load_pgvector
from slatewise.testing import vector_index
from slatewise.testing.vector_index import DIM, VectorIndexContract, clustered, filtered_recall


@pytest.fixture(scope="module")
def settings(postgres_url):
    return IndexSettings(kind="pgvector", url=postgres_url)


@pytest.fixture
def sql(postgres_url):
    """Ask the server directly."""
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield lambda statement, *values: connection.execute(statement, values)


@pytest.fixture
def index(settings):
    index = build_pgvector(np.arange(100), clustered(100, 1), settings)
    yield index
    index.drop()


class TestPgvector(VectorIndexContract):
    floor = 1.0

    @pytest.fixture(autouse=True)
    def server(self, settings):
        self.settings = settings
        self.made = []
        yield
        for index in self.made:
            index.drop()

    def build(self, dim=DIM):
        self.made.append(PgvectorIndex(dim, self.settings))
        return self.made[-1]


class TestPgvectorGraph(TestPgvector):
    """The same through pgvector's graph, which exists from the first row on here.

    Adding one row after the other to a graph takes two milliseconds each, so there are fewer; with all 12,000 rows the
    suite passes as well, in two minutes.
    """

    floor = 0.95

    @pytest.fixture(autouse=True)
    def graph(self, server, monkeypatch):
        monkeypatch.setattr(vector_index, "SIZE", 1_000)
        self.settings = replace(self.settings, exact_up_to=-1)

    def test_readers_miss_no_row_and_meet_no_removed_one_while_writers_write(self, monkeypatch):
        # It needs a hundred rows to replace. Not with fewer links: a thin graph now and then leaves a row out of reach.
        monkeypatch.setattr(vector_index, "SIZE", 5_000)
        super().test_readers_miss_no_row_and_meet_no_removed_one_while_writers_write()


@pytest.fixture(scope="module")
def large(settings):
    index = build_pgvector(np.arange(12_000), clustered(12_000, 2), replace(settings, exact_up_to=6_000))
    yield index
    index.drop()


def test_many_rows_get_a_graph_and_searches_use_it(large, monkeypatch):
    assert not large.is_exact
    monkeypatch.setattr(large._table, "scan", lambda *asked: pytest.fail("scanned"))
    query, half = clustered(1, 3)[0], np.random.default_rng(4).random(12_000) < 0.5
    for allow in (None, half):
        assert large.search(query, 50, allow)[0].size == 50
        condition, values = pgvector_table._permitted(allow)
        said = b"EXPLAIN " + large._table._said(pgvector_table.WALK, condition=condition)
        asked = (said, (wire.vector(query), *values, wire.vector(query), 50))
        plan = large._table._pool.run(lambda connection, asked=asked: connection.execute(*asked).fetchall())
        assert f"Index Scan using {large.collection}_hnsw" in str(plan)


def test_the_graph_finds_the_true_neighbours_filtered_or_not(large):
    vectors, queries = clustered(12_000, 2), clustered(20, 5)
    assert measure_recall(large, np.arange(12_000), vectors, queries) >= 0.97
    truth = ExactIndex(DIM)
    truth.upsert(np.arange(12_000), vectors)
    allow = np.random.default_rng(6).random(12_000) < 0.6
    assert filtered_recall(large, truth, queries, 50, allow) >= 0.97


def test_what_a_graph_cannot_give_is_scanned(large):
    vectors, query = clustered(12_000, 2), clustered(1, 7)[0]
    scores = vectors @ query
    far = scores < np.median(scores)
    for k, allow in ((20, far), (3_000, None), (11_999, None), (20_000, None), (5_000, far)):
        expected = np.sort(scores if allow is None else scores[allow])[::-1][:k]
        rows, found = large.search(query, k, allow)
        assert rows.size == np.unique(rows).size == expected.size
        np.testing.assert_allclose(found, scores[rows], atol=1e-6)
        assert np.mean(found >= expected[-1] - 1e-6) >= 0.9
    _, found = large.search_exactly(query, 50, far)
    np.testing.assert_allclose(found, np.sort(scores[far])[::-1][:50], atol=1e-6)


def test_vectors_of_any_length_are_compared_by_inner_product(settings):
    vectors = clustered(500, 8) * np.random.default_rng(9).lognormal(size=(500, 1)).astype(np.float32) * 10
    index = build_pgvector(np.arange(500), vectors, settings)
    query = 3 * clustered(1, 10)[0]
    rows, scores = index.search(query, 500)
    assert rows.tolist() == np.argsort(-(vectors.astype(np.float64) @ query), kind="stable").tolist()
    np.testing.assert_allclose(scores, vectors[rows] @ query, rtol=1e-4, atol=1e-5)
    index.drop()


@pytest.mark.parametrize("dim", [1, 1_536, 2_001])
def test_vectors_of_any_width_are_stored(settings, tmp_path, dim):
    vectors = np.random.default_rng(11).normal(size=(20, dim)).astype(np.float32)
    index = build_pgvector(np.arange(20), vectors, replace(settings, exact_up_to=10))
    index.save(tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "vectors.npy"), vectors)
    assert index.is_exact == (dim > 2_000), "pgvector has no graph for wider ones"
    index.drop()


def test_a_collection_that_is_there_is_used_as_it_is(index, settings, tmp_path, sql):
    index.save(tmp_path)
    newer = clustered(1, 12)
    index.upsert(np.array([5]), newer)
    loaded = load_pgvector(tmp_path, settings)
    assert loaded.collection == index.collection
    assert loaded.search(newer[0], 1)[0].tolist() == [5]


@pytest.mark.parametrize("loss", ["DROP TABLE {}", "TRUNCATE {}"])
def test_a_collection_that_is_gone_is_uploaded_again(index, settings, tmp_path, sql, loss):
    query = clustered(1, 13)[0]
    index.save(tmp_path)
    before = index.search(query, 100)
    sql(loss.format(index.collection))
    loaded = load_pgvector(tmp_path, settings)
    assert len(loaded) == 100
    for mine, theirs in zip(before, loaded.search(query, 100), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_collection_of_another_width_is_refused(index, settings, tmp_path, sql):
    index.save(tmp_path)
    sql(f"DROP TABLE {index.collection}")
    sql(f"CREATE TABLE {index.collection} (item_row integer PRIMARY KEY, embedding vector(3))")
    with pytest.raises(StorageError, match=f"width 3, expected {DIM}"):
        load_pgvector(tmp_path, settings)


def test_several_at_once_may_make_the_same_collection(settings):
    rows, vectors = np.arange(2_000), clustered(2_000, 14)
    made = []
    threads = [threading.Thread(target=lambda: made.append(adopt_pgvector(rows, vectors, settings))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({index.collection for index in made}) == 1
    assert [len(index) for index in made] == [2_000] * 4
    made[0].drop()


def test_several_at_once_may_write_the_same_rows(index, settings, tmp_path):
    index.save(tmp_path)
    vectors, faults = clustered(300, 15), []

    def write(seed):
        mine, rng = load_pgvector(tmp_path, settings), np.random.default_rng(seed)
        try:
            for _ in range(20):
                order = rng.permutation(300)
                mine.upsert(order, vectors[order])
                mine.remove(rng.permutation(np.arange(250, 300)))
        except StorageError as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(index) == 250


def test_a_repeated_write_leaves_the_table_as_it_is(index, sql):
    def versions():
        return sql(f"SELECT item_row, xmin FROM {index.collection} ORDER BY item_row").fetchall()

    before = versions()
    index.upsert(np.arange(100), clustered(100, 1))
    assert versions() == before
    index.upsert(np.array([7]), -clustered(100, 1)[7:8])
    assert [row for (row, was), (_, now) in zip(before, versions(), strict=True) if was != now] == [7]


def test_a_dropped_connection_is_replaced(index, sql):
    query = clustered(1, 16)[0]
    expected = index.search(query, 5)[0].tolist()
    for call in (
        lambda: index.search(query, 5),
        lambda: index.upsert(np.array([200]), -query[None]),
        lambda: len(index),
    ):
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname <> ''")
        call()
    assert index.search(query, 5)[0].tolist() == expected
    assert len(index) == 101


def test_a_server_that_is_away_is_an_error_until_it_is_back(settings, sql):
    sql("CREATE DATABASE slatewise_away")
    index = build_pgvector(
        np.arange(9), clustered(9, 17), replace(settings, url=in_database(settings, "slatewise_away"))
    )
    index._table._pool.close()
    sql("ALTER DATABASE slatewise_away RENAME TO slatewise_elsewhere")
    for call in (lambda: index.search(clustered(1, 18)[0], 3), lambda: index.remove(np.array([1])), lambda: len(index)):
        with pytest.raises(StorageError, match=r'PostgreSQL at .*"slatewise_away" does not exist'):
            call()
    sql("ALTER DATABASE slatewise_elsewhere RENAME TO slatewise_away")
    assert len(index) == 9


def in_database(settings, name):
    parts = urlsplit(settings.url)
    return f"postgresql://postgres:secret@/{name}?{parts.query}"


def test_a_collection_that_was_dropped_meanwhile_is_named(settings):
    index = build_pgvector(np.arange(5), clustered(5, 19), settings)
    index.drop()
    index.drop()
    with pytest.raises(StorageError, match=f"{index.collection}.* does not exist"):
        index.search(clustered(1, 20)[0], 3)


def test_connections_close_when_nobody_needs_them(settings, sql):
    def connections():
        return sql("SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL").fetchone()[0]

    before = connections()
    index = build_pgvector(np.arange(50), clustered(50, 21), settings)
    query = clustered(1, 22)[0]
    threads = [threading.Thread(target=lambda: [index.search(query, 5) for _ in range(20)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before < connections() <= before + 7
    index.drop()
    wait = 200
    while connections() > before and wait:
        sql("SELECT pg_sleep(0.01)")
        wait -= 1
    assert connections() == before


@pytest.mark.parametrize(
    "url", ["", "vectors.db", "http://me:secret@host", "postgresql://me:secret@[::1/x", "postgresql://h/x?nonsense=1"]
)
def test_a_url_that_cannot_be_right_is_refused(postgres_url, url):
    with pytest.raises(InputError, match=r"index\.url.*postgresql://") as caught:
        PgvectorIndex(DIM, IndexSettings(kind="pgvector", url=url))
    assert "secret" not in str(caught.value)


def test_a_server_that_cannot_be_reached_is_named_without_its_password(postgres_url):
    with pytest.raises(StorageError, match=r"postgresql://me:\*\*\*@127\.0\.0\.1:1/x.*refused") as caught:
        PgvectorIndex(DIM, IndexSettings(kind="pgvector", url="postgresql://me:secret@127.0.0.1:1/x"))
    assert "secret" not in str(caught.value)


def test_a_user_who_may_not_install_pgvector_is_told_who_can(settings, sql):
    sql("CREATE DATABASE slatewise_bare")
    sql("CREATE ROLE slatewise_guest LOGIN")
    sql("UPDATE pg_database SET datacl = NULL WHERE datname = 'slatewise_bare'")
    url = in_database(settings, "slatewise_bare").replace("postgres:secret", "slatewise_guest:secret")
    with pytest.raises(StorageError, match="administrator must install pgvector"):
        PgvectorIndex(DIM, replace(settings, url=url))


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"pip install 'slatewise\[pgvector\]'"):
        PgvectorIndex(DIM, IndexSettings(kind="pgvector", url="postgresql://localhost/x"))
