"""The kill benchmark on PostgreSQL for some seconds: a served HOME is killed under load, and a broken twin of it."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_killed_server_loses_nothing_that_it_acknowledged_and_a_hasty_one_is_found_out(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    trust = importlib.import_module("trust_postgres")
    with trust._database(postgres_url) as url:
        counts = trust.kills(url, 1, seed=3)
        assert not counts.is_red, counts.notes
        assert counts.acknowledged > 0
    with trust._database(postgres_url) as url:
        assert trust.kills(url, 6, seed=3, twin="early").is_red
