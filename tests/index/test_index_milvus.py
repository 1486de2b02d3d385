import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from slatewise.domain.errors import ConfigError, InputError, StorageError
from slatewise.domain.settings import IndexSettings
from slatewise.index import milvus_collection
from slatewise.index.milvus import MilvusIndex, adopt_milvus, build_milvus, load_milvus
from slatewise.index.milvus_server import Server
from slatewise.testing import vector_index
from slatewise.testing.vector_index import DIM, VectorIndexContract, clustered


@pytest.fixture(scope="module")
def settings(milvus_file):
    return IndexSettings(kind="milvus", url=milvus_file)


@pytest.fixture
def index(settings):
    index = build_milvus(np.arange(100), clustered(100, 1), settings)
    yield index
    index.drop()


class TestMilvus(VectorIndexContract):
    """With fewer rows: for each search Milvus Lite loops over all of them in Python.

    With all 12,000 the suite passes as well, in a minute.
    """

    floor = 1.0

    @pytest.fixture(autouse=True)
    def server(self, settings, monkeypatch):
        self.settings = settings
        monkeypatch.setattr(vector_index, "SIZE", 5_000)
        self.made = []
        yield
        for index in self.made:
            index.drop()

    def build(self, dim=DIM):
        self.made.append(MilvusIndex(dim, self.settings))
        return self.made[-1]

    def test_churn_keeps_recall_and_size(self, monkeypatch):
        monkeypatch.setattr(vector_index, "SIZE", 2_000)
        super().test_churn_keeps_recall_and_size()


