"""ONNX Runtime sessions as the request path wants them: one thread, no copies, errors in our own words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from slatewise.domain.errors import BundleError


class OnnxSession:
    """One loaded graph. Thread-safe: ONNX Runtime sessions allow concurrent runs."""

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        # Requests are the parallelism; a thread pool per graph would only make them wait for each other.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a dozen unrelated classes
            raise BundleError(f"{path.name} cannot be loaded: {error}") from error
        self.inputs = frozenset(i.name for i in self._session.get_inputs())
        self.outputs = tuple(o.name for o in self._session.get_outputs())
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.metadata: Mapping[str, str] = dict(metadata)

    def run(self, **inputs: npt.NDArray[np.generic]) -> list[npt.NDArray[np.float32]]:
        """Return every output. Inputs that the graph does not read (export removed them) are left out."""
        outputs: list[npt.NDArray[np.float32]] = self._session.run(
            None, {name: value for name, value in inputs.items() if name in self.inputs}
        )
        return outputs
