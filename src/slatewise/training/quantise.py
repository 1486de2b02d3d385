"""The ranker in 8-bit whole numbers, and whether it is as good and faster. Knows graphs, not how they were made."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slatewise.ports.clock import Clock

Inputs = Mapping[str, npt.NDArray[np.generic]]
Predict = Callable[[Inputs], npt.NDArray[np.float32]]

TOLERATED = 0.002
"""Share of the NDCG@10 that 8-bit numbers may cost: above it, 32-bit numbers are served."""
TIMED = 60
"""Runs of each that are timed."""
LEAST_WEIGHTS = 1 << 14
"""Products with fewer weights stay as they are: what 8 bits spare them is less than the way there and back."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """What the comparison found: NDCG@10 and median milliseconds of both, and which is to be served."""

    ndcg: float
    ndcg_int8: float
    ms: float
    ms_int8: float

    @property
    def is_better(self) -> bool:
        return self.ndcg_int8 >= self.ndcg * (1 - TOLERATED) and self.ms_int8 < self.ms


def quantise(graph: Path, into: Path, samples: Sequence[Inputs]) -> None:
    """Write the graph's large matrix products in 8 bits, with ranges of activations taken from *samples*.

    Ranges are fixed: with those of each batch (dynamic quantisation) a candidate's score would depend on its batch
    mates. Weights have one range per output, so that narrow ones keep their digits.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger("root").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(into),
            _Reader(samples),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=_large_products(prepared),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"MatMulConstBOnly": True},
        )


def _large_products(graph: Path) -> list[str]:
    import onnx

    model = onnx.load(str(graph)).graph
    weights = {held.name: prod(held.dims) for held in model.initializer}
    products = (node for node in model.node if node.op_type in ("MatMul", "Gemm"))
    return [node.name for node in products if weights.get(node.input[1], 0) >= LEAST_WEIGHTS]


class _Reader:
    """Hands samples to the calibration, one by one."""

    def __init__(self, samples: Sequence[Inputs]) -> None:
        self._left: Iterator[Inputs] = iter(samples)

    def get_next(self) -> Any:
        return next(self._left, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        raise NotImplementedError


def compare(
    plain: Predict, small: Predict, samples: Sequence[Inputs], ndcg: Callable[[Predict], float], clock: Clock
) -> Quantised:
    """Judge both by *ndcg* and time both on the *samples*, in turns, so that a busy machine is busy for both."""
    spent: dict[bool, list[float]] = {False: [], True: []}
    for i in range(TIMED):
        for is_int8, predict in ((False, plain), (True, small)):
            start = clock.elapsed_ms()
            predict(samples[i % len(samples)])
            spent[is_int8].append(clock.elapsed_ms() - start)
    return Quantised(ndcg(plain), ndcg(small), float(np.median(spent[False])), float(np.median(spent[True])))
