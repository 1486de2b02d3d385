"""What an ONNX graph may be, read from its bytes before any runtime sees it. Knows the wire format, runs nothing.

A bundle is data. Runtimes read files beside a graph, run operators of any library and follow functions and graphs
inside of graphs; each of these was a way out of a model folder before (CVE-2022-25882, CVE-2024-27318,
CVE-2026-34447). So every field is on a list here or the graph is refused, and what protobuf would merge or let the last
one win is checked each time it occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod

from slatewise.domain.errors import BundleError

MAX_BYTES = 2**31 - 1
"""Protobuf's own limit; a graph with external data could be larger, and is refused."""
MAX_NODES = 20_000
MAX_RANK = 8

OPERATORS: Mapping[bytes, frozenset[bytes]] = {
    b"": frozenset(
        (
            b"Abs Add And Cast Clip Concat Constant DequantizeLinear Div Equal Erf Exp Expand Flatten Gather "
            b"GatherElements GatherND Gelu Gemm Greater GreaterOrEqual Identity IsNaN LayerNormalization Less "
            b"LessOrEqual Log MatMul MatMulInteger Max Min Mul Neg Not Or Pad Pow QuantizeLinear Range Reciprocal "
            b"ReduceL2 ReduceMax ReduceMean ReduceSum Relu Reshape Shape Sigmoid Slice Softmax Split Sqrt Squeeze "
            b"Sub Tanh Transpose Unsqueeze Where"
        ).split()
    ),
}
"""By domain. No operator here holds a graph, keeps state, reads a file, or is anybody's own."""

ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8}
"""Bytes of a tensor's element by its type, for the types of numbers that are accepted."""

NUMBERS = frozenset({4, 5, 7, 9, 10, 11})
"""Fields of a tensor that hold its elements."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Field = tuple[int, int, int, memoryview]
"""Number, wire type, value of a number, content of anything with a length."""


def check_graph(name: str, content: bytes) -> None:
    """Raise BundleError where *content* is no ONNX model, or holds anything but a plain graph of known operators."""
    try:
        if len(content) > MAX_BYTES:
            raise _Refused(f"has {len(content)} bytes, at most {MAX_BYTES} are read")
        if content[4:8] == b"ORTM":
            # The runtime would take it for its own format, whatever else it spells.
            raise _Refused("is in another format than ONNX")
        _Walk().model(memoryview(content))
    except _Refused as refused:
        raise BundleError(f"{name} {refused}") from None


class _Refused(Exception):
    pass


class _Walk:
    """One walk over one model, counting what is capped."""

    def __init__(self) -> None:
        self._nodes = 0
        self._graphs = 0

    def model(self, content: memoryview) -> None:
        self._each("model", content, {7: self.graph}, {1, 2, 3, 4, 5, 6, 8, 14})
        if not self._graphs:
            raise _Refused("holds no graph")

    def graph(self, content: memoryview) -> None:
        self._graphs += 1
        # Inputs, outputs and the types in between say nothing that is done.
        self._each("graph", content, {1: self.node, 5: self.tensor}, {2, 10, 11, 12, 13, 14, 16})

    def node(self, content: memoryview) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Refused(f"has more than {MAX_NODES} nodes")
        operators, domains = [], [b""]
        for number, wire, _, held in _fields(content):
            if number == 4 and wire == BYTES:
                operators.append(bytes(held))
            elif number == 7 and wire == BYTES:
                domains.append(bytes(held))
            elif number == 5 and wire == BYTES:
                self._each("attribute", held, {5: self.tensor}, {1, 2, 3, 4, 7, 8, 9, 13, 20})
            elif number not in (1, 2, 3, 6, 9):
                raise _Refused(f"has a node with field {number}, which is not accepted")
        if not operators:
            raise _Refused("has a node without an operator")
        for operator in operators:
            known = OPERATORS.get(b"") if len(domains) == 1 else OPERATORS.get(domains[-1])
            if known is None or operator not in known or len(set(domains[1:])) > 1:
                spelled = b".".join([*domains[1:], operator])[:60]
                raise _Refused(f"uses the operator {spelled.decode('ascii', 'replace')}, which is not accepted")

    def tensor(self, content: memoryview) -> None:
        dims: list[int] = []
        kinds: list[int] = []
        held_bytes = 0
        for number, wire, value, held in _fields(content):
            if number == 1:
                dims += [value] if wire == VARINT else _packed(held)
            elif number == 2:
                kinds.append(value)
            elif number in NUMBERS:
                held_bytes += len(held) if wire == BYTES else 8
            elif number == 13 or (number == 14 and (wire, value) != (VARINT, 0)):
                raise _Refused("keeps a tensor in another file")
            elif number not in (8, 12, 14, 16):
                raise _Refused(f"has a tensor with field {number}, which is not accepted")
        if len(kinds) != 1 or kinds[0] not in ITEM_BYTES:
            raise _Refused(f"has a tensor of type {kinds}, which is not accepted")
        _check_shape(dims, ITEM_BYTES[kinds[0]], held_bytes)

    @staticmethod
    def _each(
        what: str, content: memoryview, walked: Mapping[int, Callable[[memoryview], None]], let: set[int]
    ) -> None:
        for number, wire, _, held in _fields(content):
            if number in walked and wire == BYTES:
                walked[number](held)
            elif number not in let:
                raise _Refused(f"has a {what} with field {number}, which is not accepted")


def _check_shape(dims: list[int], item_bytes: int, held_bytes: int) -> None:
    if len(dims) > MAX_RANK or any(dim >= 2**31 for dim in dims):
        raise _Refused("has a tensor of an impossible shape")
    # Packed numbers take a byte at least, raw ones as many as their type.
    if prod(dims) > held_bytes or prod(dims) * item_bytes > MAX_BYTES:
        raise _Refused("has a tensor larger than what it holds")


def _fields(content: memoryview) -> Iterator[Field]:
    """Yield the fields of one message. Refuses what is cut off, and groups, which nobody writes."""
    place, end = 0, len(content)
    nothing = content[:0]
    while place < end:
        tag, place = _varint(content, place)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, place = _varint(content, place)
            yield number, wire, value, nothing
            continue
        if wire == BYTES:
            size, place = _varint(content, place)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise _Refused("is no ONNX model: a field has no known form")
        if not number or size > end - place:
            raise _Refused("is no ONNX model, or is cut off")
        yield number, wire, 0, content[place : place + size]
        place += size


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            raise _Refused("is no ONNX model, or is cut off")
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _Refused("is no ONNX model: a number has no end")


def _packed(content: memoryview) -> list[int]:
    found, place = [], 0
    while place < len(content):
        value, place = _varint(content, place)
        found.append(value)
        if len(found) > MAX_RANK:
            break
    return found
