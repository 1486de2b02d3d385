"""A server that is broken on purpose, to show that a checker would notice: one part is switched off, all else is real.

    python benchmarks/serving_twin.py KIND --home H --port P --workers N

Kinds: ``filter`` applies no filter to what was retrieved, ``position`` looks only now and then how far the log is,
``encore`` gives answers once more without looking at all, ``mixed`` names the wrong bundle on some answers.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from slatewise.cli.serve import work
from slatewise.http.seat import Seat
from slatewise.http.supervisor import Supervisor
from slatewise.ingest.ingest import Ingest
from slatewise.serving import recommender
from slatewise.serving.recommender import Recommender
from slatewise.wiring.encores import Encores

LATE_S = 0.5
EVERY = 20


def no_filter() -> None:
    recommender.sieve = lambda filters, query, candidates, trace: (candidates, [])


def no_position() -> None:
    catch_up, looked = Ingest.catch_up, [0.0]

    def seldom(self: Ingest, version: int = 0) -> int:
        if time.monotonic() - looked[0] > LATE_S:
            looked[0] = time.monotonic()
            return catch_up(self, version)
        return self.applied

    Ingest.catch_up = seldom


def no_glance() -> None:
    found = Encores.find

    def blind(self: Encores, name: bytes):
        self._ingest = SimpleNamespace(is_current=True)
        return found(self, name)

    Encores.find = blind


def mixed() -> None:
    compute, made, count = Recommender.compute, [], [0]

    def mislabelled(self: Recommender, *given, **named):
        slate, held, *more = compute(self, *given, **named)
        if self.bundle not in made:
            made.append(self.bundle)
        count[0] += 1
        if count[0] % EVERY == 0:
            slate = replace(slate, bundle=made[-1 if made[-1] != self.bundle else 0])
        return (slate, held, *more)

    Recommender.compute = mislabelled


KINDS = {"filter": no_filter, "position": no_position, "encore": no_glance, "mixed": mixed}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seat")
    given = parser.parse_args()
    if given.seat:
        KINDS[given.kind]()
        return work(given.home, None, Seat.read(given.seat))
    command = [sys.executable, __file__, given.kind, "--home", str(given.home)]
    sys.exit(Supervisor(command, given.workers, "127.0.0.1", given.port).run())


if __name__ == "__main__":
    main()
