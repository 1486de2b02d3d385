"""What a user's history holds of the very candidates: how often, how, how long ago. Knows no counters, no vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.domain.history import History
from slatewise.domain.ids import Frame, Rows
from slatewise.features.counting import counting

NAMES = ("contacts", "since_contact", "contact_lag", "contact_before_last")


def contacts(history: History, rows: Rows, at: float, actions: Rows) -> Frame:
    """Return ``(len(NAMES) + len(actions), n)``; NaN where a row was never touched.

    How often, log seconds to *at*, log steps back, log seconds from the last contact to the newest interaction; then
    how often by each of these actions. Counts are as log1p. Rows and actions are contiguous.
    """
    times, latest = met(history.row, history, rows, actions)
    out = np.full((len(NAMES) + actions.size, rows.size), np.nan, np.float32)
    out[0] = np.log1p(times[0])
    # In 32 bits, as the ranker learned it: other last digits would be another feature.
    np.log1p(times[1:].astype(np.float32), out=out[len(NAMES) :])
    known = (latest >= 0).nonzero()[0]
    if known.size:
        step = latest.take(known)
        then = history.at.take(step)
        out[1, known] = log_seconds(at - then)
        out[2, known] = np.log1p(len(history) - 1 - step)
        out[3, known] = log_seconds(history.at[-1] - then)
    return out


def met(past: Rows, history: History, wanted: Rows, actions: Rows) -> tuple[Rows, Rows]:
    """Return how often each wanted value is in *past*, in all and by each of the *actions*, ``(1 + a, n)``, and the
    last step that has it, -1 for none.

    *past* holds one value per step of *history*: the rows or what they stand for. Rows and actions are contiguous.
    """
    times = np.empty((1 + actions.size, wanted.size), np.int64)
    latest = np.empty(wanted.size, np.int64)
    counting.met(past, np.ascontiguousarray(history.action), actions, wanted, times, latest)
    return times, latest


def log_seconds(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return log1p of elapsed seconds, negative ones as 0; NaN stays NaN.

    Of seconds, not of days: a minute and an hour differ more in what comes next than two weeks and three.
    """
    elapsed: npt.NDArray[np.float64] = np.log1p(np.maximum(seconds, 0.0))
    return elapsed
