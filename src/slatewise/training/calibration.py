"""Turns logits into honest probabilities and says how honest they are. Knows no model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.floating]
STEPS = 50
SMALLEST_SLOPE = 1e-3
"""At zero or below, a slope would turn the ranking round: such a head knows nothing and its rate is all it says."""


def platt(logit: Column, label: npt.NDArray[np.generic], seen: Column | None = None) -> tuple[float, float]:
    """Return slope and offset such that ``seen * sigmoid(slope * logit + offset)`` fits the labels best, by log-loss.

    *logit*, *label* (0 or 1) and *seen*, the probability that it could happen at all, above 0 and at most 1 and all 1
    if None, have shape ``(n,)``. Fisher scoring with a whisper of ridge, so that labels which a threshold separates, or
    labels of one kind, still give finite numbers. Platt, Advances in Large Margin Classifiers, 1999; temperature
    scaling is the case of offset 0 (Guo et al., ICML 2017).
    """
    x, y = logit.astype(np.float64), label.astype(np.float64)
    most = np.ones_like(x) if seen is None else seen.astype(np.float64)
    slope, offset = 1.0, 0.0
    for _ in range(STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(x * slope + offset, -30, 30)))
        share = (1.0 - p) / np.maximum(1.0 - most * p, 1e-12)
        weight = np.maximum(most * p * share * (1.0 - p), 1e-9)
        error = share * (most * p - y)
        gradient = np.array([(error * x).sum(), error.sum()])
        across = (weight * x).sum()
        hessian = np.array([[(weight * x**2).sum() + 1e-3, across], [across, weight.sum() + 1e-3]])
        change = np.linalg.solve(hessian, gradient)
        slope, offset = slope - float(np.clip(change[0], -1, 1)), offset - float(np.clip(change[1], -2, 2))
        if np.abs(change).max() < 1e-6:
            break
    return max(slope, SMALLEST_SLOPE), offset


def calibration_error(probability: Column, label: npt.NDArray[np.generic], bins: int = 15) -> float:
    """Return the expected calibration error over bins of equal counts; 0 where there is nothing.

    *probability* and *label* (0 or 1) have shape ``(n,)``. Naeini et al., AAAI 2015, with equal-mass bins (Nixon et
    al., CVPR workshops 2019), as most candidates are improbable and equal widths would put them into one bin.
    """
    order = np.argsort(probability, kind="stable")
    value, held = probability.astype(np.float64), label.astype(np.float64)
    gaps = [
        abs(value[part].mean() - held[part].mean()) * part.size for part in np.array_split(order, bins) if part.size
    ]
    return float(sum(gaps) / max(label.size, 1))
