"""Composes the slate from ranked candidates: boosts, diversity, cap, pins, exploration, in this order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Mask, Positions, Rows, Scores, Vectors
from slatewise.domain.query import Resolved
from slatewise.domain.settings import RerankingSettings
from slatewise.ports.stages import Arrangement
from slatewise.ports.stores import Catalogue
from slatewise.reranking.boosts import Boosts, boosted
from slatewise.reranking.cap import capped, fits
from slatewise.reranking.diversity import diversified
from slatewise.reranking.exploration import NEW_DAYS, explored, propensity
from slatewise.reranking.pins import pinned, with_pins

Prices = npt.NDArray[np.floating[Any]]
"""Scores as they count here, shape ``(n,)``: the ranker's, or those with boosts."""


class SlateReranker:
    """Arranges a slate by the settings; with all of them off it keeps the ranked order.

    Looks at the best ``size + look_ahead`` candidates, except that pins and exploration may come from anywhere.
    Candidates whose score is not finite come last. *vectors* maps rows to item vectors ``(n, d)``, zeros where unknown.
    Reasons: ``pinned``, ``explored``; ``capped``, ``diversified`` or ``boosted`` (its own factor) where that moved an
    item to its place, the last to move it counting; else ``ranked``. Thread-safe: `numpy.random.Generator` locks its
    draws. Raises ConfigError for boosts that the catalogue cannot answer.
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
        self._boosts = Boosts(settings.boosts, catalogue)
        self._catalogue = catalogue
        self._vectors = vectors
        self._rng = rng
        self._look_ahead = look_ahead
        has_rules = settings.pins or settings.boosts or settings.cap > 0
        self._is_plain = not (has_rules or settings.diversity > 0 or settings.exploration > 0)

    def arrange(self, query: Resolved, ranked: Candidates, size: int) -> Arrangement:
        if self._is_plain and np.isfinite(ranked.score).all():
            shown = min(size, len(ranked))
            return Arrangement(np.arange(shown), ("ranked",) * shown, np.ones(shown, np.float32))
        places = self._pins(ranked, size)
        free = np.ones(len(ranked), np.bool_)
        free[list(places.values())] = False
        price, order, is_boosted = self._ordered(ranked, free)
        wanted = size - len(places)
        window = order[: wanted + self._look_ahead]
        spread = self._diversified(ranked, price, window, wanted)
        chosen = self._capped(ranked, spread, wanted, list(places.values()))
        reasons = np.select(
            [chosen != spread[: chosen.size], chosen != window[: chosen.size], is_boosted[chosen]],
            ["capped", "diversified", "boosted"],
            "ranked",
        )
        position, reason = with_pins(chosen, reasons.tolist(), places)
        likely = np.ones(len(position), np.float32)
        drawn_from = self._explore(query, ranked, size, position, reason, likely)
        whole = np.concatenate([np.flatnonzero(~free), order]) if self._boosts else None
        return Arrangement(np.array(position, np.int64), tuple(reason), likely, drawn_from, whole)

    def _ordered(self, ranked: Candidates, free: Mask) -> tuple[Prices, Positions, Mask]:
        """Return all prices, the free positions by price, and per candidate whether its own boost moved it."""
        finite = np.isfinite(ranked.score)
        scored, rest = np.flatnonzero(free & finite), np.flatnonzero(free & ~finite)
        moved = np.zeros(len(ranked), np.bool_)
        if not self._boosts:
            return ranked.score, np.concatenate([scored, rest]), moved
        factor = self._boosts.factor(ranked.row)
        price = boosted(ranked.score, factor)
        better = scored[np.argsort(-price[scored], kind="stable")]
        moved[better] = (better != scored) & (factor[better] != 1.0)
        return price, np.concatenate([better, rest]), moved

    def _pins(self, ranked: Candidates, size: int) -> dict[int, int]:
        pins = self._settings.pins
        if not pins:
            return {}
        rows = self._catalogue.rows([pin.item_id for pin in pins])
        return pinned(ranked.row, list(zip(rows.tolist(), (pin.position for pin in pins), strict=True)), size)

    def _diversified(self, ranked: Candidates, price: Prices, window: Positions, wanted: int) -> Positions:
        weight = self._settings.diversity
        if weight <= 0 or wanted <= 0:
            return window
        finite = window[np.isfinite(ranked.score[window])]
        # A cap may pass over places, so then the whole window needs an order.
        size = finite.size if self._settings.cap > 0 else wanted
        picked = finite[diversified(price[finite], self._vectors(ranked.row[finite]), size, weight)]
        return np.concatenate([picked, window[~np.isin(window, picked)]])

    def _capped(self, ranked: Candidates, order: Positions, wanted: int, taken: list[int]) -> Positions:
        if self._settings.cap <= 0 or wanted <= 0:
            return order[: max(wanted, 0)]
        codes = self._codes(ranked.row)
        return order[capped(codes[order], wanted, self._settings.cap, codes[taken])]

    def _explore(
        self, query: Resolved, ranked: Candidates, size: int, position: list[int], reason: list[str], likely: Scores
    ) -> int:
        """Draw the last place where it may be; return from how many the item that stands there was drawn, else 0."""
        # A slate with room at the end shows everything already: nothing is left to explore.
        if self._settings.exploration <= 0 or not position or len(position) < size or reason[-1] == "pinned":
            return 0
        new = self._is_new(query, ranked)
        new[position] = False
        if self._settings.cap > 0:
            codes = self._codes(ranked.row)
            new &= fits(codes, self._settings.cap, codes[position[:-1]])
        eligible = np.flatnonzero(new)
        pick = explored(eligible, self._settings.exploration, self._rng)
        likely[-1] = propensity(pick is not None, eligible.size, self._settings.exploration)
        if pick is None:
            return 0
        position[-1], reason[-1] = pick, "explored"
        return eligible.size

    def _is_new(self, query: Resolved, ranked: Candidates) -> Mask:
        created_at = self._catalogue.created_at[ranked.row]
        new: Mask = (query.query.at - created_at) <= NEW_DAYS * 86_400.0
        return new

    def _codes(self, rows: Rows) -> Rows:
        return self._catalogue.codes(self._settings.cap_attribute)[rows]
