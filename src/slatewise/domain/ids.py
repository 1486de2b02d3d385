"""Identifiers and array types. An *id* is what the customer calls a thing; a *row* is where we keep it."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.int64]
"""Catalogue rows, shape ``(n,)``. Dense, given once, never reused; they never leave the process."""

Positions: TypeAlias = npt.NDArray[np.int64]
"""Places in a candidate list, shape ``(k,)``, each in ``[0, n)`` and none twice."""

Scores: TypeAlias = npt.NDArray[np.float32]
"""Scores, shape ``(n,)``. Higher is better. NaN means "no opinion", never "worst"."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""One verdict per candidate (or per catalogue row), shape ``(n,)``. True keeps."""

Vectors: TypeAlias = npt.NDArray[np.float32]
"""Embeddings, shape ``(n, d)``; unit length unless the docstring says otherwise."""

Frame: TypeAlias = npt.NDArray[np.float32]
"""Feature values, shape ``(n, width)``; NaN = missing."""

NO_ROW = -1
"""The row of an id that nobody has introduced yet."""
