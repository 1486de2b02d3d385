"""What a user's history holds of the very candidates: how often, how, how long ago. Knows no counters, no vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slatewise.domain.history import History
from slatewise.domain.ids import Frame, Rows

NAMES = ("contacts", "since_contact", "contact_lag", "contact_before_last")


def contacts(history: History, rows: Rows, at: float, actions: Sequence[int]) -> Frame:
    """Return ``(len(NAMES) + len(actions), n)``; NaN where a row was never touched.

    How often, log seconds to *at*, log steps back, log seconds from the last contact to the newest interaction; then
    how often by each of these actions. Counts are as log1p.
    """
    counted, since, latest = met(history.row, history, rows, at)
    lag, before = np.full((2, rows.size), np.nan, np.float32)
    known = latest >= 0
    if known.any():
        lag[known] = np.log1p(len(history) - 1 - latest[known])
        before[known] = log_seconds(history.at[-1] - history.at[latest[known]])
    by_action = np.zeros((len(actions), rows.size), np.float32)
    if len(history):
        same = (history.row[:, None] == rows[None, :]).astype(np.float32)
        done = (np.array(actions, np.int64)[:, None] == history.action[None, :]).astype(np.float32)
        by_action = np.log1p(done @ same)
    return np.concatenate([np.stack([counted, since, lag, before]), by_action])


def met(past: Rows, history: History, wanted: Rows, at: float) -> tuple[Frame, Frame, Rows]:
    """Return log1p of how often each wanted value is in *past*, the log seconds since it last was, and that step.

    *past* holds one value per step of *history*: the rows or what they stand for. The step is -1 where never.
    """
    times = np.zeros(wanted.size, np.float32)
    since = np.full(wanted.size, np.nan, np.float32)
    latest = np.full(wanted.size, -1, np.int64)
    if past.size:
        same = past[:, None] == wanted[None, :]
        times = np.log1p(same.sum(0)).astype(np.float32)
        known = same.any(0)
        latest[known] = past.size - 1 - same[::-1, known].argmax(0)
        since[known] = log_seconds(at - history.at[latest[known]])
    return times, since, latest


def log_seconds(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return log1p of elapsed seconds, negative ones as 0; NaN stays NaN.

    Of seconds, not of days: a minute and an hour differ more in what comes next than two weeks and three.
    """
    elapsed: npt.NDArray[np.float64] = np.log1p(np.maximum(seconds, 0.0))
    return elapsed
