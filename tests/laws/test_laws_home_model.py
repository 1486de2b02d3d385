"""Random stories about a HOME against a model: in this process, through a server, and through one that is killed.

Short here; `benchmarks/trust_model.py` tells them for as long as you like.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import copytree

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from slatewise.testing.home.in_process import HomeInProcess, world
from slatewise.testing.home.machine import HomeStory, story
from slatewise.testing.home.port import HomePort
from slatewise.testing.home.served import ServedHome, Server
from slatewise.testing.home.steps import KINDS, PER_KIND

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world(tmp_path_factory.mktemp("world") / "home", KINDS, PER_KIND)


@pytest.fixture(scope="module")
def server(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(Path(copytree(made, tmp_path_factory.mktemp("served") / "home")))
    yield server
    server.stop()


def tell(opened: Callable[[], HomePort], number: int, stories: int, steps: int) -> type[HomeStory]:
    machine = story(opened)
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=stories,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return machine


def test_every_story_in_this_process_is_as_the_model_says(made: Path) -> None:
    counted = tell(lambda: HomeInProcess(made), 0, 12, 25).counted
    assert counted["cached"] > 0
    assert counted["crashes"] > 0


def test_every_story_through_a_server_is_as_the_model_says(server: Server) -> None:
    # These stories have no restart in them, and the next ones a crash: to start a server takes longest of all.
    counted = tell(lambda: ServedHome(server, can_crash=False), 10, 3, 15).counted
    assert counted["answers"] > 10


def test_every_story_through_a_server_that_is_killed_is_as_the_model_says(server: Server) -> None:
    counted = tell(lambda: ServedHome(server, can_crash=True), 26, 2, 14).counted
    assert counted["crashes"] > 0


@pytest.mark.parametrize("twin", ["kept_deletion", "forgotten", "twice"])
def test_the_model_notices_a_broken_twin(made: Path, twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import trust_model_twins

    with ExitStack() as broken:
        for part in trust_model_twins.TWINS[twin]():
            broken.enter_context(part)
        with pytest.raises(AssertionError):
            tell(lambda: HomeInProcess(made), 0, 40, 40)
    del sys.modules["trust_model_twins"]
