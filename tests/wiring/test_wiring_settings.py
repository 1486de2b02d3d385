"""Settings: defaults < file < environment < flags, and an error that helps for everything else."""

from pathlib import Path

import pytest

from slatewise.domain.errors import ConfigError
from slatewise.domain.settings import DEFAULT_ACTIONS, ActionSettings, BoostSettings, PinSettings, Settings
from slatewise.wiring.settings import effective, load_settings, read_environment


@pytest.fixture
def file(tmp_path):
    def written(text: str) -> Path:
        path = tmp_path / "slatewise.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def environment(**variables: str) -> dict[str, str]:
    return {f"SLATEWISE_{name}": text for name, text in variables.items()}


def test_nothing_given_is_the_defaults():
    loaded = load_settings(None, {}, {})
    assert loaded.settings == Settings()
    assert set(loaded.origin.values()) == {"default"}


def test_file_that_does_not_exist_counts_as_empty(tmp_path):
    assert load_settings(tmp_path / "none" / "slatewise.toml", {}, {}).settings == Settings()


def test_flag_beats_environment_beats_file_beats_default(file):
    path = file("[retrieval]\ntwo_tower = 1\nitem_to_item = 1\ntrending = 1\n")
    variables = environment(RETRIEVAL__TWO_TOWER="2", RETRIEVAL__ITEM_TO_ITEM="2")
    loaded = load_settings(path, variables, {"retrieval.two_tower": "3"})
    found = loaded.settings.retrieval
    assert (found.two_tower, found.item_to_item, found.trending, found.new_arrivals) == (3, 2, 1, 5)
    assert [loaded.origin[f"retrieval.{n}"] for n in ("two_tower", "item_to_item", "trending", "new_arrivals")] == [
        "flag",
        "environment",
        "file",
        "default",
    ]


def test_every_setting_has_an_origin_and_an_effective_line():
    loaded = load_settings(None, {}, {"cache.max_bytes": 0})
    lines = {line.name: line for line in effective(loaded)}
    assert set(lines) == set(loaded.origin)
    line = lines["cache.max_bytes"]
    assert (line.value, line.origin, line.default) == (0, "flag", 64_000_000)
    assert lines["actions.buy.weight"].value == lines["actions.buy.weight"].default == 4.0
    assert all(line.help for line in lines.values())


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("cache.max_bytes", "10_000", 10_000),
        ("cache.ttl_s", "2.5", 2.5),
        ("cache.ttl_s", " 3 ", 3.0),
        ("filtering.seen", "FALSE", False),
        ("filtering.seen", "1", True),
        ("index.kind", "exact", "exact"),
        ("reranking.cap_attribute", "brand", "brand"),
        ("reranking.pins", '[{item_id = "a", position = 2}]', (PinSettings(item_id="a", position=2),)),
        ("reranking.pins", "[]", ()),
        ("actions.dislike.weight", "-3", -3.0),
    ],
)
def test_text_is_read_as_the_settings_own_type(name, text, value):
    found = {line.name: line.value for line in effective(load_settings(None, {}, {name: text}))}[name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("cache.max_bytes", "many", "a whole number of at least 0"),
        ("cache.max_bytes", "2.5", "a whole number"),
        ("cache.max_bytes", "-1", "of at least 0"),
        ("cache.max_bytes", True, "a whole number"),
        ("cache.ttl_s", "nan", "a number of at least 0"),
        ("cache.ttl_s", "inf", "a number"),
        ("serving.max_size", "0", "above 0"),
        ("reranking.diversity", "1.5", "at most 1"),
        ("http.port", "65536", "at most 65535"),
        ("filtering.seen", "perhaps", "true or false"),
        ("index.kind", "hsnw", "'hnsw'"),
        ("actions.view.weight", "heavy", "a number"),
        ("reranking.pins", '[{item_id = "a"}]', "array of tables"),
        ("reranking.pins", '[{item_id = "a", position = -1}]', "array of tables"),
        ("reranking.pins", "nonsense", "array of tables"),
        ("reranking.boosts", "nonsense", "array of tables"),
        ("reranking.boosts", 3, "[{where = "),
    ],
)
def test_wrong_value_is_refused_with_name_value_and_what_is_right(name, value, right):
    with pytest.raises(ConfigError) as refused:
        load_settings(None, {}, {name: value})
    message = str(refused.value)
    assert message.startswith(f"{name}: got ")
    assert repr(value)[:20] in message
    assert right in message


