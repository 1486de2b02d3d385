"""Settings written for people: the TOML file reads back the same, the page names everything."""

import tomllib
from dataclasses import fields

import pytest

from slatewise.domain.settings import Settings
from slatewise.wiring.settings import effective, load_settings, settings_markdown, to_toml
from slatewise.wiring.settings_schema import all_specs
from slatewise.wiring.settings_values import ABOVE_ZERO, AT_MOST

ODD = {
    "cache.ttl_s": 1e-7,
    "retrieval.two_tower": 7,
    "actions.wish-list.weight": -0.5,
    "reranking.cap_attribute": 'quote " back \\ del \x7f tab \t ü',
    "reranking.pins": '[{item_id = "a\\"b", position = 2}]',
    "reranking.boosts": '[{where = {"brand name" = "a\\"b", price = {lt = 5, in = [1, 2.5]}, new = true}, factor = 2}]',
    "filtering.seen": False,
    "index.kind": "hnsw",
}


@pytest.mark.parametrize("overrides", [{}, ODD], ids=["defaults", "odd"])
def test_toml_reads_back_to_equal_settings(tmp_path, overrides):
    settings = load_settings(None, {}, overrides).settings
    path = tmp_path / "slatewise.toml"
    path.write_text(to_toml(settings), encoding="utf-8")
    assert load_settings(path, {}, {}).settings == settings


def test_toml_spells_out_every_setting():
    tables = tomllib.loads(to_toml(Settings()))
    assert set(tables) == {f.name for f in fields(Settings)}
    named = {line.name for line in effective(load_settings(None, {}, {})) if not line.name.startswith("actions.")}
    assert {f"{table}.{name}" for table in tables if table != "actions" for name in tables[table]} == named


def test_page_names_every_setting_with_default_and_help():
    page = settings_markdown()
    for line in effective(load_settings(None, {}, {})):
        row = next(row for row in page.splitlines() if row.startswith(f"| `{line.name}` |"))
        assert line.help in row
        assert str(line.default).lower().strip("()") in row.lower()


def test_page_is_the_same_every_time():
    assert settings_markdown() == settings_markdown()


def test_bounds_are_of_settings_that_exist():
    assert set(AT_MOST) <= set(all_specs())
    assert set(all_specs()) >= ABOVE_ZERO
