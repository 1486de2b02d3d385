"""Notes what becomes of each request while the run goes on: a few list entries per request, sorted out afterwards."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from slatewise.load.outcome import TIMED_OUT, UNREADABLE, UNSENT
from slatewise.load.plan import KINDS, SLATES
from slatewise.load.samples import Samples

_NUMBER = re.compile(r"\d+(\.\d+)?")


class _Slate(msgspec.Struct):
    """What is read of a slate."""

    cached: bool = False
    degraded: list[str] = []


class Recorder:
    """The pool's listener. Tickets are places in the schedule; ``start`` is the loop's time of its zero."""

    def __init__(self, due: Sequence[float], kinds: Sequence[int], first: int) -> None:
        count = len(due)
        self.start = 0.0
        self.answered_count = 0
        self.under_way = 0
        self.degraded: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS if kind in SLATES}
        self._due, self._kinds, self._first = due, kinds, first
        self._is_slate = [kind in SLATES for kind in KINDS]
        self._decode = msgspec.json.Decoder(_Slate).decode
        self._lag = [math.nan] * count
        self._wait = [math.nan] * count
        self._latency = [math.nan] * count
        self._status = [UNSENT] * count
        self._cached = bytearray(count)
        self._degraded = bytearray(count)

    def reached(self, ticket: int, at: float) -> None:
        """Note that the generator came to a request."""
        self._lag[ticket] = at - self.start - self._due[ticket]
        self.under_way += 1

    def sent(self, ticket: int, at: float) -> None:
        self._wait[ticket] = at - self.start - self._due[ticket] - self._lag[ticket]

    def answered(self, ticket: int, status: int, body: bytes, at: float) -> None:
        self.under_way -= 1
        self.answered_count += 1
        self._latency[ticket] = at - self.start - self._due[ticket]
        self._status[ticket] = status
        if status == 200 and self._is_slate[self._kinds[ticket]]:
            self._read(ticket, body)

    def failed(self, ticket: int, outcome: int, at: float) -> None:
        self.under_way -= 1
        self._status[ticket] = outcome
        if outcome == TIMED_OUT:
            self._latency[ticket] = at - self.start - self._due[ticket]

    def _read(self, ticket: int, body: bytes) -> None:
        try:
            slate = self._decode(body)
        except msgspec.MsgspecError:
            self._status[ticket] = UNREADABLE
            return
        self._cached[ticket] = slate.cached
        if slate.degraded:
            self._degraded[ticket] = True
            if ticket >= self._first:
                # Reasons may name versions and times; what differs in numbers alone is one reason.
                self.degraded[KINDS[self._kinds[ticket]]].update({_NUMBER.sub("#", why) for why in slate.degraded})

    def samples(self, warmup_s: float, end_s: float) -> Samples:
        """Return the requests due from the warm-up's end to *end_s*. What was not sent by then lags at least so far."""
        due = np.array(self._due, dtype=np.float64)
        counted = slice(self._first, int(np.searchsorted(due, end_s)))
        lag = np.array(self._lag)[counted]
        late = np.isnan(lag)
        lag[late] = end_s - due[counted][late]
        return Samples(
            kind=np.array(self._kinds, dtype=np.int8)[counted],
            scheduled_s=due[counted] - warmup_s,
            lag_s=lag,
            wait_s=np.array(self._wait)[counted],
            latency_s=np.array(self._latency)[counted],
            status=np.array(self._status, dtype=np.int16)[counted],
            cached=_flags(self._cached)[counted],
            degraded=_flags(self._degraded)[counted],
        )


def _flags(marks: bytearray) -> npt.NDArray[np.bool_]:
    return np.frombuffer(bytes(marks), dtype=np.bool_)