def test_boosts_are_an_array_of_tables_and_their_lists_become_tuples(file):
    text = '[[reranking.boosts]]\nfactor = 2\n[reranking.boosts.where]\nbrand = ["a", "b"]\nprice = {in = [1, 2]}\n'
    (boost,) = load_settings(file(text), {}, {}).settings.reranking.boosts
    assert boost == BoostSettings(where={"brand": ("a", "b"), "price": {"in": (1, 2)}}, factor=2.0)
    assert type(boost.factor) is float
    again = load_settings(None, {}, {"reranking.boosts": [boost, {"where": {"brand": {"in": {"a"}}}, "factor": 0.5}]})
    assert again.settings.reranking.boosts == (boost, BoostSettings(where={"brand": {"in": ("a",)}}, factor=0.5))


@pytest.mark.parametrize(
    ("boost", "field", "right"),
    [
        ("{where = {brand = 'a'}, factor = 0}", "factor: got 0,", "a finite number above 0"),
        ("{where = {brand = 'a'}, factor = -1.5}", "factor: got -1.5,", "a finite number above 0"),
        ("{where = {brand = 'a'}, factor = inf}", "factor: got inf,", "a finite number above 0"),
        ("{where = {brand = 'a'}, factor = nan}", "factor: got nan,", "a finite number above 0"),
        ("{where = {brand = 'a'}, factor = true}", "factor: got True,", "a finite number above 0"),
        ("{where = {brand = 'a'}, factor = '2'}", "factor: got '2',", "a finite number above 0"),
        ("{where = {}, factor = 2}", "where: got {},", "one at least"),
        ("{where = 'brand', factor = 2}", "where: got 'brand',", "attribute = condition"),
        ("{where = {price = {above = 1}}, factor = 2}", "where.price.above: got 1,", "gte"),
        ("{where = {price = {lt = 'x'}}, factor = 2}", "where.price.lt: got 'x',", "a number"),
        ("{where = {day = 2026-01-01}, factor = 2}", "where.day: got ", "text, a finite number or a flag"),
    ],
)
def test_a_wrong_boost_is_refused_with_its_place_field_value_and_what_is_right(boost, field, right):
    with pytest.raises(ConfigError) as refused:
        load_settings(None, {}, {"reranking.boosts": f"[{{where = {{brand = 'a'}}, factor = 2}}, {boost}]"})
    message = str(refused.value)
    assert message.startswith(f"reranking.boosts[1].{field}")
    assert right in message


@pytest.mark.parametrize("boost", ["{where = {brand = 'a'}}", "{where = {brand = 'a'}, faktor = 2}", "7"])
def test_a_boost_of_another_shape_is_refused_with_an_example(boost):
    with pytest.raises(ConfigError, match=r"^reranking\.boosts\[0\]: got .*where and factor such as"):
        load_settings(None, {}, {"reranking.boosts": f"[{boost}]"})


@pytest.mark.parametrize("value", ['"200"', "2.0", "true", "[1]", "{a = 1}"])
def test_file_must_hold_the_type_itself(file, value):
    with pytest.raises(ConfigError, match=r"cache\.max_bytes: got .*slatewise\.toml"):
        load_settings(file(f"[cache]\nmax_bytes = {value}\n"), {}, {})


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("retrieval.two_towr", "retrieval.two_tower"),
        ("retrival.two_tower", "retrieval.two_tower"),
        ("cachemaxbytes", "cache.max_bytes"),
        ("cache.size", "cache.max_bytes, which counts bytes"),
        ("two_tower", "retrieval.two_tower"),
        ("actions.view.wieght", "actions.view.weight"),
        ("actions", "actions"),
        ("", ""),
    ],
)
def test_unknown_name_is_refused_with_the_nearest_one(name, close):
    with pytest.raises(ConfigError, match=rf"unknown setting.*did you mean .*{close.rpartition('.')[2]}"):
        load_settings(None, {}, {name: "1"})


