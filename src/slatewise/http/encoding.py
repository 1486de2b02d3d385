"""Writes JSON. NaN and infinities become null: JSON has no word for them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import msgspec
import numpy as np
from starlette.responses import Response


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return sorted(value)
    # What msgspec asks of a hook that knows no form for a value.
    raise NotImplementedError(f"{type(value).__name__} has no form in JSON")  # msgspec asks a hook for it


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def json_bytes(value: Any) -> bytes:
    """Return *value* as JSON; dataclasses become objects, numpy values plain ones."""
    return _encoder.encode(value)


def json_response(value: Any, status: int = 200) -> Response:
    """Return *value* as a JSON response."""
    return Response(json_bytes(value), status_code=status, media_type="application/json")
