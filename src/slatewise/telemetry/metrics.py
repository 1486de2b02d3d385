"""What this process counts and times, in Prometheus' terms. Keeps its own registry, so two homes never mix."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from slatewise.domain.events import Receipt
from slatewise.domain.query import Query
from slatewise.domain.slate import RUNGS, Slate
from slatewise.telemetry.board import Board
from slatewise.telemetry.cache_metrics import CacheMetrics
from slatewise.telemetry.queue_metrics import QueueMetrics
from slatewise.telemetry.summed import as_metrics

_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.35, 0.5, 1.0, 2.5, 5.0)
_STAGE_S = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0)
_FRESHNESS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0, 60.0)


class Metrics:
    """Counts and times; also an `Observer` of served slates. Thread-safe; each call costs microseconds."""

    exposition_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self._requests = Counter(
            "slatewise_requests", "HTTP requests answered", ["route", "method", "status"], registry=own
        )
        self._request_s = Histogram(
            "slatewise_request_seconds", "Time to answer a request", ["route"], buckets=_REQUEST_S, registry=own
        )
        self._stage_s = Histogram(
            "slatewise_stage_seconds", "Time a stage took for one slate", ["stage"], buckets=_STAGE_S, registry=own
        )
        slates = Counter("slatewise_slates_served", "Slates served", ["cached"], registry=own)
        # Found by label once: each slate counts.
        self._kept, self._fresh = slates.labels("true"), slates.labels("false")
        self._hits = Counter("slatewise_cache_hits", "Slates served from the result cache", registry=own)
        self._misses = Counter("slatewise_cache_misses", "Slates that had to be computed", registry=own)
        self._pages = Counter("slatewise_pages", "Pages after the first, composed from a cursor", registry=own)
        self._degraded = Counter(
            "slatewise_degraded",
            "Slates served without a component; reason: deadline, where there was no time for it, or other",
            ["component", "reason"],
            registry=own,
        )
        rungs = Counter("slatewise_rungs", "Slates by the rung of the ladder they were made on", ["rung"], registry=own)
        self._rungs = {rung: rungs.labels(rung) for rung in RUNGS}
        self.cache = CacheMetrics(own)
        self._accepted = Counter("slatewise_events_accepted", "Events stored", registry=own)
        self._duplicates = Counter("slatewise_events_duplicate", "Events known already", registry=own)
        self._fresh_s = Histogram(
            "slatewise_freshness_seconds",
            "Time from an event's arrival to the first moment an answer can reflect it",
            buckets=_FRESHNESS_S,
            registry=own,
        )
        self._version = Gauge("slatewise_log_version", "Log offset after the newest event seen here", registry=own)
        self._writable = Gauge("slatewise_log_writable", "1 while the log takes writes", registry=own)
        self._writable.set(1)
        self._bundle = Gauge("slatewise_live_bundle_info", "1 for the live bundle", ["bundle"], registry=own)
        self._recall = Gauge(
            "slatewise_index_recall", "Recall of the newest audited searches, against exact ones", registry=own
        )
        # Not a number until something was audited: 0 would be an alarm.
        self._recall.set(float("nan"))
        self._audits = Counter("slatewise_index_audits", "Searches repeated exactly", registry=own)
        self.queues = QueueMetrics(own)
        self._counted: dict[tuple[str, str, int], Counter] = {}
        self._timed: dict[str, Histogram] = {}
        self._stages: dict[str, Histogram] = {}
        self._shown = Counter("slatewise_impressions", "Impressions appended to the event log", registry=own)
        self._workers = Gauge("slatewise_workers", "Processes that serve", registry=own)
        self._workers.set(1)
        self._board: Board | None = None
        self._lost = Counter("slatewise_impressions_dropped", "Impressions not logged", ["reason"], registry=own)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered HTTP request. *route* is a path template, never a path."""
        self._answered(route, method, status).inc()
        timed = self._timed.get(route)
        if timed is None:
            timed = self._timed[route] = self._request_s.labels(route)
        timed.observe(seconds)

    def refused(self, route: str, method: str) -> None:
        """Count a request answered with 503 before anything was done for it. It is not timed."""
        self._answered(route, method, 503).inc()

    def _answered(self, route: str, method: str, status: int) -> Counter:
        # Looking a child up by its labels costs more than counting with it.
        counted = self._counted.get((route, method, status))
        if counted is None:
            counted = self._counted[route, method, status] = self._requests.labels(route, method, str(status))
        return counted

    def served(self, query: Query, slate: Slate) -> None:
        """Count one slate, its stage timings and what it went without."""
        (self._kept if slate.cached else self._fresh).inc()
        if slate.page:
            self._pages.inc()
        else:
            # A slate under older versions is no hit: it was shown for want of a better one.
            (self._hits if slate.cached and slate.rung != "cached" else self._misses).inc()
        for stage, ms in slate.timing_ms.items():
            timed = self._stages.get(stage)
            if timed is None:
                timed = self._stages[stage] = self._stage_s.labels(stage)
            timed.observe(ms / 1000.0)
        self._rungs[slate.rung].inc()
        for component, reason in {_labels(entry) for entry in slate.degraded}:
            self._degraded.labels(component, reason).inc()

    def recorded(self, receipt: Receipt) -> None:
        """Count one append."""
        self._accepted.inc(receipt.accepted)
        self._duplicates.inc(receipt.duplicates)

    def visible(self, seconds: float) -> None:
        """Time one event from its arrival to the moment an answer can reflect it."""
        self._fresh_s.observe(max(0.0, seconds))

    def state(self, version: int, live_bundle: str | None) -> None:
        """Tell the log version and which bundle is live (None where none is), as of now."""
        self._version.set(version)
        self._bundle.clear()
        if live_bundle is not None:
            self._bundle.labels(live_bundle).set(1)

    def writable(self, takes_writes: bool) -> None:
        """Tell whether the log takes writes: not while the disk is full or after it failed."""
        self._writable.set(takes_writes)

    def index_recall(self, recall: float) -> None:
        """Tell the mean recall of the newest audited searches, once per audit."""
        self._recall.set(recall)
        self._audits.inc()

    def impressions(self, appended: int) -> None:
        """Count impressions that reached the event log."""
        self._shown.inc(appended)

    def impressions_lost(self, lost: int, reason: str) -> None:
        """Count impressions that did not: ``full``, ``failed`` or ``closed``."""
        self._lost.labels(reason).inc(lost)

    def share(self, board: Board) -> None:
        """From now on tell what all processes at *board* counted."""
        self._board = board

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format, see `exposition_type`; with a board, of all processes.

        May wait a moment for the others.
        """
        return generate_latest(self.registry if self._board is None else _Told(self._board))


class _Told(Collector):
    """What all processes counted, as something to generate text from."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> list[Metric]:
        return as_metrics(self._board.families())


def _labels(entry: str) -> tuple[str, str]:
    """Return component and kind of reason of one ``degraded`` entry; its text is no label, for it may be anything."""
    component, _, reason = entry.partition(":")
    is_late = reason.strip() == "deadline" or reason.endswith("little time left")
    return component.strip(), "deadline" if is_late else "other"
