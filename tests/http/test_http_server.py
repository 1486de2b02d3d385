"""A real server on a real socket."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest

from slatewise.domain.errors import ConfigError
from slatewise.domain.settings import HttpSettings, Settings
from slatewise.http.app import create_app
from slatewise.http.server import running, serve
from slatewise.telemetry.clock import SystemClock
from slatewise.telemetry.metrics import Metrics

SERVER = """
    import importlib.util, sys, threading, time
    spec = importlib.util.spec_from_file_location("memory", sys.argv[1])
    memory = importlib.util.module_from_spec(spec)
    sys.modules["memory"] = memory
    spec.loader.exec_module(memory)

    from slatewise.http.app import create_app
    from slatewise.http.server import serve
    from slatewise.telemetry.clock import SystemClock
    from slatewise.telemetry.metrics import Metrics

    class Slow(memory.MemoryHome):
        def answer(self, query):
            print("asked", flush=True)
            time.sleep(0.5)
            return super().answer(query)

    home = Slow()
    serve(create_app(home, Metrics(), SystemClock()), "127.0.0.1", 0, lambda url: print(url, flush=True))
    print(f"closed {home.closed}", flush=True)
"""


@pytest.fixture
def app(home):
    return create_app(home, Metrics(), SystemClock())


def test_real_server_answers_and_closes_the_home_at_the_end(app, home):
    with running(app) as url, httpx.Client(base_url=url) as client:
        event = {"user_id": "u", "item_id": "a/similar", "action": "click"}
        assert client.post("/v1/events", json={"events": [event]}).json()["accepted"] == 1
        assert client.get("/v1/items/a%2Fsimilar").json()["item_id"] == "a/similar"
        assert client.get("/v1/items/a%2Fsimilar/similar").status_code == 200
        assert client.get("/v1/recommendations/v").json()["items"][0]["item_id"] == "a/similar"
        assert home.closed == 0
    assert home.closed == 1


def test_real_server_refuses_a_body_too_large_and_goes_on(app):
    with running(app) as url, httpx.Client(base_url=url) as client:
        assert client.post("/v1/events", content=b"x" * 8_000_001).status_code == 413
        assert client.post("/v1/events", content=(b"x" * 1_000_000 for _ in range(9))).status_code == 413
        assert client.get("/healthz").status_code == 200


def test_real_server_hides_an_unexpected_error_and_goes_on(app, home, caplog):
    home.fault = RuntimeError("secret")
    with running(app) as url, httpx.Client(base_url=url) as client:
        answer = client.get("/v1/recommendations/u")
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "secret" not in answer.text
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_the_request_under_way_finish_and_closes_the_home(number):
    fake = str(Path(__file__).with_name("conftest.py"))
    command = [sys.executable, "-c", textwrap.dedent(SERVER), fake]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        host, port = process.stdout.readline().strip().removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(b"GET /v1/recommendations/u HTTP/1.1\r\nhost: x\r\n\r\n")
            assert process.stdout.readline() == "asked\n"
            os.kill(process.pid, number)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK")
        assert process.stdout.readline() == "closed 1\n"
        assert process.wait(20) == 0


def test_port_in_use_is_named(app):
    with running(app) as url, pytest.raises(ConfigError, match="cannot listen on"):
        serve(app, "127.0.0.1", int(url.rpartition(":")[2]))


def test_open_address_without_keys_does_not_start(app, home):
    with pytest.raises(ConfigError, match="slatewise keys create"), running(app, "0.0.0.0"):
        pass
    for host in ("::", "example.org"):
        with pytest.raises(ConfigError, match="no API keys"):
            serve(app, host, 0)


def test_open_address_starts_with_a_key_or_where_the_settings_say_so(home, memory_home):
    home.keys.is_used = True
    with running(create_app(home, Metrics(), SystemClock()), "0.0.0.0"):
        pass
    proxied = memory_home(Settings(http=HttpSettings(without_keys="anyone")))
    with running(create_app(proxied, Metrics(), SystemClock()), "0.0.0.0"):
        pass
