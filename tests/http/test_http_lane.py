"""One class of work: how much of it is let in, and in which order."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from slatewise.domain.errors import Overloaded
from slatewise.http.lane import INTERVAL_MS, LEAST, Lane


class Clock:
    now_ms = 1000.0

    def now(self) -> float:
        return self.now_ms / 1000.0

    def elapsed_ms(self) -> float:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lane(clock: Clock):
    """Make lanes whose refusals are noted; their threads end with the test."""
    made = []

    def make(slots: int = 1, **more) -> Lane:
        more = {"limit": 100, "patience_ms": 1000.0, "target_ms": 50.0} | more
        found = Lane("test", slots, clock, **more)
        made.append(found)
        return found

    yield make
    for found in made:
        found.stop()


class Gate:
    """Work that lasts until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self._open = threading.Event()

    def work(self) -> str:
        self.begun += 1
        assert self._open.wait(10)
        return "done"

    def open(self) -> None:
        self._open.set()


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came to that")


def test_so_many_work_at_once_and_the_rest_waits(lane):
    async def story():
        two, gate = lane(slots=2), Gate()
        calls = [asyncio.create_task(two.run(gate.work)) for _ in range(5)]
        await until(lambda: gate.begun == 2)
        await asyncio.sleep(0.02)
        assert (gate.begun, two.waiting) == (2, 3)
        gate.open()
        assert await asyncio.gather(*calls) == ["done"] * 5

    asyncio.run(story())


def test_what_work_raises_is_raised_and_the_lane_goes_on(lane):
    def fail():
        raise KeyError("x")

    async def story():
        one = lane()
        with pytest.raises(KeyError):
            await one.run(fail)
        assert await one.run(lambda: 5) == 5

    asyncio.run(story())


def test_no_room_is_overload_and_is_told(lane):
    told = []

    async def story():
        one, gate = lane(limit=3, tell_full=lambda: told.append("full")), Gate()
        calls = [asyncio.create_task(one.run(gate.work)) for _ in range(4)]
        await until(lambda: one.waiting == 3)
        assert one.is_full
        with pytest.raises(Overloaded):
            await one.run(gate.work)
        gate.open()
        await asyncio.gather(*calls)
        assert not one.is_full

    asyncio.run(story())
    assert told == ["full"]


def test_what_would_come_too_late_is_not_begun(lane, clock):
    told, done = [], []

    async def story():
        one, gate = lane(tell_late=lambda: told.append("late")), Gate()
        first = asyncio.create_task(one.run(gate.work))
        late = asyncio.create_task(one.run(lambda: done.append("late"), clock.now_ms + 10))
        kept = asyncio.create_task(one.run(lambda: done.append("kept"), clock.now_ms + 100))
        await until(lambda: one.waiting == 2)
        clock.now_ms += 50
        gate.open()
        await asyncio.gather(first, kept)
        with pytest.raises(Overloaded):
            await late

    asyncio.run(story())
    assert (told, done) == (["late"], ["kept"])


def test_who_went_away_is_passed_over(lane):
    async def story():
        one, gate, done = lane(), Gate(), []
        first = asyncio.create_task(one.run(gate.work))
        gone = asyncio.create_task(one.run(lambda: done.append("gone")))
        await until(lambda: one.waiting == 1)
        gone.cancel()
        gate.open()
        await first
        await one.run(lambda: done.append("next"))
        assert done == ["next"]

    asyncio.run(story())


def test_limit_follows_the_pace_and_shrinks_once_the_queue_stands(lane, clock):
    """20 ms a piece: five may wait in a burst of 100 ms, two in a standing queue of 50 ms."""

    async def story():
        one = lane(slots=1, patience_ms=100.0)

        def work():
            clock.now_ms += 20

        await asyncio.gather(*(one.run(work) for _ in range(4)))
        assert one.room == 5
        gate = Gate()
        calls = [asyncio.create_task(one.run(gate.work)) for _ in range(3)]
        await until(lambda: one.waiting == 2)
        assert not one.is_full
        clock.now_ms += INTERVAL_MS + 1
        assert one.is_standing
        assert one.room == 2
        assert one.is_full
        gate.open()
        await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(story())