@pytest.fixture
def server(milvus_file, tmp_path):
    """Milvus Lite as a server, reached like any other: start and stop it, and know its url."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    class LiteServer:
        def __init__(self):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            self.url = f"http://127.0.0.1:{self.port}"

        def start(self):
            self.running, self.engine, _ = start_server_in_thread(str(tmp_path / "data"), port=self.port)

        def stop(self):
            self.running.stop(grace=None).wait()
            self.engine.close()

    server = LiteServer()
    server.start()
    yield server
    server.stop()


def test_a_server_is_used_like_a_file_with_a_graph_for_many_rows(server, tmp_path, monkeypatch):
    # Milvus Lite gets no graph, because its own loses the way under a filter; here it has to stand in for a server.
    standing = property(lambda server: False, lambda server, found: None)
    monkeypatch.setattr(Server, "is_lite", standing, raising=False)
    vectors, query = clustered(1_500, 2), clustered(1, 3)[0]
    scores = vectors @ query
    settings = IndexSettings(kind="milvus", url=server.url, exact_up_to=1_000)
    index = build_milvus(np.arange(1_500), vectors, settings)
    assert not index.is_exact
    far, some = scores < np.median(scores), np.random.default_rng(4).random(1_500) < 0.05
    for k, allow in ((20, None), (1_500, None), (2_000, None), (20, far), (20, some), (1_000, some)):
        expected = np.sort(scores if allow is None else scores[allow])[::-1][:k]
        rows, found = index.search(query, k, allow)
        assert rows.size == np.unique(rows).size == expected.size
        assert allow is None or allow[rows].all()
        np.testing.assert_allclose(found, scores[rows], atol=1e-6)
        assert (found[1:] <= found[:-1]).all()
        if allow is None:
            assert np.mean(found >= expected[-1] - 1e-6) >= 0.95
    index.save(tmp_path)
    assert load_milvus(tmp_path, settings).collection == index.collection


def test_a_server_that_is_away_is_an_error_until_it_is_back(server, monkeypatch):
    monkeypatch.setattr(milvus_collection, "SECONDS", 0.5)
    index = build_milvus(np.arange(9), clustered(9, 5), IndexSettings(kind="milvus", url=server.url))
    query = clustered(1, 6)[0]
    server.stop()
    for call in (lambda: index.search(query, 3), lambda: index.remove(np.array([1])), lambda: len(index)):
        with pytest.raises(StorageError, match=f"index on Milvus at {server.url}"):
            call()
    server.start()
    monkeypatch.setattr(milvus_collection, "SECONDS", 5.0)
    # Milvus Lite forgets over a restart which collections were loaded; a server does not.
    server.engine.get_collection(index.collection).load()
    for _ in range(20):
        with suppress(StorageError):
            assert index.search(query, 9)[0].size == 9
            break
        time.sleep(0.2)
    else:
        pytest.fail("no answer four seconds after the server came back")


def test_more_rows_than_one_search_returns_are_found_in_parts(settings, monkeypatch):
    monkeypatch.setattr(milvus_collection, "MOST", 64)
    monkeypatch.setattr("slatewise.index.milvus.MOST", 64)
    monkeypatch.setattr("slatewise.index.milvus.FEW", 5)
    vectors, query = clustered(300, 7), clustered(1, 8)[0]
    scores = vectors @ query
    index = build_milvus(np.arange(300), vectors, settings)
    for k, allow in ((200, None), (400, None), (100, scores < np.median(scores)), (30, np.arange(290) % 7 > 0)):
        expected = np.sort(scores if allow is None else scores[: allow.size][allow])[::-1][:k]
        np.testing.assert_allclose(index.search(query, k, allow)[1], expected, atol=1e-6)
    index.remove(np.arange(0, 300, 2))
    assert sorted(index.search(query, 300)[0]) == list(range(1, 300, 2))
    index.drop()


def test_messages_are_kept_small(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(milvus_collection, "MESSAGE", 4 * DIM * 30)
    vectors = clustered(100, 9)
    index = build_milvus(np.arange(100), vectors, settings)
    assert len(index) == 100
    index.save(tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "vectors.npy"), vectors)
    index.drop()


def test_vectors_of_any_length_are_compared_by_inner_product(settings):
    vectors = clustered(500, 10) * np.random.default_rng(11).lognormal(size=(500, 1)).astype(np.float32) * 10
    index = build_milvus(np.arange(500), vectors, settings)
    query = 3 * clustered(1, 12)[0]
    rows, scores = index.search(query, 500)
    assert rows.tolist() == np.argsort(-(vectors.astype(np.float64) @ query), kind="stable").tolist()
    np.testing.assert_allclose(scores, vectors[rows] @ query, rtol=1e-4, atol=1e-5)
    index.drop()


def test_a_collection_that_is_there_is_used_as_it_is(index, settings, tmp_path):
    index.save(tmp_path)
    newer = clustered(1, 13)
    index.upsert(np.array([5]), newer)
    loaded = load_milvus(tmp_path, settings)
    assert loaded.collection == index.collection
    assert loaded.search(newer[0], 1)[0].tolist() == [5]


@pytest.mark.parametrize("loss", [MilvusIndex.drop, lambda index: index.remove(np.arange(100))])
def test_a_collection_that_is_gone_or_empty_is_uploaded_again(index, settings, tmp_path, loss):
    query = clustered(1, 14)[0]
    index.save(tmp_path)
    before = index.search(query, 100)
    loss(index)
    loaded = load_milvus(tmp_path, settings)
    assert len(loaded) == 100
    for mine, theirs in zip(before, loaded.search(query, 100), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_saved_index_opens_on_another_server(index, settings, tmp_path, server):
    index.save(tmp_path)
    moved = load_milvus(tmp_path, replace(settings, url=server.url))
    query = clustered(1, 15)[0]
    np.testing.assert_array_equal(moved.search(query, 30)[0], index.search(query, 30)[0])


def test_a_collection_of_another_width_is_refused(index, settings, tmp_path):
    index.save(tmp_path)
    np.save(tmp_path / "vectors.npy", np.zeros((100, 3), np.float32))
    header = (tmp_path / "index.json").read_text()
    (tmp_path / "index.json").write_text(header.replace(f'"dim":{DIM}', '"dim":3'))
    with pytest.raises(StorageError, match=f"width {DIM}, expected 3"):
        load_milvus(tmp_path, settings)


def test_several_at_once_may_make_the_same_collection(settings):
    rows, vectors = np.arange(500), clustered(500, 16)
    made = []
    threads = [threading.Thread(target=lambda: made.append(adopt_milvus(rows, vectors, settings))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({index.collection for index in made}) == 1
    assert [len(index) for index in made] == [500] * 3
    made[0].drop()
    assert made[0]._collection._client.list_collections() == []


def test_a_collection_that_was_dropped_meanwhile_is_named(settings):
    index = build_milvus(np.arange(5), clustered(5, 17), settings)
    index.drop()
    index.drop()
    with pytest.raises(StorageError, match=index.collection):
        index.search(clustered(1, 18)[0], 3)


@pytest.mark.parametrize(
    "url", ["", "vectors", "postgresql://me:secret@host/x.db", "http://", "no/such/folder/vectors.db"]
)
def test_a_url_that_cannot_be_right_is_refused(milvus_file, url):
    with pytest.raises(InputError, match=r"index\.url") as caught:
        MilvusIndex(DIM, IndexSettings(kind="milvus", url=url))
    assert "secret" not in str(caught.value)


def test_a_server_that_cannot_be_reached_is_named_without_its_password(milvus_file):
    with pytest.raises(StorageError, match=r"http://me:\*\*\*@127\.0\.0\.1:1") as caught:
        MilvusIndex(DIM, IndexSettings(kind="milvus", url="http://me:secret@127.0.0.1:1"))
    assert "secret" not in str(caught.value)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(ConfigError, match=r"pip install 'slatewise\[milvus\]'"):
        MilvusIndex(DIM, IndexSettings(kind="milvus", url="http://localhost:19530"))


def test_a_file_without_milvus_lite_is_an_error_that_says_what_to_install(milvus_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "milvus_lite", None)
    with pytest.raises(ConfigError, match="pip install milvus-lite"):
        MilvusIndex(DIM, IndexSettings(kind="milvus", url=milvus_file))
