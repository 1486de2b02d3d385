"""Requests made from the OpenAPI document, against a real server over a real HOME, for as long as asked.

Schemathesis makes requests that the document allows and requests that it forbids; every answer must be no server error
and what the document says, and none may come without a key. Faults are printed once each.

    python benchmarks/trust_schemathesis.py --minutes 10

The last line is JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from slatewise.telemetry.clock import SystemClock
from slatewise.testing.worlds import walkers
from slatewise.wiring.home import Home

NOT_SAID = [positive_data_acceptance]
"""What a document cannot say: which actions are declared, how large a slate the settings allow."""
EXAMPLES = 25
SHOWN = 10


def made(path: Path) -> str:
    """Make a HOME with a live bundle; return a key that may do everything."""
    items, users, events = walkers(users=60)
    with Home(path, settings={"training.deep": "off", "training.dim": 16}) as home:
        home.put_items(items)
        home.put_users(users)
        home.record(events)
        home.train()
        return home.keys.create("all", ["admin"])[1]


class Trial:
    """Rounds over all operations, until the time is over."""

    def __init__(self, url: str, token: str, until: float) -> None:
        self._headers = {"authorization": f"Bearer {token}"}
        self._schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=self._headers)
        self._until = until
        self.statuses: Counter[int] = Counter()
        self.faults: dict[str, str] = {}
        self.rounds = 0

    def run(self) -> None:
        while time.monotonic() < self._until:
            self.rounds += 1
            for found in self._schema.get_all_operations():
                for mode in GenerationMode:
                    if time.monotonic() < self._until:
                        self._ask(found.ok(), mode)

    def _ask(self, operation: Any, mode: GenerationMode) -> None:
        @seed(self.rounds)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
            report_multiple_bugs=False,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            answer = case.call(headers=self._headers, timeout=30)
            self.statuses[answer.status_code] += 1
            try:
                case.validate_response(answer, headers=self._headers, excluded_checks=NOT_SAID)
            except FailureGroup as group:
                for fault in group.exceptions:
                    self.faults.setdefault(f"{operation.label}: {type(fault).__name__}", str(group)[:2_000])

        with suppress(Unsatisfiable):  # nothing can be wrong about a request without parameters
            ask()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        token = made(home)
        command = [sys.executable, "-m", "slatewise", "serve", "--home", str(home), "--port", "0"]
        log = (Path(folder) / "log").open("w+")
        with subprocess.Popen(command, stderr=log, stdout=log, text=True) as server:
            try:
                trial = Trial(told_url(Path(folder) / "log"), token, time.monotonic() + 60 * minutes)
                trial.run()
            finally:
                server.terminate()
        log.seek(0)
        stacks = log.read().count("Traceback")
    for name, words in list(trial.faults.items())[:SHOWN]:
        print(f"--- {name}\n{words}")
    print(
        json.dumps(
            {
                "minutes": minutes,
                "rounds": trial.rounds,
                "requests": sum(trial.statuses.values()),
                "statuses": {str(status): count for status, count in sorted(trial.statuses.items())},
                "server_errors": sum(count for status, count in trial.statuses.items() if status >= 500),
                "breaches": sorted(trial.faults),
                "stacks_in_log": stacks,
                "exit_code": server.returncode,
            }
        )
    )
    sys.exit(bool(trial.faults) or stacks > 0)


def told_url(log: Path) -> str:
    begun, clock = SystemClock().elapsed_ms(), SystemClock()
    while clock.elapsed_ms() - begun < 60_000:
        words = log.read_text().replace("\n", " ").split()
        urls = [word for word in words if word.startswith("http://127.0.0.1:")]
        if urls:
            return urls[0].rstrip(",)")
        time.sleep(0.05)
    raise RuntimeError(f"the server does not answer: {log.read_text()}")


if __name__ == "__main__":
    main()
