"""Slatewise: real-time recommendations in one install. Events in, the right ten items out, now.

Open a HOME folder and go::

    import slatewise

    with slatewise.open("shop") as home:
        home.import_data("data/")
        home.train()
        answer = home.recommend("alice")
        home.record(user_id="alice", item_id=answer.items[0].item_id, action="click")
        home.similar(answer.items[0].item_id)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slatewise.domain.answer import Answer, AnswerItem, ExplainedCandidate
from slatewise.domain.errors import (
    BundleError,
    ConfigError,
    InputError,
    NotFound,
    NotReady,
    Overloaded,
    SlatewiseError,
    StageFailed,
    StorageError,
    TrainingError,
)
from slatewise.domain.events import Interaction, ItemChange, Receipt, UserChange
from slatewise.domain.query import PastAction, Query
from slatewise.domain.settings import Settings
from slatewise.version import __version__

if TYPE_CHECKING:
    from slatewise.wiring.home import Home

__all__ = [
    "Answer",
    "AnswerItem",
    "BundleError",
    "ConfigError",
    "ExplainedCandidate",
    "InputError",
    "Interaction",
    "ItemChange",
    "NotFound",
    "NotReady",
    "Overloaded",
    "PastAction",
    "Query",
    "Receipt",
    "Settings",
    "SlatewiseError",
    "StageFailed",
    "StorageError",
    "TrainingError",
    "UserChange",
    "__version__",
    "open",
]


def open(path: str | Path, *, settings: Mapping[str, object] | None = None) -> Home:
    """Open a HOME folder, creating it if needed. *settings* overrides by dotted name, e.g. ``{"training.dim": 32}``.

    Raises ConfigError for settings that make no sense, StorageError for a damaged log.
    """
    # Imported here so that `import slatewise` stays light: a Home pulls in ONNX Runtime and the index.
    from slatewise.wiring.home import Home

    return Home(path, settings=settings)
