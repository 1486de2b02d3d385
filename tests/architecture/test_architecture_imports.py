import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "statement",
    [
        "import slatewise.index.hnsw, slatewise.models.sessions",
        "import slatewise.models.sessions, slatewise.index.hnsw",
    ],
)
def test_index_and_models_load_in_either_order_without_crashing(statement: str) -> None:
    done = subprocess.run([sys.executable, "-c", statement], capture_output=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_serving_side_never_loads_torch_nor_what_is_switched_off() -> None:
    unwanted = ("torch", "redis", "opentelemetry.sdk", "opentelemetry.exporter")
    code = (
        "import sys, slatewise.wiring.home, slatewise.http.app;"
        f"sys.exit(' '.join(m for m in {unwanted} if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_importing_the_package_alone_stays_light() -> None:
    code = "import sys, slatewise; sys.exit(any(m in sys.modules for m in ('onnxruntime', 'pyarrow', 'fastapi')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr.decode() or "a heavy library was imported"
