"""Requests made from the OpenAPI document itself: whatever it allows or forbids is answered as it says.

`benchmarks/trust_schemathesis.py` does the same for as long as you like, against a real server.
"""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from slatewise.domain.errors import StorageError
from slatewise.http.app import create_app
from slatewise.telemetry.clock import SystemClock
from slatewise.telemetry.metrics import Metrics
from slatewise.wiring.keys import KeyFile

NOT_SAID = [positive_data_acceptance]
"""What a document cannot say: which actions are declared, how large a slate the settings allow."""


@pytest.fixture
def key(home: Any, tmp_path: Path) -> dict[str, str]:
    home.keys = KeyFile(tmp_path, SystemClock())
    return {"authorization": f"Bearer {home.keys.create('all', ['admin'])[1]}"}


def try_document(home: Any, key: dict[str, str], examples: int, only: str = "") -> int:
    """Ask every operation, or the one with a path, by data that fits the document and data that does not."""
    app = create_app(home, Metrics(), SystemClock())
    asked = 0
    for found in schemathesis.openapi.from_asgi("/openapi.json", app, headers=key).get_all_operations():
        operation = found.ok()
        if only not in ("", operation.path):
            continue
        # What can be wrong about a path or a number, tests of their own ask.
        for mode in GenerationMode if operation.body else [GenerationMode.POSITIVE]:

            @settings(
                max_examples=examples if operation.body else 1,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                nonlocal asked
                asked += 1
                # Checks that send requests of their own, without a key or with a wrong one, are among them.
                case.validate_response(case.call(headers=key), headers=key, excluded_checks=NOT_SAID)

            ask()
    return asked


def test_every_operation_answers_as_the_document_says(home: Any, key: dict[str, str]) -> None:
    assert try_document(home, key, examples=2) >= 25


def broken(*_: Any) -> Any:
    raise RuntimeError("broken")


@pytest.mark.parametrize("fault", ["server error", "undeclared status", "another shape", "no key asked for"])
def test_it_is_red_where_an_answer_is_another(
    home: Any, key: dict[str, str], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "server error":
        home.bundles = broken
    elif fault == "undeclared status":
        home.bundles = lambda: (_ for _ in ()).throw(StorageError("x"))
    elif fault == "another shape":
        monkeypatch.setattr("slatewise.http.routes_bundles._told", lambda bundle: {"id": 7})
    else:
        monkeypatch.setattr("slatewise.http.gate._no_key", lambda *_: None)
    with pytest.raises((FailureGroup, RuntimeError)):
        try_document(home, key, examples=1, only="/v1/bundles")
