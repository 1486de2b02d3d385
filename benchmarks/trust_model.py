"""Random stories about a HOME, each step held against a model: what was acknowledged is there, nothing else is shown.

    python benchmarks/trust_model.py --minutes 4 --driver in_process     # crashes leave the files as they are
    python benchmarks/trust_model.py --minutes 4 --driver http           # through a real server, restarted
    python benchmarks/trust_model.py --minutes 4 --driver kills          # through a real server, killed with -9

Writes, duplicates, contradictions, erasures, questions, pages, swaps, restarts and crashes come in any order, from
`slatewise.testing.home`. Then the same is told of HOMEs with a fault put in on purpose (`trust_model_twins.py`), which
have to be found out. The last line is JSON; the exit code is 1 where a story went wrong or a twin was not noticed.
"""

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from trust_model_twins import TWINS

from slatewise.testing.home.in_process import HomeInProcess, memory_folder, world
from slatewise.testing.home.machine import story
from slatewise.testing.home.port import HomePort
from slatewise.testing.home.served import SERVE, ServedHome, Server
from slatewise.testing.home.steps import KINDS, PER_KIND

DRIVERS = ("in_process", "http", "kills")
STORIES = {"in_process": 10, "http": 2, "kills": 2}
"""Stories in one round; the time is looked at between rounds."""
TWIN_MINUTES = 2.0
TWIN_RUNNER = Path(__file__).with_name("trust_model_twins.py")


def tell(
    opened: Callable[[], HomePort], until: float, first: int, steps: int, stories: int
) -> tuple[Counter[str], str]:
    """Tell stories until the time is over or one goes wrong; return what was counted, and what went wrong."""
    machine, number = story(opened), first
    while time.monotonic() < until:
        try:
            run_state_machine_as_test(
                seed(number)(machine),
                settings=settings(
                    max_examples=stories,
                    stateful_step_count=steps,
                    deadline=None,
                    database=None,
                    # To shorten a story takes longer than to read it, over HTTP above all.
                    phases=[Phase.generate],
                    report_multiple_bugs=False,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            # Told again, as Hypothesis does, a story over a server may go another way: the first time counts.
            notes = "\n".join(getattr(error, "__notes__", ()))
            first = [*machine.went_wrong, error][0]
            return machine.counted, f"seed {number}: {notes}\n" + "".join(traceback.format_exception(first))
        number += 1
    return machine.counted, ""


@contextmanager
def homes(driver: str, made: Path, twin: str) -> Iterator[Callable[[], HomePort]]:
    """Yield what opens a HOME for each story, with the fault of *twin* in it."""
    with ExitStack() as stack:
        if driver == "in_process":
            for part in TWINS[twin]() if twin else ():
                stack.enter_context(part)
            yield lambda: HomeInProcess(made)
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory_folder())))
        shutil.copytree(made, folder / "home")
        server = Server(folder / "home", (sys.executable, str(TWIN_RUNNER), twin) if twin else SERVE)
        stack.callback(server.stop)
        yield lambda: ServedHome(server, can_crash=driver == "kills")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--driver", choices=DRIVERS, default="in_process")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as scratch:
        made = world(Path(scratch) / "made", KINDS, PER_KIND)
        with homes(given.driver, made, "") as opened:
            counted, wrong = tell(
                opened, time.monotonic() + 60 * given.minutes, given.seed, given.steps, STORIES[given.driver]
            )
        print(wrong or f"nothing wrong in {counted['stories']} stories", flush=True)
        found = {}
        for twin in TWINS:
            with homes(given.driver, made, twin) as opened:
                _, words = tell(
                    opened, time.monotonic() + 60 * TWIN_MINUTES, given.seed, given.steps, STORIES[given.driver]
                )
            found[twin] = bool(words)
            reason = next(
                (line for line in words.splitlines()[::-1] if line.startswith("AssertionError")), words[-200:]
            )
            print(f"{twin}: {reason or 'not noticed'}", flush=True)
    passed = not wrong and all(found.values())
    print(
        json.dumps(
            {
                "driver": given.driver,
                "minutes": given.minutes,
                **dict(sorted(counted.items())),
                "wrong": int(bool(wrong)),
                "twins_red": found,
                "passed": passed,
            }
        )
    )
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
