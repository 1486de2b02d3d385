"""How numbers enter the ranker: standardised, and as pieces of a line, so that a threshold is easy to learn."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from slatewise.domain.ids import Frame, Mask

CLIP = 5.0
"""Deviations beyond which, at the latest, a value counts as at that border."""
SMALLEST_STD = 1e-3
FAR = 1e9
"""What is missing lies so far below every border."""
NOT_MET = 1e30
"""Where a bin that is not used begins: nothing reaches it."""


class FeatureInput(nn.Module):
    """Maps features ``(…, f)``, NaN for missing, to numbers ``(…, 2 * f)``, values and missing flags, and pieces
    ``(…, f * bins)``.

    A piece says how far a value has come through one of *bins* intervals: 0 below, 1 above, linear within (piecewise
    linear encoding: Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS 2022,
    section 3.2). Boosted trees find thresholds; a network on standardised values alone was behind them (see
    docs/experiments.md).
    """

    mean: Tensor
    std: Tensor
    lowest: Tensor
    highest: Tensor
    start: Tensor
    slope: Tensor

    def __init__(self, features: int, bins: int) -> None:
        super().__init__()
        self.width = features * (2 + bins)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("lowest", torch.full((features,), -CLIP))
        self.register_buffer("highest", torch.full((features,), CLIP))
        self.register_buffer("start", torch.full((features, bins), NOT_MET))
        self.register_buffer("slope", torch.zeros(features, bins))

    def fit(self, frame: Frame, wanted: Mask) -> None:
        """Take means, deviations and bins from ``(n, f)``.

        Borders are quantiles: half of them of all rows, half of those *wanted* ``(n,)``, for what is wanted is rare and
        often lies where little else does (a click of half a minute ago).
        """
        bins = self.start.shape[1]
        for f in range(frame.shape[1]):
            column = frame[:, f]
            known = column[np.isfinite(column)].astype(np.float64)
            self.start[f], self.slope[f] = NOT_MET, 0.0
            if not known.size:
                continue
            mean, std = float(known.mean()), float(known.std()) + SMALLEST_STD
            self.mean[f], self.std[f] = mean, std
            # Serving meets what training never saw, such as a question in the second of a click: no line is drawn on.
            self.lowest[f] = max(-CLIP, (float(known.min()) - mean) / std)
            self.highest[f] = min(CLIP, (float(known.max()) - mean) / std)
            sought = column[wanted & np.isfinite(column)].astype(np.float64)
            border = _borders(known, sought if sought.size else known, bins)
            n = border.size - 1
            self.start[f, :n] = torch.from_numpy(border[:-1].astype(np.float32))
            self.slope[f, :n] = torch.from_numpy((1.0 / np.diff(border)).astype(np.float32))

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        missing = torch.isnan(feature)
        value = (torch.where(missing, self.mean, feature) - self.mean) / self.std
        value = torch.minimum(torch.maximum(value, self.lowest), self.highest)
        held = torch.where(missing, -FAR, feature)
        piece = ((held[..., None] - self.start) * self.slope).clamp(0.0, 1.0)
        return torch.cat([value, missing.to(feature.dtype)], -1), piece.flatten(-2)


def _borders(known: np.ndarray, sought: np.ndarray, bins: int) -> np.ndarray:
    inner = bins - bins // 2
    by_all = np.quantile(known, np.linspace(0, 1, inner + 1))
    by_wanted = np.quantile(sought, np.linspace(0, 1, bins // 2 + 2)[1:-1]) if bins > 1 else by_all[:0]
    # In float32, as the graph reads them: borders that are equal there would make a slope of infinity.
    border = np.unique(np.concatenate([by_all, by_wanted]).astype(np.float32)).astype(np.float64)
    return border if border.size > 1 else np.array([border[0] - 0.5, border[0] + 0.5])
