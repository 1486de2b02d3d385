"""An event loop whose timers are exact to some ten microseconds."""

from __future__ import annotations

import asyncio
import select
import selectors
import sys

if sys.platform == "linux":

    class PreciseSelector(selectors.EpollSelector):
        """Waits with `select` on the epoll descriptor itself.

        Linux counts epoll's timeouts in milliseconds, rounded up, as other event loops do with theirs: requests due in
        between would leave up to a millisecond late, more than some answers take.
        """

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop that wakes when it was asked to; elsewhere than on Linux, the usual one."""
    if sys.platform == "linux":
        return asyncio.SelectorEventLoop(PreciseSelector())
    return asyncio.new_event_loop()
