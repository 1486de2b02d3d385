"""Composes the slate from ranked candidates: diversity, cap, pins, exploration, in this order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Mask, Positions, Rows, Vectors
from slatewise.domain.query import Resolved
from slatewise.domain.settings import RerankingSettings
from slatewise.ports.stages import Arrangement
from slatewise.ports.stores import Catalogue
from slatewise.reranking.cap import capped, fits
from slatewise.reranking.diversity import diversified
from slatewise.reranking.exploration import NEW_DAYS, explored
from slatewise.reranking.pins import pinned, with_pins


class SlateReranker:
    """Arranges a slate by the settings; with all of them off it keeps the ranked order.

    Looks at the first ``size + look_ahead`` candidates, except that pins and exploration may come from anywhere.
    Candidates whose score is not finite come last. *vectors* maps rows to item vectors ``(n, d)``, zeros where unknown.
    Reasons: ``pinned``, ``explored``; ``diversified`` or ``capped`` where that moved an item to its place; else
    ``ranked``. Thread-safe: `numpy.random.Generator` locks its draws.
    """

    name = "compose"

    def __init__(
        self,
        settings: RerankingSettings,
        catalogue: Catalogue,
        vectors: Callable[[Rows], Vectors],
        rng: np.random.Generator,
        look_ahead: int = 100,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._vectors = vectors
        self._rng = rng
        self._look_ahead = look_ahead

    def arrange(self, query: Resolved, ranked: Candidates, size: int) -> Arrangement:
        places = self._pins(ranked, size)
        free = np.ones(len(ranked), np.bool_)
        free[list(places.values())] = False
        finite = np.isfinite(ranked.score)
        order = np.concatenate([np.flatnonzero(free & finite), np.flatnonzero(free & ~finite)])
        wanted = size - len(places)
        window = order[: wanted + self._look_ahead]
        spread = self._diversified(ranked, window, wanted)
        chosen = self._capped(ranked, spread, wanted, list(places.values()))
        reasons = np.where(
            chosen != spread[: chosen.size],
            "capped",
            np.where(chosen != window[: chosen.size], "diversified", "ranked"),
        )
        position, reason = with_pins(chosen, reasons.tolist(), places)
        self._explore(query, ranked, size, position, reason)
        return Arrangement(np.array(position, np.int64), tuple(reason))

    def _pins(self, ranked: Candidates, size: int) -> dict[int, int]:
        pins = self._settings.pins
        if not pins:
            return {}
        rows = self._catalogue.rows([pin.item_id for pin in pins])
        return pinned(ranked.row, list(zip(rows.tolist(), (pin.position for pin in pins), strict=True)), size)

    def _diversified(self, ranked: Candidates, window: Positions, wanted: int) -> Positions:
        weight = self._settings.diversity
        if weight <= 0 or wanted <= 0:
            return window
        finite = window[np.isfinite(ranked.score[window])]
        # A cap may pass over places, so then the whole window needs an order.
        size = finite.size if self._settings.cap > 0 else wanted
        picked = finite[diversified(ranked.score[finite], self._vectors(ranked.row[finite]), size, weight)]
        return np.concatenate([picked, window[~np.isin(window, picked)]])

    def _capped(self, ranked: Candidates, order: Positions, wanted: int, taken: list[int]) -> Positions:
        if self._settings.cap <= 0 or wanted <= 0:
            return order[: max(wanted, 0)]
        codes = self._codes(ranked.row)
        return order[capped(codes[order], wanted, self._settings.cap, codes[taken])]

    def _explore(self, query: Resolved, ranked: Candidates, size: int, position: list[int], reason: list[str]) -> None:
        # A slate with room at the end shows everything already: nothing is left to explore.
        if self._settings.exploration <= 0 or not position or len(position) < size or reason[-1] == "pinned":
            return
        new = self._is_new(query, ranked)
        new[position] = False
        if self._settings.cap > 0:
            codes = self._codes(ranked.row)
            new &= fits(codes, self._settings.cap, codes[position[:-1]])
        pick = explored(np.flatnonzero(new), self._settings.exploration, self._rng)
        if pick is not None:
            position[-1], reason[-1] = pick, "explored"

    def _is_new(self, query: Resolved, ranked: Candidates) -> Mask:
        created_at = self._catalogue.created_at[ranked.row]
        new: Mask = (query.query.at - created_at) <= NEW_DAYS * 86_400.0
        return new

    def _codes(self, rows: Rows) -> Rows:
        return self._catalogue.codes(self._settings.cap_attribute)[rows]
