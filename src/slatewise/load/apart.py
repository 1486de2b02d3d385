"""Measures in a process of its own, so that whoever shows the progress takes no time from the generator."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

import msgspec

from slatewise.domain.errors import SlatewiseError
from slatewise.load import wire
from slatewise.load.known import Known, Watch, silent
from slatewise.load.plan import Plan
from slatewise.load.result import Result


def measure_apart(plan: Plan, known: Known, watch: Watch = silent) -> Result:
    """Do what `run.measure` does, in another process.

    Ctrl-C ends the run early, a second one abandons it (KeyboardInterrupt). Raises SlatewiseError where the other
    process ends without a result.
    """
    # A session of its own: a terminal's Ctrl-C comes here alone and is passed on, once.
    process = subprocess.Popen(
        [sys.executable, "-m", "slatewise.load.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        with _interrupts_passed_on(process) as seen:
            result = _heard(process, plan, known, watch)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        cast(IO[bytes], process.stdout).close()
    if result is None and seen:
        raise KeyboardInterrupt
    if result is None:
        raise SlatewiseError(f"the load generator's process ended without a result (exit code {process.returncode})")
    return result


def _heard(process: subprocess.Popen[bytes], plan: Plan, known: Known, watch: Watch) -> Result | None:
    orders, news = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    try:
        wire.write(orders, wire.Order(plan, known))
        orders.close()
    except BrokenPipeError:
        return None
    while (content := wire.read(news)) is not None:
        message = msgspec.msgpack.decode(content, type=wire.News)
        if message.result is not None:
            return wire.heard(message)
        if message.step is not None:
            watch(*message.step)
    return None


@contextmanager
def _interrupts_passed_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Send the process the interrupts that arrive here; yields those seen. Only the main thread hears of any."""
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def interrupted(number: int, frame: object) -> None:
        seen.append(number)
        if len(seen) > 1:
            raise KeyboardInterrupt
        process.send_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)
