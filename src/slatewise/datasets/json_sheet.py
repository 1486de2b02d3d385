"""JSON lines as sheets: one object per line, column types from the values. Knows nothing of what columns mean."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from slatewise.datasets.rejects import Reject, shortened
from slatewise.datasets.sheet import Sheet
from slatewise.datasets.vectors import as_vectors
from slatewise.domain.errors import InputError


def read_json_lines(path: Path) -> Sheet:
    """Read a file of one JSON object per line (gzip where it ends in .gz); a key that is absent or null is missing.

    Lines that are no JSON object become rejects; blank lines are passed over. Raises InputError where unreadable.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(path.name, str(path), f"a file that can be read: {error}") from error
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    rejects: list[Reject] = []
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for line, text in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            rows.append(decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            is_json = isinstance(error, msgspec.ValidationError)
            shown = shortened(text.decode("utf-8", "replace"))
            rejects.append(Reject(path.name, line, "not a JSON object" if is_json else "invalid JSON", shown))
        else:
            lines.append(line)
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: _column([row.get(name) for row in rows]) for name in names})
    return Sheet(path.name, table, np.array(lines, np.int64), True, rejects)


def _column(values: list[Any]) -> pa.Array:
    """Return the values in the narrowest type that holds them all; as text where they differ too much."""
    kinds = {type(value) for value in values if value is not None}
    vectors = as_vectors(values)
    if vectors is not None:
        return pa.array(vectors, pa.list_(pa.float64()))
    if list in kinds:
        return pa.array([None if v is None else _texts(v) for v in values], pa.list_(pa.string()))
    if kinds == {int} or kinds == {bool} or kinds == {str} or kinds <= {int, float}:
        try:
            kind = pa.string() if not kinds else pa.float64() if kinds == {int, float} else None
            return pa.array(values, kind)
        except (pa.ArrowInvalid, OverflowError):
            pass  # integers beyond 64 bits are names, not numbers
    return pa.array([None if v is None else _text(v) for v in values], pa.string())


def _texts(value: Any) -> list[str]:
    return [_text(v) for v in value if v is not None] if isinstance(value, list) else [_text(value)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
