"""The ordered items we answer with, and how we got there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Frame, Scores

Rung: TypeAlias = Literal["full", "small", "retrieval", "cached", "popular"]
"""From best to last resort: the ranker, its small variant, the order of retrieval, a kept slate, what many touch."""

RUNGS: tuple[Rung, ...] = get_args(Rung)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Candidates that one component removed. ``component`` is ``stage/name``."""

    component: str
    candidates: Candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the ranker saw and said of the ranked candidates, kept only when the query asks to explain."""

    row: npt.NDArray[np.int64]
    feature_names: tuple[str, ...]
    features: Frame
    probabilities: Mapping[str, Scores]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slate:
    """The ordered answer, the ranked reserve behind it, and every drop on the way.

    ``shown``, ``reserve`` and ``dropped`` partition what retrieval returned: nothing is lost, nothing invented.
    ``version`` is the log offset the answer reflects; ``timing_ms`` maps a stage's name to milliseconds.
    """

    request_id: str
    bundle: str
    version: int
    shown: Candidates
    reserve: Candidates
    dropped: tuple[Dropped, ...]
    retrieved: Candidates
    """What retrieval returned, merged, in its order: the input of the funnel."""
    degraded: tuple[str, ...] = ()
    """``component: reason`` for each part that failed or was skipped."""
    cached: bool = False
    timing_ms: Mapping[str, float] = field(default_factory=dict)
    evidence: Evidence | None = None
    reasons: tuple[str, ...] = ()
    """Per shown position, why it stands there: ``ranked``, ``boosted``, ``diversified``, ``capped``, ``pinned``,
    ``explored``."""
    propensity: Scores | None = None
    """Per shown position, how likely its item was to stand there, as in `ports.stages.Arrangement`; None: unknown."""
    explored_from: int = 0
    """How many items the last place was drawn from by exploration; 0 where it was not drawn."""
    rung: Rung = "full"
    """How far down the ladder the slate was made: what ranked it, or where it comes from."""
    page: int = 0
    """How many pages were shown before this one."""
    cursor: str | None = None
    """Goes on behind this slate; None where nothing is left behind it."""

    def propensities(self) -> tuple[float, ...] | None:
        """Return the propensities as plain numbers with the digits that float32 holds, for logs and answers."""
        if self.propensity is None:
            return None
        # Through text: 0.1 in float32 is 0.10000000149 as a double, and that is what a log would keep for ever.
        return tuple(self.propensity.astype(np.str_).astype(np.float64).tolist())
