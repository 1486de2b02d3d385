"""The generator's own process: reads an order, measures, tells how it goes and what came of it."""

from __future__ import annotations

import os
import signal
import sys

import msgspec

from slatewise.load import wire
from slatewise.load.run import measure


def main() -> None:
    """Do one run."""
    content = wire.read(sys.stdin.buffer)
    if content is None:
        sys.exit("the load generator was given no plan")
    order = msgspec.msgpack.decode(content, type=wire.Order)
    # What anything prints must not get between the messages.
    news = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def step(task: str, done: float, total: float, note: str) -> None:
        try:
            wire.write(news, wire.News(step=(task, done, total, note)))
        except BrokenPipeError:
            # Nobody is left to tell: end, rather than go on loading a server unseen.
            signal.raise_signal(signal.SIGINT)

    try:
        wire.write(news, wire.told(measure(order.plan, order.known, step)))
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)


if __name__ == "__main__":
    main()
