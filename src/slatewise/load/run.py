"""One run, top to bottom: prepare, schedule, send, wait for the last answers, tell."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np

from slatewise.load.known import Known, Watch, prepare, silent
from slatewise.load.open_loop import OpenLoop
from slatewise.load.pinning import pinned
from slatewise.load.plan import Plan
from slatewise.load.pool import Pool
from slatewise.load.precise import new_loop
from slatewise.load.recorder import Recorder
from slatewise.load.result import Result
from slatewise.load.schedule import due_times, kinds
from slatewise.load.target import target
from slatewise.load.traffic import Traffic

LOOK_S = 0.1
"""How often requests that take too long are looked for."""
PATIENCE_S = 2.0
"""How long answers are waited for once a run was ended early."""


def run(plan: Plan, watch: Watch = silent) -> Result:
    """Prepare and measure from this very process, which should do nothing else meanwhile.

    Ctrl-C ends the run early with what was measured; a second one raises KeyboardInterrupt. Raises InputError for a
    target that does not answer or has no items, NotReady for one without a live bundle.
    """
    return measure(plan, prepare(plan, watch), watch)


def measure(plan: Plan, known: Known, watch: Watch = silent) -> Result:
    """Send the traffic of *plan* and return what became of it. A server that is not there is a result, no error."""
    with pinned(plan.cpu), _without_collections(), asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_measure(plan, known, watch))


async def _measure(plan: Plan, known: Known, watch: Watch) -> Result:
    times, chosen, choice = (np.random.default_rng([plan.seed, 0, part]) for part in range(3))
    instants = due_times(plan.arrivals, plan.rate, plan.total_s, times)
    due, drawn = instants.tolist(), kinds(plan, len(instants), chosen).tolist()
    recorder = Recorder(due, drawn, first=int(np.searchsorted(instants, plan.warmup_s)))
    where = target(plan.url, plan.api_key)
    pool = Pool(where, recorder, plan.max_connections)
    with suppress(OSError):
        await pool.open(plan.connections)
    traffic = Traffic(plan, known, where, drawn, choice)
    loop = OpenLoop(due, traffic, pool, recorder, plan.warmup_s, plan.total_s)
    looking = asyncio.create_task(_look(plan, loop, pool, recorder, watch))
    with _stopped_by_interrupt(loop):
        await loop.run()
    await _drain(plan, loop, pool, recorder)
    if looking.done():
        looking.result()  # what a watch raised
    looking.cancel()
    pool.close()
    watch("load", plan.total_s, plan.total_s, f"{recorder.answered_count:,} answered of {loop.sent:,} sent")
    counted_s = max(0.0, loop.end_s - plan.warmup_s)
    return Result(
        name=plan.name,
        url=plan.url,
        rate=plan.rate,
        arrivals=plan.arrivals,
        seconds=counted_s,
        ended_early=loop.end_s < plan.total_s,
        samples=recorder.samples(plan.warmup_s, loop.end_s),
        degraded={kind: dict(reasons) for kind, reasons in recorder.degraded.items()},
        connections=pool.most,
        max_connections=plan.max_connections,
        cpu_share=loop.cpu_s / counted_s if counted_s > 0 else float("nan"),
    )


async def _look(plan: Plan, loop: OpenLoop, pool: Pool, recorder: Recorder, watch: Watch) -> None:
    clock = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(LOOK_S)
        now = clock.time()
        pool.expire(now - plan.timeout_s, now)
        if not loop.has_ended:
            note = f"{loop.sent:,} sent, {recorder.answered_count:,} answered, {recorder.under_way:,} under way"
            watch("load", min(loop.elapsed_s, plan.total_s), plan.total_s, note)


async def _drain(plan: Plan, loop: OpenLoop, pool: Pool, recorder: Recorder) -> None:
    """Wait for the answers under way, then give up what is left."""
    clock = asyncio.get_running_loop()
    is_early = loop.end_s < plan.total_s
    until = clock.time() + (min(PATIENCE_S, plan.timeout_s) if is_early else plan.timeout_s + 2 * LOOK_S)
    while recorder.under_way and clock.time() < until:
        await asyncio.sleep(LOOK_S / 5)
    now = clock.time()
    pool.expire(now + 1.0, now)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep the garbage collector away: its pauses would be taken for the server's. A run leaves few cycles behind."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _stopped_by_interrupt(loop: OpenLoop) -> Iterator[None]:
    """Let the first Ctrl-C end the run; the second is Python's own again. Only the main thread hears of either."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    events = asyncio.get_running_loop()

    def interrupted(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        events.call_soon_threadsafe(loop.stop)

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
