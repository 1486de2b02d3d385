"""Item ids in row order, as a bundle learned them, and whether a HOME still agrees. Knows no other meaning of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import msgspec

from slatewise.domain.errors import BundleError


def save_vocabulary(path: Path, item_ids: Sequence[str]) -> None:
    """Write the id of row 0, 1, 2, ... as one JSON array."""
    path.write_bytes(msgspec.json.encode(list(item_ids)))


def load_vocabulary(path: Path) -> tuple[str, ...]:
    """Return the ids in row order. Raises BundleError where the file is missing, damaged, or names an item twice."""
    try:
        item_ids = msgspec.json.decode(path.read_bytes(), type=tuple[str, ...])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"vocabulary {path.name}: {error}") from error
    if len(set(item_ids)) < len(item_ids):
        twice, _ = Counter(item_ids).most_common(1)[0]
        raise BundleError(f"vocabulary {path.name}: item {twice!r} has two rows")
    return item_ids


def check_vocabulary(bundle_ids: Sequence[str], catalogue_ids: Sequence[str]) -> None:
    """Check that the catalogue's first rows hold the bundle's items; the catalogue may have grown since.

    Raises BundleError naming the first row that differs: such a bundle was trained on another HOME.
    """
    known = len(bundle_ids)
    if list(islice(catalogue_ids, known)) == list(bundle_ids):
        return
    for row, (ours, theirs) in enumerate(zip(bundle_ids, catalogue_ids, strict=False)):
        if ours != theirs:
            raise BundleError(f"row {row} is item {ours!r} in the bundle and {theirs!r} here: it was trained elsewhere")
    raise BundleError(
        f"the bundle knows {known} items, the catalogue only {len(catalogue_ids)}: it was trained elsewhere"
    )