def test_slow_work_leaves_room_for_the_next(lane, clock):
    async def story():
        one = lane(patience_ms=25_000.0)

        def work():
            clock.now_ms += 10_000

        await asyncio.gather(*(one.run(work) for _ in range(3)))
        assert one.room == LEAST

    asyncio.run(story())


def test_lane_below_yields_while_the_one_above_stands(lane, clock, monkeypatch):
    """Above, one works and waits; below, half as much is begun as is finished above."""
    monkeypatch.setattr("slatewise.http.lane.TRICKLE_S", 1000.0)

    async def story():
        above = lane()
        below = lane(slots=8, share=0.5, above=[above])
        busy = [Gate() for _ in range(6)]
        held = [asyncio.create_task(above.run(gate.work)) for gate in busy]
        await until(lambda: above.waiting == 5)
        clock.now_ms += INTERVAL_MS + 1
        gate = Gate()
        calls = [asyncio.create_task(below.run(gate.work)) for _ in range(4)]
        await asyncio.sleep(0.01)
        assert (gate.begun, below.waiting) == (0, 4)
        for number in range(4):
            busy[number].open()
            await held[number]
        assert above.is_standing
        await until(lambda: gate.begun == 2)
        for blocked in busy:
            blocked.open()
        gate.open()
        await asyncio.gather(*held, *calls)
        assert gate.begun == 4

    asyncio.run(story())


def test_lane_below_never_stands_still(lane, clock):
    """Above, nothing gets done at all."""

    async def story():
        above = lane()
        below = lane(slots=8, share=0.1, above=[above])
        busy, gate = Gate(), Gate()
        held = [asyncio.create_task(above.run(busy.work)) for _ in range(2)]
        await until(lambda: above.waiting == 1)
        clock.now_ms += INTERVAL_MS + 1
        calls = [asyncio.create_task(below.run(gate.work)) for _ in range(2)]
        await asyncio.sleep(0)
        assert gate.begun == 0
        await until(lambda: gate.begun == 2)
        busy.open()
        gate.open()
        await asyncio.gather(*held, *calls)

    asyncio.run(story())


def test_what_is_on_its_way_counts_as_waiting(lane):
    async def story():
        one = lane(slots=1, limit=1)
        one.arriving += 2
        assert one.is_full
        one.arrived()
        assert not one.is_full

    asyncio.run(story())


def test_nothing_waits_for_longer_than_a_burst_may_cost(lane, clock):
    async def story():
        one, gate = lane(patience_ms=100.0), Gate()
        first = asyncio.create_task(one.run(gate.work))
        late = asyncio.create_task(one.run(gate.work))
        await until(lambda: one.waiting == 1)
        clock.now_ms += 101
        gate.open()
        assert await first == "done"
        with pytest.raises(Overloaded):
            await late

    asyncio.run(story())


def test_who_says_how_long_to_wait_waits_so_long_and_not_as_long_as_a_burst(lane, clock):
    async def story():
        one, gate = lane(patience_ms=100.0), Gate()
        first = asyncio.create_task(one.run(gate.work))
        waits = asyncio.create_task(one.run(lambda: "in time", clock.now_ms + 150))
        late = asyncio.create_task(one.run(lambda: "too late", clock.now_ms + 120))
        await until(lambda: one.waiting == 2)
        clock.now_ms += 121
        gate.open()
        assert await first == "done"
        assert await waits == "in time"
        with pytest.raises(Overloaded):
            await late

    asyncio.run(story())


def test_who_waits_for_work_that_hangs_is_told(lane, clock):
    async def story():
        one, gate = lane(patience_ms=20.0), Gate()
        hung = asyncio.create_task(one.run(gate.work))
        late = asyncio.create_task(one.run(gate.work))
        await until(lambda: one.waiting == 1)
        clock.now_ms += 21
        with pytest.raises(Overloaded):
            await asyncio.wait_for(late, 5)
        assert not hung.done()
        gate.open()
        assert await hung == "done"

    asyncio.run(story())
