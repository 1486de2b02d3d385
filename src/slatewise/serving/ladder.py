"""From the full line down to what can still be shown. Knows the rungs' order and no stage.

full -> small ranker -> order of retrieval are `serving/stages.py`'s: there is something to rank. Where retrieval has no
time or fails as a whole, the slate kept last for the same question serves, under whatever versions, then what many
touch. Filters run on every rung, against users and catalogue as they are now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from slatewise.domain.errors import NotReady
from slatewise.domain.slate import Slate
from slatewise.serving.held import Held
from slatewise.serving.resolve import Resolution
from slatewise.serving.trace import Trace


class Rungs(Protocol):
    """What a recommender offers the ladder."""

    def compute(self, resolution: Resolution, trace: Trace) -> tuple[Slate, Held]: ...

    def refill(
        self, resolution: Resolution, held: Held, trace: Trace, *, is_last_resort: bool = False
    ) -> Slate | None: ...

    def popular(self, resolution: Resolution, trace: Trace) -> Slate: ...


def best_possible(
    rungs: Rungs, resolution: Resolution, trace: Trace, latest: Callable[[], Held | None]
) -> tuple[Slate, Held | None]:
    """Return the best slate that time and failures leave, and what to keep of it (None from the lower rungs).

    *latest* returns the slate kept last for the same question. Raises NotReady where no rung offers anything.
    """
    try:
        return rungs.compute(resolution, trace)
    except NotReady:
        # Why is in `degraded` by now.
        pass
    held = latest()
    # What was made for a user before they asked to be forgotten is not to be met again.
    if held is not None and held.version >= resolution.resolved.user.since:
        trace.fell_to("cached")
        slate = rungs.refill(resolution, held, trace, is_last_resort=True)
        if slate is not None:
            return slate, None
    trace.fell_to("popular")
    return rungs.popular(resolution, trace), None
