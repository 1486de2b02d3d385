"""A real server process over a real HOME, trained once for all stories."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import httpx
import pytest

from slatewise.testing.worlds import batched, walkers
from slatewise.wiring.home import Home

SMALL = {
    "training.dim": 16,
    "training.history_length": 20,
    "training.epochs": 12,
    "training.minutes": 2.0,
    "training.ranker_minutes": 2.0,
    "training.ranker_epochs": 5,
    "training.negatives": 64,
    "training.batch_size": 8,
    "training.learning_rate": 0.004,
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HOME with history and two live-able bundles: the towers' and, before it, a spectral one."""
    path = tmp_path_factory.mktemp("trained") / "home"
    items, users, events = walkers()
    with Home(path, settings={**SMALL, "training.deep": "off"}) as home:
        home.put_items(items)
        home.put_users(users)
        for batch in batched(events, 1000):
            home.record(batch)
        home.train()
    # A walk of one step is all in the lists: with them nothing is left for a ranker to earn, and none would ship.
    with Home(path, settings={**SMALL, "training.lists": "off"}) as home:
        home.train()
    return path


@pytest.fixture
def home_copy(trained: Path, tmp_path: Path) -> Path:
    """A HOME of one's own to write to."""
    return Path(copytree(trained, tmp_path / "home"))


class Server:
    """A `slatewise serve` process."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home = home
        self.output = home.parent / "server.log"
        self.process = self._start()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)
        self._wait()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "slatewise", "serve", "--home", str(self.home), "--port", str(self.port)]
        with self.output.open("ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output)

    def _wait(self) -> None:
        for _ in range(300):
            try:
                if self.http.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                if self.process.poll() is not None:
                    raise RuntimeError(self.output.read_text()) from None
            time.sleep(0.1)
        raise RuntimeError("the server never became ready")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def restart(self) -> None:
        self.process = self._start()
        self._wait()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.http.close()
        return code

    def slate(self, **query: object) -> dict[str, object]:
        answer = self.http.post("/v1/recommendations", json=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ids(self, **query: object) -> list[str]:
        return [item["item_id"] for item in self.slate(**query)["items"]]  # type: ignore[index,attr-defined]

    def record(self, **event: object) -> dict[str, int]:
        answer = self.http.post("/v1/events", json={"events": [event]})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Server]]:
    started: list[Server] = []

    def start(home: Path) -> Server:
        started.append(Server(home))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def server(home_copy: Path, serve: Callable[[Path], Server]) -> Server:
    return serve(home_copy)
