"""Graphs that are more than numbers and known operators never reach the runtime."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="graphs are made with the extra slatewise[train]")

from onnx import TensorProto, helper  # noqa: E402  after the skip

from slatewise.domain.errors import BundleError  # noqa: E402  after the skip
from slatewise.models.graph_check import check_graph  # noqa: E402  after the skip
from slatewise.models.sessions import OnnxSession  # noqa: E402  after the skip
from slatewise.models.trial import try_graphs  # noqa: E402  after the skip


def tensor(name: str, values: object, kind: int = TensorProto.FLOAT) -> "onnx.TensorProto":
    array = np.array(values, np.float32 if kind == TensorProto.FLOAT else np.int64)
    return helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True)


def value(name: str) -> "onnx.ValueInfoProto":
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])


def model(*nodes: "onnx.NodeProto", held: tuple["onnx.TensorProto", ...] = (), given: str = "x") -> "onnx.ModelProto":
    graph = helper.make_graph(list(nodes) or [plain()], "g", [value(given)] if given else [], [value("y")], list(held))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def plain() -> "onnx.NodeProto":
    return helper.make_node("Add", ["x", "x"], ["y"])


def external(name: str = "w") -> "onnx.TensorProto":
    found = tensor(name, [1.0])
    found.ClearField("raw_data")
    found.data_location = TensorProto.EXTERNAL
    entry = found.external_data.add()
    entry.key, entry.value = "location", "../../etc/hostname"
    return found


def elsewhere_silently() -> "onnx.TensorProto":
    found = external()
    found.ClearField("data_location")
    return found


def sparse() -> "onnx.ModelProto":
    found = model()
    found.graph.sparse_initializer.add().values.CopyFrom(tensor("w", [1.0]))
    return found


def with_function() -> "onnx.ModelProto":
    found = model()
    found.functions.append(helper.make_function("own", "f", ["a"], ["b"], [plain()], [helper.make_opsetid("", 18)]))
    return found


def training() -> "onnx.ModelProto":
    found = model()
    found.training_info.add()
    return found


def second_graph() -> bytes:
    """A model whose second graph is merged into its first by whoever reads it."""
    worse = onnx.ModelProto()
    worse.graph.node.append(helper.make_node("Loop", ["x"], ["y"]))
    return model().SerializeToString() + worse.SerializeToString()


def branch() -> "onnx.ModelProto":
    body = helper.make_graph([plain()], "b", [], [value("y")])
    return model(helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body))


def hidden_branch() -> "onnx.ModelProto":
    node = plain()
    node.attribute.append(helper.make_attribute("g", helper.make_graph([plain()], "b", [], [])))
    return model(node)


def huge() -> "onnx.TensorProto":
    found = tensor("w", [1.0])
    found.dims[0] = 1 << 30
    return found


def of_text() -> "onnx.TensorProto":
    return helper.make_tensor("w", TensorProto.STRING, [1], [b"x"])


REFUSED = {
    "tensor in another file": (lambda: model(held=(external(),)), "another file"),
    "tensor in another file, not said aloud": (lambda: model(held=(elsewhere_silently(),)), "another file"),
    "sparse tensor": (sparse, "field 15"),
    "function": (with_function, "field 25"),
    "training": (training, "field 20"),
    "second graph": (second_graph, "operator Loop"),
    "graph in a graph": (branch, "operator If|field 6"),
    "graph in a harmless operator": (hidden_branch, "field 6"),
    "operator of a library": (lambda: model(helper.make_node("Own", ["x"], ["y"], domain="evil")), r"evil\.Own"),
    "known operator, other library": (lambda: model(helper.make_node("Add", ["x"], ["y"], domain="evil")), "evil"),
    "operator that asks for memory by its shape": (
        lambda: model(helper.make_node("ConstantOfShape", ["x"], ["y"])),
        "ConstantOfShape",
    ),
    "operator with a state": (lambda: model(helper.make_node("RandomNormal", [], ["y"])), "RandomNormal"),
    "tensor larger than it is": (lambda: model(held=(huge(),)), "larger than what it holds"),
    "texts": (lambda: model(held=(of_text(),)), "tensor with field 6"),
    "no graph": (lambda: onnx.ModelProto(ir_version=10), "holds no graph"),
    "nothing": (lambda: b"", "holds no graph"),
    "pickle": (lambda: b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x02os", "field 64"),
    "other format": (lambda: b"\x12\x08\x00\x00ORTM" + b"\0" * 20, "another format"),
}


def content(made: object) -> bytes:
    return made if isinstance(made, bytes) else made.SerializeToString()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", REFUSED)
def test_graph_that_is_more_than_numbers_is_refused_before_the_runtime_sees_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, why = REFUSED[name]
    path = tmp_path / "ranker.onnx"
    path.write_bytes(content(make()))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the runtime was asked")

    monkeypatch.setattr("slatewise.models.sessions.ort.InferenceSession", never)
    with pytest.raises(BundleError, match=rf"ranker\.onnx .*({why})"):
        OnnxSession(path)


def test_plain_graph_is_accepted_and_gives_what_it_computes(tmp_path: Path) -> None:
    path = tmp_path / "plain.onnx"
    path.write_bytes(model(helper.make_node("Add", ["x", "w"], ["y"]), held=(tensor("w", [1.0]),)).SerializeToString())
    (found,) = OnnxSession(path).run(x=np.array([1, 2], np.float32))
    assert found.tolist() == [2.0, 3.0]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_graph_raises_nothing_but_its_refusal(data: st.DataObject) -> None:
    held = (tensor("w", [1.0]), tensor("n", [2], TensorProto.INT64))
    spelled = bytearray(model(helper.make_node("Pad", ["x", "n"], ["y"], mode="edge"), held=held).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        spelled[data.draw(st.integers(0, len(spelled) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(spelled[: data.draw(st.integers(0, len(spelled)))])
    for damaged in (bytes(spelled), cut, data.draw(st.binary(max_size=60))):
        with suppress(BundleError):
            check_graph("g", damaged)


def expanding(count: int) -> "onnx.ModelProto":
    """A hundred bytes that ask for 4 * *count* bytes once they run."""
    held = (tensor("x", [0.0]), tensor("n", [count], TensorProto.INT64))
    return model(helper.make_node("Expand", ["x", "n"], ["y"]), held=held, given="")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded on Linux alone")
def test_graph_that_asks_for_more_memory_than_it_may_fails_its_trial_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ranker.onnx"
    # Three GiB: the machine may well have them, a trial may not.
    path.write_bytes(expanding(3 << 28).SerializeToString())
    assert path.stat().st_size < 120
    check_graph("ranker.onnx", path.read_bytes())
    with pytest.raises(BundleError, match=r"ranker\.onnx.*cannot be run"):
        try_graphs([path])


def test_modest_graph_passes_its_trial(tmp_path: Path) -> None:
    path = tmp_path / "ranker.onnx"
    path.write_bytes(expanding(1 << 10).SerializeToString())
    try_graphs([path])
    with pytest.raises(BundleError, match="not done within"):
        try_graphs([path], longest_s=0.001)
