"""ONNX Runtime sessions as the request path wants them: one thread, no copies, errors in our own words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from slatewise.domain.errors import BundleError
from slatewise.models.graph_check import check_graph

REHEARSED = 8
"""Length of axes that may vary, in a rehearsal."""
DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class OnnxSession:
    """One loaded graph. Thread-safe: ONNX Runtime sessions allow concurrent runs.

    Raises BundleError for what `check_graph` or the runtime refuses, OSError where there is no such file.
    """

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        # Requests are the parallelism; a thread pool per graph would only make them wait for each other.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Never by path: what a graph names beside itself is not looked for when it comes as bytes.
        content = path.read_bytes()
        check_graph(path.name, content)
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a dozen unrelated classes
            raise BundleError(f"{path.name} cannot be loaded: {error}") from error
        self.inputs = frozenset(i.name for i in self._session.get_inputs())
        self.outputs = tuple(o.name for o in self._session.get_outputs())
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.metadata: Mapping[str, str] = dict(metadata)

    def rehearse(self) -> None:
        """Run once on zeros of some length: whatever the graph asks of memory, it asks now."""
        given = {}
        for entry in self._session.get_inputs():
            shape = [dim if isinstance(dim, int) else REHEARSED for dim in entry.shape]
            given[entry.name] = np.zeros(shape, DTYPES[entry.type])
        self.run(**given)

    def run(self, **inputs: npt.NDArray[np.generic]) -> list[npt.NDArray[np.float32]]:
        """Return every output. Inputs that the graph does not read (export removed them) are left out."""
        outputs: list[npt.NDArray[np.float32]] = self._session.run(
            None, {name: value for name, value in inputs.items() if name in self.inputs}
        )
        return outputs
