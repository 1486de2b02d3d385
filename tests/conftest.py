"""What holds for every test, and the server that several rooms' tests talk to."""

import os
import shutil
import signal
import socket
import subprocess
import time

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
