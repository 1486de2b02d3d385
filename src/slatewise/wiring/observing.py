"""Who hears of served slates, and how what they keep in memory about a user is forgotten with the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slatewise.domain.events import Stored, UserRemoval
from slatewise.domain.settings import TelemetrySettings
from slatewise.ingest.ingest import Ingest
from slatewise.ports.clock import Clock, Observer
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.log import SqliteEventLog
from slatewise.telemetry.impressions import ImpressionLog
from slatewise.telemetry.metrics import Metrics
from slatewise.wiring.recent import RecentQueries


class Forgetting:
    """A follower that has every part drop what waits in memory about a user, whichever process removed them."""

    def __init__(self, *drop: Callable[[str], None]) -> None:
        self._drop = drop

    def follow(self, events: Sequence[Stored]) -> None:
        for stored in events:
            if isinstance(stored.event, UserRemoval):
                for drop in self._drop:
                    drop(stored.event.user_id)


def observers(
    log: SqliteEventLog,
    catalogue: LiveCatalogue,
    ingest: Ingest,
    recent: RecentQueries,
    clock: Clock,
    settings: TelemetrySettings,
    metrics: Metrics,
) -> tuple[ImpressionLog, list[Observer]]:
    """Return the impression log, begun, and all observers in the order in which they are told."""
    impressions = ImpressionLog(
        log.append,
        lambda slate: tuple(catalogue.ids(slate.shown.row)),
        clock,
        settings,
        metrics,
        catch_up=ingest.catch_up,
    )
    ingest.add_follower(Forgetting(impressions.drop, recent.forget), ingest.applied)
    return impressions, [metrics, impressions, recent]
