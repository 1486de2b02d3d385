"""Several worker processes over one HOME, under load: the serving benchmarks for some seconds, and a broken twin."""

import asyncio
import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from slatewise.http.app import create_app
from slatewise.http.server import running
from slatewise.ingest.ingest import Ingest
from slatewise.wiring.home import Home

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODULES = ("history_checker", "serving_workers", "serving_history", "serving_swaps", "serving_twin")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return {name: importlib.import_module(name) for name in MODULES}


def test_acknowledged_writes_hold_on_every_worker_through_swaps_and_the_end_loses_no_request(
    home_copy: Path, bench: dict[str, ModuleType]
) -> None:
    with bench["serving_workers"].served(home_copy, workers=2) as server:
        found = bench["serving_history"].run(home_copy, 300, seconds=30.0, width=4, server=server)
        assert found["violations"] == 0, found
        assert found["failed"] == 0, found["problems"]
        assert min(found["told"].get(kind, 0) for kind in ("slates", "hide", "seen")) > 0, found
        swaps = bench["serving_swaps"].measure(home_copy, 2, width=2, server=server)
        assert (swaps["failed"], swaps["mixed"], swaps["not_live"]) == (0, 0, 0), swaps
        assert swaps["compared"] > 10, swaps
        assert len(swaps["private_mb_after"]) == 2
        answered, lost = asyncio.run(drained(bench["serving_workers"], server))
        assert answered > 0
        assert lost == []
        assert server.process.wait(30) == 0


async def drained(process: ModuleType, server: Any) -> tuple[int, list[str]]:
    """Ask on kept-alive connections while the server is told to stop, until new ones are refused."""
    answered, lost, told = 0, [], asyncio.Event()

    async def ask(number: int) -> None:
        nonlocal answered
        link = process.Link(server.url)
        while True:
            try:
                status, body = await link.ask("GET", f"/v1/recommendations/u{number}")
            except ConnectionRefusedError:
                return
            except OSError as error:
                lost.append(repr(error))
                return
            if status != 200:
                lost.append(f"{status} {body!r}")
            answered += 1
            if answered > 10:
                told.set()

    asking = [asyncio.create_task(ask(number)) for number in range(4)]
    await told.wait()
    server.process.terminate()
    await asyncio.gather(*asking)
    return answered, lost


def test_a_server_that_does_not_look_how_far_the_log_is_is_found_out(
    home_copy: Path, bench: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The twin replaces the method for good, in a process of its own; here it is put back.
    monkeypatch.setattr(Ingest, "catch_up", Ingest.catch_up)
    bench["serving_twin"].no_position()
    with Home(home_copy) as home, running(create_app(home, home.metrics, home.clock)) as url:
        found = bench["serving_history"].run(home_copy, 250, seconds=30.0, width=4, server=SimpleNamespace(url=url))
    assert found["violations"] > 0, found


def test_checker_finds_what_no_order_explains_and_nothing_else(bench: dict[str, ModuleType]) -> None:
    checker = bench["history_checker"]
    write, read, never = checker.Write, checker.Read, checker.NEVER

    def broken(*history: Any) -> dict[str, int]:
        writes = [entry for entry in history if isinstance(entry, write)]
        reads = [entry for entry in history if isinstance(entry, read)]
        return dict(checker.judge(writes, reads, frozenset({"a", "b"})).counts)

    hide, seen = write("hide", 1, 2, item="i"), write("seen", 1, 2, item="i", user="u")
    later, between = read(3, 4, ("i",), user="u"), read(1.5, 4, ("i",), user="u")
    assert broken(hide, later) == {"deleted or banned": 1}
    assert broken(hide, between) == {}, "sent before the acknowledgement"
    assert broken(hide, read(3, 4, ("j",))) == {}
    assert broken(write("hide", 1, never, item="i"), later) == {}, "never acknowledged"
    assert broken(hide, write("show", 3.5, 5, item="i"), later) == {}, "brought back meanwhile"
    assert broken(hide, write("show", 1.5, 1.8, item="i"), later) == {}, "either order is possible"
    assert broken(hide, write("show", 0, 0.5, item="i"), later) == {"deleted or banned": 1}
    assert broken(hide, write("show", 5, 6, item="i"), later) == {"deleted or banned": 1}
    assert broken(seen, later) == {"seen": 1}
    assert broken(seen, read(3, 4, ("i",), user="v"), read(3, 4, ("i",))) == {}
    assert broken(seen, write("forget", 2.5, never, user="u"), later) == {}, "may have happened"
    assert broken(seen, write("forget", 5, 6, user="u"), later) == {"seen": 1}
    one, other = write("promote", 1, 2, bundle="a"), write("promote", 5, 6, bundle="b")
    assert broken(one, other, read(3, 4, (), "b")) == {"bundle that is not live": 1}
    assert broken(one, other, read(3, 4, (), "a"), read(3, 5.5, (), "b"), read(7, 8, (), "b")) == {}
    assert broken(one, other, read(7, 8, (), "a")) == {"bundle that is not live": 1}
    assert broken(one, read(3, 4, (), "b", live=False)) == {}, "a later page is of the bundle it began with"
    assert broken(read(3, 4, (), "c")) == {"unknown bundle": 1}
    assert broken(read(3, 4, ("i",), excluded=frozenset("i"))) == {"excluded": 1}
    assert broken(read(3, 4, ("i", "j"), wanted=frozenset("i"))) == {"where": 1}
    assert broken(read(3, 4, ("i",), before=frozenset("i"))) == {"repeated on a later page": 1}
    assert broken(read(3, 4, ("i", "i"))) == {"twice in one answer": 1}
    assert broken(read(3, 4, (), min_version=5, as_of=4)) == {"older than min_version": 1}
