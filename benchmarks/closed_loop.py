"""Throughput: so many connections, each of which asks again once it was answered. A process of its own.

Reads one JSON object (url, seconds, warmup_s, connections, cpu, name, mix, users, items) and prints one: ``per_s``
answers with 200 a second, ``rejected`` with 503, ``failed`` with neither, and percentiles of the former's latency.
"""

import asyncio
import json
import sys

import numpy as np

from slatewise.load.known import Known
from slatewise.load.outcome import REJECTED
from slatewise.load.pinning import pinned
from slatewise.load.plan import Plan
from slatewise.load.pool import Pool
from slatewise.load.precise import new_loop
from slatewise.load.result import percentiles_ms
from slatewise.load.schedule import kinds
from slatewise.load.target import target
from slatewise.load.traffic import Traffic

DRAWN = 200_000
"""Requests drawn ahead; a longer run begins again."""


class Closed:
    """The pool's listener: asks again as soon as it hears."""

    def __init__(self, traffic):
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._next = 0
        self._asked = {}
        self.counted_from = self.until = 0.0
        self.latency, self.rejected, self.failures = [], 0, 0

    def begin(self, pool, connections, warmup_s, seconds):
        self._pool = pool
        self.counted_from = self._loop.time() + warmup_s
        self.until = self.counted_from + seconds
        for _ in range(connections):
            self._ask()

    def _ask(self):
        now = self._loop.time()
        if now < self.until:
            place, self._next = self._next, self._next + 1
            self._asked[place] = now
            self._pool.send(place, self._traffic.request(place % DRAWN), now)

    def sent(self, ticket, at):
        pass

    def answered(self, ticket, status, body, at):
        begun = self._asked.pop(ticket)
        if self.counted_from <= at < self.until:
            if status == 200:
                self.latency.append(at - begun)
            elif status == REJECTED:
                self.rejected += 1
            else:
                self.failures += 1
        self._ask()

    def failed(self, ticket, outcome, at):
        del self._asked[ticket]
        self.failures += 1
        self._ask()


async def measure(given):
    plan = Plan(
        url=given["url"], rate=1.0, duration_s=1.0, name=given["name"], mix=given["mix"], user_ids=tuple(given["users"])
    )  # fmt: skip
    times, choice = (np.random.default_rng([0, part]) for part in range(2))
    where = target(plan.url)
    traffic = Traffic(plan, Known(tuple(given["items"])), where, kinds(plan, DRAWN, times).tolist(), choice)
    closed = Closed(traffic)
    pool = Pool(where, closed, given["connections"])
    await pool.open(given["connections"])
    closed.begin(pool, given["connections"], given["warmup_s"], given["seconds"])
    await asyncio.sleep(given["warmup_s"] + given["seconds"] + 0.2)
    pool.close()
    return {
        "per_s": len(closed.latency) / given["seconds"],
        "rejected": closed.rejected,
        "failed": closed.failures,
        **{f"{name}_ms": ms for name, ms in percentiles_ms(np.array(closed.latency)).items()},
    }


def main():
    given = json.load(sys.stdin)
    with pinned(given["cpu"]), asyncio.Runner(loop_factory=new_loop) as runner:
        print(json.dumps(runner.run(measure(given))))


if __name__ == "__main__":
    main()
