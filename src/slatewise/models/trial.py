"""A bundle's graphs, run once in a process that may fall over. Knows no bundle; is its own child.

A small graph may ask for all of the memory there is once it runs, or never come back. Nobody can tell from its bytes,
so it is found out where only the trial dies of it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from slatewise.domain.errors import BundleError

BASE_BYTES = 2 << 30
"""What all graphs together may take beyond the interpreter's own, and `PER_BYTE` times their size."""
PER_BYTE = 6
LONGEST_S = 120.0


def try_graphs(graphs: Sequence[Path], longest_s: float = LONGEST_S) -> None:
    """Load and run each graph in a process with a bound on its memory. Costs about half a second; nothing for none.

    Raises BundleError where one cannot be loaded or run within it. Where the system has no bounds on
    memory, as on Windows, a graph may take what it wants, for *longest_s*.
    """
    if not graphs:
        return
    command = [sys.executable, "-m", __name__, *map(str, graphs)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=longest_s, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise BundleError(f"{_named(graphs)}: not done within {longest_s:g} s when tried") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = lines[-1][:300] if done.returncode == 1 and lines else f"its process ended with {done.returncode}"
        raise BundleError(f"{_named(graphs)} failed when tried: {why}")


def main(graphs: Sequence[Path]) -> None:
    """Do the trial in this process, and bound its memory first."""
    from slatewise.models.sessions import OnnxSession

    _bound(BASE_BYTES + PER_BYTE * sum(graph.stat().st_size for graph in graphs))
    for graph in graphs:
        try:
            OnnxSession(graph).rehearse()
        except BundleError as error:
            sys.exit(str(error))
        except Exception:  # noqa: BLE001 - whatever it is, the graph is to blame, and its words are not for callers
            sys.exit(f"{graph.name} cannot be run, or asks for more than {BASE_BYTES >> 20} MiB")


def _bound(more_bytes: int) -> None:
    """Let this process have *more_bytes* beyond the address space that it has."""
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _named(graphs: Sequence[Path]) -> str:
    return ", ".join(graph.name for graph in graphs)


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
