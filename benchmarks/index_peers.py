"""Other people's indexes behind one small face, each with the efforts that draw its curve. Measured where installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

THREADS = 2
K = 100


class Peer:
    """Build in the constructor; ``efforts`` are tried in order; ``search`` returns rows."""

    package: str
    efforts: Iterable[Any]

    def set(self, effort: Any) -> None: ...
    def search(self, query: np.ndarray) -> np.ndarray: ...
    def add(self, row: int, vector: np.ndarray) -> None: ...


class Hnswlib(Peer):
    package = "hnswlib"
    efforts = (100, 150, 200, 300, 400, 600, 800, 1200, 2000, 3000)

    def __init__(self, items: np.ndarray) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=items.shape[1])
        self.index.init_index(len(items) + len(items) // 20 + 1000, M=16, ef_construction=200)
        self.index.add_items(items, np.arange(len(items)), num_threads=THREADS)
        self.index.set_num_threads(1)

    def set(self, effort: int) -> None:
        self.index.set_ef(effort)

    def search(self, query: np.ndarray) -> np.ndarray:
        return self.index.knn_query(query[None], K, num_threads=1)[0][0]

    def add(self, row: int, vector: np.ndarray) -> None:
        self.index.add_items(vector[None], np.array([row]), num_threads=1)


class Usearch(Peer):
    package = "usearch"
    efforts = (100, 200, 400, 800, 1600, 3000)

    def __init__(self, items: np.ndarray) -> None:
        import onnxruntime  # noqa: F401  before usearch: the other order crashes the interpreter
        from usearch.index import Index

        self.index = Index(ndim=items.shape[1], metric="ip", dtype="f32", connectivity=16, expansion_add=200)
        self.index.add(np.arange(len(items), dtype=np.uint64), items, threads=THREADS)

    def set(self, effort: int) -> None:
        self.index.expansion_search = effort

    def search(self, query: np.ndarray) -> np.ndarray:
        return np.asarray(self.index.search(query, K, threads=1).keys).astype(np.int64)

    def add(self, row: int, vector: np.ndarray) -> None:
        self.index.add(np.array([row], np.uint64), vector[None], threads=1)


class FaissIvf(Peer):
    package = "faiss"
    efforts = (8, 16, 32, 64, 96, 128, 192, 256, 512)

    def __init__(self, items: np.ndarray) -> None:
        import faiss

        faiss.omp_set_num_threads(THREADS)
        lists = int(2 ** round(np.log2(4 * np.sqrt(len(items)))))
        self.index = faiss.index_factory(items.shape[1], f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
        self.index.train(items[np.random.default_rng(0).permutation(len(items))[: 40 * lists]])
        self.index.add(items)
        faiss.omp_set_num_threads(1)

    def set(self, effort: int) -> None:
        self.index.nprobe = effort

    def search(self, query: np.ndarray) -> np.ndarray:
        return self.index.search(query[None], K)[1][0]

    def add(self, row: int, vector: np.ndarray) -> None:
        self.index.add(vector[None])


class Scann(Peer):
    package = "scann"
    efforts = tuple((leaves, again) for again in (400, 1000, 2000, 4000) for leaves in (40, 60, 100, 150, 200, 300))
    """Leaves searched and candidates scored again."""
    add = None  # its Python face rebuilds

    def __init__(self, items: np.ndarray) -> None:
        import scann

        leaves = int(2 * np.sqrt(len(items)))
        self.index = (
            scann.scann_ops_pybind.builder(items, K, "dot_product")
            .tree(num_leaves=leaves, num_leaves_to_search=100, training_sample_size=min(len(items), 250_000))
            .score_ah(2, anisotropic_quantization_threshold=0.2)
            .reorder(400)
            .set_n_training_threads(THREADS)
            .build()
        )

    def set(self, effort: tuple[int, int]) -> None:
        self.leaves, self.again = effort

    def search(self, query: np.ndarray) -> np.ndarray:
        return self.index.search(query, leaves_to_search=self.leaves, pre_reorder_num_neighbors=self.again)[0]


PEERS: dict[str, Callable[[np.ndarray], Peer]] = {
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "faiss_ivf_sq8": FaissIvf,
    "scann": Scann,
}


def installed(name: str) -> bool:
    return importlib.util.find_spec(PEERS[name].package) is not None
