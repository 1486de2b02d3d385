"""Who hears of served slates, and how what they keep in memory about a user is forgotten with the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from slatewise.domain.events import Stored, UserRemoval
from slatewise.domain.settings import TelemetrySettings
from slatewise.ingest.ingest import Ingest
from slatewise.ports.clock import Clock, Observer
from slatewise.ports.stores import LogStore
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.erasing import is_placeholder
from slatewise.telemetry.impressions import ImpressionLog
from slatewise.telemetry.metrics import Metrics
from slatewise.wiring.answering import Answering
from slatewise.wiring.encores import Encores
from slatewise.wiring.recent import RecentQueries

Drop: TypeAlias = Callable[[Callable[[str], bool]], object]


class Forgetting:
    """A follower that has every part drop what waits in memory about a user, whichever process removed them.

    An erased user's removal names nobody: *was_erased* returns what tells them apart.
    """

    def __init__(self, was_erased: Callable[[], Callable[[str], bool]], *drop: Drop) -> None:
        self._was_erased = was_erased
        self._drop = drop

    def follow(self, events: Sequence[Stored]) -> None:
        removed = {stored.event.user_id for stored in events if isinstance(stored.event, UserRemoval)}
        if not removed:
            return
        is_erased = self._was_erased() if any(map(is_placeholder, removed)) else None
        for drop in self._drop:
            drop(removed.__contains__)
            if is_erased is not None:
                drop(is_erased)


def observers(
    log: LogStore,
    catalogue: LiveCatalogue,
    ingest: Ingest,
    recent: RecentQueries,
    clock: Clock,
    settings: TelemetrySettings,
    metrics: Metrics,
    was_erased: Callable[[], Callable[[str], bool]],
    answering: Answering,
) -> tuple[ImpressionLog, list[Observer], Encores]:
    """Return the impression log, begun, all observers in the order in which they are told, and what tells them again.

    *was_erased* as in `Forgetting`.
    """
    impressions = ImpressionLog(
        log.append,
        lambda slate: tuple(catalogue.ids(slate.shown.row)),
        clock,
        settings,
        metrics,
        catch_up=ingest.catch_up,
    )
    told: list[Observer] = [metrics, impressions, recent, *answering.spans]
    encores = Encores(answering.repeats, ingest, told, catalogue)
    forgetting = Forgetting(was_erased, impressions.drop, recent.forget, answering.forget, encores.forget)
    ingest.add_follower(forgetting, ingest.applied)
    return impressions, told, encores
