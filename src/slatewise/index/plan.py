"""How far a search through lists goes. Knows nothing of vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp2, log2, sqrt

from slatewise.domain.settings import IndexSettings

EXACT_SHARE = 0.015
"""Share of allowed rows below which each is scored by itself: it costs less than more lists (measured at 1M)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Lists scanned per search: ``probes``; ``filtered`` for shares of allowed rows, largest first, as (share, probes).

    ``curve`` is what was measured: (probes, recall@100). Empty where nothing was.
    """

    probes: int
    filtered: tuple[tuple[float, int], ...] = ()
    curve: tuple[tuple[int, float], ...] = ()

    @staticmethod
    def usual(lists: int, settings: IndexSettings) -> Plan:
        """Return what suits without a measurement: an eighth of the lists, or what settings say."""
        return Plan(min(lists, settings.probes or max(1, lists // 8)))

    def probes_for(self, permitted: int, live: int) -> int | None:
        """Return the lists to scan where *permitted* of *live* rows may be found; None: score each of those."""
        share = permitted / max(live, 1)
        if share < EXACT_SHARE:
            return None
        known = ((1.0, self.probes), *self.filtered)
        if share >= 1 or len(known) == 1:
            return round(self.probes / sqrt(min(share, 1.0)))
        # Straight in logarithms, between the measured shares and beyond the last of them.
        allowed = [log2(one) for one, _ in known]
        probes = [log2(many) for _, many in known]
        after = next((i for i, one in enumerate(allowed) if one <= log2(share)), len(allowed) - 1)
        slope = (probes[after] - probes[after - 1]) / (allowed[after] - allowed[after - 1])
        return round(exp2(probes[after] + slope * (log2(share) - allowed[after])))

    def scaled(self, before: int, after: int) -> Plan:
        """Return the plan for *after* lists that goes as far as this one does with *before*."""
        if before == after:
            return self

        def scale(probes: int) -> int:
            return max(1, min(after, round(probes * after / before)))

        filtered = tuple((share, scale(probes)) for share, probes in self.filtered)
        return replace(self, probes=scale(self.probes), filtered=filtered)
