"""The impression log is honest: whole, bounded, after the answer, and silent about what nobody saw."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from slatewise.domain.candidate import Candidates
from slatewise.domain.errors import StorageError
from slatewise.domain.events import Event, Impression
from slatewise.domain.query import Query
from slatewise.domain.settings import TelemetrySettings
from slatewise.domain.slate import Slate
from slatewise.telemetry.impressions import BATCH_LIMIT, ImpressionLog
from slatewise.telemetry.metrics import Metrics


class HandClock:
    at = 100.0

    def now(self) -> float:
        return self.at

    def elapsed_ms(self) -> float:
        return self.at * 1000.0


@dataclass
class ListLog:
    """An event log that can be held up, and can fail."""

    batches: list[list[Event]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    fault: Exception | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    def append(self, events: Sequence[Event]) -> None:
        self.entered.set()
        assert self.gate.wait(10)
        if self.fault is not None:
            raise self.fault
        self.batches.append(list(events))

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]


def slate(request: str = "r", rows: int = 3) -> Slate:
    shown = Candidates.of("two_tower", np.arange(rows), np.ones(rows, np.float32))
    empty = Candidates.empty("two_tower")
    return Slate(request_id=request, bundle="b", version=1, shown=shown, reserve=empty, dropped=(), retrieved=shown)


def ask(user: str | None = "u", explain: bool = False) -> Query:
    return Query(request_id="r", at=0.0, user_id=user, explain=explain)


@pytest.fixture
def log() -> ListLog:
    return ListLog()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def opened(log, metrics):
    made = []

    def open_with(settings: TelemetrySettings | None = None, queue_limit: int = 100) -> ImpressionLog:
        def names(s: Slate) -> tuple[str, ...]:
            return tuple(f"i{row}" for row in s.shown.row)

        settings = settings or TelemetrySettings()
        made.append(ImpressionLog(log.append, names, HandClock(), settings, metrics, queue_limit))
        return made[-1]

    yield open_with
    log.gate.set()
    for impressions in made:
        impressions.close()


def lost(metrics: Metrics, reason: str) -> float:
    return metrics.registry.get_sample_value("slatewise_impressions_dropped_total", {"reason": reason}) or 0.0


def test_shown_slate_is_logged_whole_and_in_order(opened, log):
    impressions = opened()
    impressions.served(ask(), slate("r7"))
    assert impressions.flush()
    assert log.events == [Impression(at=100.0, user_id="u", request_id="r7", shown=("i0", "i1", "i2"))]


def test_the_context_of_the_request_is_logged_as_it_was_then(opened, log):
    impressions = opened()
    context = {"surface": "home", "hour": 7.0}
    log.gate.clear()
    impressions.served(replace(ask(), context=context), slate())
    context["surface"] = "changed by the caller"
    log.gate.set()
    assert impressions.flush()
    assert [event.context for event in log.events] == [{"surface": "home", "hour": 7.0}]


def test_slate_from_the_cache_was_shown_again_and_is_logged(opened, log):
    impressions = opened()
    impressions.served(ask(), slate("r1"))
    impressions.served(ask(), replace(slate("r2"), cached=True))
    impressions.flush()
    assert [event.request_id for event in log.events] == ["r1", "r2"]


@pytest.mark.parametrize(
    ("query", "shown"),
    [(ask(user=None), slate()), (ask(explain=True), slate()), (ask(), slate(rows=0))],
    ids=["anonymous", "explained", "empty"],
)
def test_what_no_known_user_saw_is_not_logged(opened, log, query, shown):
    impressions = opened()
    impressions.served(query, shown)
    assert impressions.flush()
    assert log.events == []


def test_nothing_is_logged_when_switched_off(opened, log):
    impressions = opened(TelemetrySettings(impressions="off"))
    impressions.served(ask(), slate())
    assert impressions.flush()
    impressions.close()
    assert log.events == []


def test_answer_never_waits_for_the_log_and_a_full_queue_drops_and_counts(opened, log, metrics):
    log.gate.clear()
    impressions = opened(queue_limit=5)
    impressions.served(ask(), slate("first"))
    assert log.entered.wait(10)
    for number in range(8):
        impressions.served(ask(), slate(f"r{number}"))
    assert lost(metrics, "full") == 3
    assert not impressions.flush(timeout_s=0.05)
    log.gate.set()
    assert impressions.flush()
    assert [event.request_id for event in log.events] == ["first", "r0", "r1", "r2", "r3", "r4"]
    assert metrics.registry.get_sample_value("slatewise_impressions_total") == 6


def test_impressions_are_appended_in_batches(opened, log):
    log.gate.clear()
    impressions = opened(queue_limit=1000)
    impressions.served(ask(), slate())
    assert log.entered.wait(10)
    for _ in range(BATCH_LIMIT + 10):
        impressions.served(ask(), slate())
    log.gate.set()
    assert impressions.flush()
    assert [len(batch) for batch in log.batches] == [1, BATCH_LIMIT, 10]


def test_flush_waits_for_what_is_being_written(opened, log):
    log.gate.clear()
    impressions = opened()
    impressions.served(ask(), slate())
    assert log.entered.wait(10)
    assert not impressions.flush(timeout_s=0.05)
    log.gate.set()
    assert impressions.flush()
    assert len(log.events) == 1


def test_close_appends_what_is_queued_and_later_slates_are_counted(opened, log, metrics):
    impressions = opened()
    impressions.served(ask(), slate())
    impressions.close()
    assert len(log.events) == 1
    impressions.served(ask(), slate())
    impressions.close()
    assert len(log.events) == 1
    assert lost(metrics, "closed") == 1


@pytest.mark.parametrize("fault", [StorageError("disk full"), ValueError("unforeseen")])
def test_failed_append_is_counted_and_the_next_one_works(opened, log, metrics, caplog, fault):
    impressions = opened()
    log.fault = fault
    impressions.served(ask(), slate("lost"))
    assert impressions.flush()
    log.fault = None
    impressions.served(ask(), slate("kept"))
    assert impressions.flush()
    assert [event.request_id for event in log.events] == ["kept"]  # type: ignore[attr-defined]
    assert lost(metrics, "failed") == 1
    assert "1 impressions were not logged" in caplog.text


def test_no_impression_of_a_forgotten_user_follows(opened, log):
    log.gate.clear()
    impressions = opened()
    impressions.served(ask("u"), slate("being written"))
    assert log.entered.wait(10)
    impressions.served(ask("u"), slate("queued"))
    impressions.served(ask("v"), slate("other"))
    forgetting = threading.Thread(target=impressions.forget, args=("u",))
    forgetting.start()
    forgetting.join(0.05)
    assert forgetting.is_alive()
    log.gate.set()
    forgetting.join(10)
    assert not forgetting.is_alive()
    assert log.events[0].request_id == "being written"
    impressions.flush()
    assert [event.request_id for event in log.events] == ["being written", "other"]


def test_forgetting_the_only_queued_user_leaves_the_log_working(opened, log):
    impressions = opened()
    impressions.served(ask("u"), slate())
    impressions.forget("u")
    impressions.served(ask("v"), slate("after"))
    assert impressions.flush()
    assert [event.user_id for event in log.events][-1] == "v"


def test_many_threads_lose_nothing(opened, log):
    impressions = opened(queue_limit=10_000)

    def serve(user: str) -> None:
        for number in range(200):
            impressions.served(ask(user), slate(f"{user}-{number}"))

    threads = [threading.Thread(target=serve, args=(f"u{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert impressions.flush()
    assert len({event.request_id for event in log.events}) == len(log.events) == 800


def test_propensities_are_logged_with_what_was_shown(opened, log):
    impressions = opened()
    drawn = replace(slate("r"), propensity=np.array([1.0, 1.0, 0.1 / 3], np.float32), explored_from=3)
    impressions.served(ask(), drawn)
    assert impressions.flush()
    (event,) = log.events
    assert event.explored_from == 3
    assert event.propensity[:2] == (1.0, 1.0)
    assert event.propensity[2] == pytest.approx(0.1 / 3, rel=1e-6)
    assert len(repr(event.propensity[2])) <= 12, "the digits of float32, not its noise as a double"


def test_a_user_another_process_forgot_is_dropped_before_the_append_and_nobody_waits(log):
    forgotten = ["u"]
    impressions = ImpressionLog(
        log.append,
        lambda shown: ("i0",),
        HandClock(),
        TelemetrySettings(),
        catch_up=lambda: impressions.drop(forgotten.__contains__),
    )
    impressions.served(ask("u"), slate("gone"))
    impressions.served(ask("v"), slate("kept"))
    assert impressions.flush(5.0)
    assert [event.request_id for event in log.events] == ["kept"]
    forgotten.append("v")
    impressions.served(ask("v"), slate("gone too"))
    begun = time.monotonic()
    assert impressions.flush(10.0)
    assert time.monotonic() - begun < 5.0, "whoever flushes is told that nothing is left"
    impressions.close()
    assert len(log.events) == 1