def test_unknown_name_says_where_it_came_from(file):
    with pytest.raises(
        ConfigError, match=r"cache\.max_byts: unknown setting \(from slatewise\.toml\).*cache\.max_bytes"
    ):
        load_settings(file("[cache]\nmax_byts = 1\n"), {}, {})
    with pytest.raises(ConfigError, match="from SLATEWISE_CACHE__SISE"):
        load_settings(None, environment(CACHE__SISE="1"), {})


def test_variable_with_one_underscore_too_few_is_refused_and_foreign_ones_are_not():
    with pytest.raises(ConfigError, match="did you mean SLATEWISE_RETRIEVAL__TWO_TOWER"):
        load_settings(None, environment(RETRIEVAL_TWO_TOWER="2"), {})
    loaded = load_settings(None, {"SLATEWISE_HOME": "x", "PATH": "y", "CACHE__MAX_BYTES": "z"}, {})
    assert loaded.settings == Settings()


@pytest.mark.parametrize("text", ["[cache", "cache = 5", "actions = 5", "[cache.max_bytes]\nx = 1", "max_bytes = 1"])
def test_file_of_the_wrong_shape_is_refused(file, text):
    with pytest.raises(ConfigError):
        load_settings(file(text), {}, {})


def test_file_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "slatewise.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load_settings(path, {}, {})


def test_new_actions_come_after_the_defaults_and_keep_their_order(file):
    path = file(
        "[actions.wish]\nweight = 3\n[actions.buy]\nweight = 9.0\n[actions.share]\n[actions.Zoom]\nseen = true\n"
    )
    loaded = load_settings(path, {}, {})
    assert loaded.settings.action_names == (*DEFAULT_ACTIONS, "wish", "share", "Zoom")
    assert loaded.settings.actions["wish"] == ActionSettings(weight=3.0, seen=False)
    assert loaded.settings.actions["buy"] == ActionSettings(weight=9.0, seen=True)
    assert loaded.settings.actions["share"] == ActionSettings()
    assert loaded.origin["actions.wish.weight"] == "file"
    assert loaded.origin["actions.wish.seen"] == "default"


def test_variable_in_capitals_reaches_an_action_in_other_letters(file):
    loaded = load_settings(file("[actions.Zoom]\n"), environment(ACTIONS__ZOOM__WEIGHT="7"), {})
    assert loaded.settings.actions["Zoom"].weight == 7.0
    assert "zoom" not in loaded.settings.actions


def test_action_names_that_cannot_be_settings_are_refused(file):
    with pytest.raises(ConfigError, match="an action's name"):
        load_settings(file('[actions."add to cart"]\nweight = 1\n'), {}, {})


def test_pins_are_an_array_of_tables(file):
    text = '[[reranking.pins]]\nitem_id = "a"\nposition = 0\n[[reranking.pins]]\nitem_id = "b"\nposition = 3\n'
    assert load_settings(file(text), {}, {}).settings.reranking.pins == (
        PinSettings(item_id="a", position=0),
        PinSettings(item_id="b", position=3),
    )


@pytest.mark.parametrize(
    "overrides",
    [
        {"ingest.default_action": "fly"},
        {"reranking.pins": '[{item_id = "a", position = 0}, {item_id = "b", position = 0}]'},
        {"reranking.pins": '[{item_id = "a", position = 0}, {item_id = "a", position = 1}]'},
        {"training.dim": 64, "training.heads": 3},
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides):
    with pytest.raises(ConfigError):
        load_settings(None, {}, overrides)


def test_default_action_may_be_a_new_one(file):
    path = file('[ingest]\ndefault_action = "wish"\n[actions.wish]\n')
    assert load_settings(path, {}, {}).settings.ingest.default_action == "wish"


def test_environment_is_read_once_and_only_ours(monkeypatch):
    monkeypatch.setenv("SLATEWISE_CACHE__MAX_BYTES", "7")
    monkeypatch.setenv("OTHER_CACHE__MAX_BYTES", "8")
    found = read_environment()
    assert found["SLATEWISE_CACHE__MAX_BYTES"] == "7"
    assert "OTHER_CACHE__MAX_BYTES" not in found
    assert load_settings(None, found, {}).settings.cache.max_bytes == 7
