"""A server in a process of its own, on cores of its own, and the processor time it takes."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

START_S = 300.0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def cores():
    """Return the generator's core and the server's: the last one allowed, and the others."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1], set(allowed[:-1]) or set(allowed)


class Process:
    """A running server."""

    def __init__(self, process, url):
        self._process, self.url = process, url

    def cpu_s(self):
        """Return the processor time that it and its children took so far."""
        return sum(_cpu_s(pid) for pid in _family(self._process.pid))

    def text(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read().decode()


@contextmanager
def served(arguments, cpus, ready="/readyz", port_flag=("--port",), after=()):
    """Run ``python ARGUMENTS`` with a free port on *cpus*, and yield it once it answers 200 at *ready*."""
    port = free_port()
    command = [sys.executable, *arguments, *port_flag, str(port), *after]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env=environment, preexec_fn=lambda: os.sched_setaffinity(0, cpus)
    )
    running = Process(process, f"http://127.0.0.1:{port}")
    try:
        _wait(process, running, ready)
        yield running
    finally:
        process.terminate()
        process.wait(30)


def _wait(process, running, ready):
    until = time.monotonic() + START_S
    while True:
        try:
            running.text(ready)
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server does not answer (exit code {process.returncode})") from None
            time.sleep(0.1)


def _family(pid):
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from _family(int(child))


def _cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
