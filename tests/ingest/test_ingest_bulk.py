from collections.abc import Iterator

import pytest

from slatewise.domain.errors import InputError
from slatewise.domain.events import Interaction
from slatewise.ingest.bulk import ImportCounts, Reject, import_events
from slatewise.ingest.validation import Rules
from slatewise.testing.event_log import ACTIONS, seen
from slatewise.testing.memory_log import MemoryLog

RULES = Rules.at(1_000.0, ACTIONS)


def chunks() -> Iterator[list[Interaction]]:
    yield [seen("u", "a", event_id="1"), seen("u", "", event_id="2"), seen("u", "b", event_id="3")]
    yield [seen("u", "c", "veiw", event_id="4"), seen("u", "a", event_id="1")]
    yield []


def test_bad_events_are_set_aside_and_counted_and_do_not_stop_the_rest() -> None:
    log, rejects, progress = MemoryLog(ACTIONS), list[Reject](), list[ImportCounts]()
    counts = import_events(log, chunks(), RULES, on_progress=progress.append, on_reject=rejects.append)
    assert counts == ImportCounts(accepted=2, duplicates=1, rejected=2, version=log.end)
    assert [(r.position, r.error.field) for r in rejects] == [(1, "event.item_id"), (3, "event.action")]
    assert [c.read for c in progress] == [3, 5, 5]
    assert [s.event.item_id for s in log.read()] == ["a", "b"]  # type: ignore[union-attr]


def test_importing_twice_stores_once() -> None:
    log = MemoryLog(ACTIONS)
    import_events(log, chunks(), RULES)
    assert import_events(log, chunks(), RULES) == ImportCounts(duplicates=3, rejected=2, version=3)


def test_a_strict_import_stops_at_the_first_reject_and_keeps_the_chunks_before() -> None:
    log = MemoryLog(ACTIONS)

    def stop(reject: Reject) -> None:
        raise reject.error

    good = [seen("u", "a")]
    with pytest.raises(InputError, match=r"event\.action"):
        import_events(log, [good, [*good, seen("u", "b", "veiw")]], RULES, on_reject=stop)
    assert log.end == 2
