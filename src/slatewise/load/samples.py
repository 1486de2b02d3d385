"""What became of every request, as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.load.outcome import TIMED_OUT
from slatewise.load.plan import KINDS

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Samples:
    """One entry per request that was due in the counted time, in order of ``scheduled_s``.

    ``kind`` is a place in `KINDS`. ``scheduled_s`` counts from the end of the warm-up. ``lag_s`` is how late the
    generator came to the request, ``wait_s`` how long the request then waited for a free connection (NaN if it got
    none). ``latency_s`` is from the scheduled time to the answer; to giving up where it timed out; else NaN.
    ``status`` is HTTP's or one of `outcome`.
    """

    kind: npt.NDArray[np.int8]
    scheduled_s: Floats
    lag_s: Floats
    wait_s: Floats
    latency_s: Floats
    status: npt.NDArray[np.int16]
    cached: Bools
    degraded: Bools

    @property
    def is_ok(self) -> Bools:
        """Whether a request was answered with a status of 2xx."""
        return (self.status >= 200) & (self.status < 300)

    @property
    def is_timed(self) -> Bools:
        """Whether a latency counts: what was answered well, and what timed out, which took at least so long.

        Refusals are quick; counted in, they would make an overloaded server look fast.
        """
        timed: Bools = self.is_ok | (self.status == TIMED_OUT)
        return timed

    def of(self, kind: str | None) -> Samples:
        """Return the samples of one kind, all for None."""
        if kind is None:
            return self
        chosen = self.kind == KINDS.index(kind)
        return Samples(*(getattr(self, name)[chosen] for name in COLUMNS))


COLUMNS = tuple(Samples.__dataclass_fields__)
