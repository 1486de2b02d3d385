"""Cache, pages, shared tier and traces of a real HOME, and of several on one folder."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pytest

from slatewise.domain.errors import ConfigError, InputError, StorageError
from slatewise.testing.worlds import batched, walkers
from slatewise.wiring.home import Home
from slatewise.wiring.secret import home_secret

SPECTRAL = {"training.deep": "off", "training.dim": 16, "telemetry.impressions": "off", "serving.deadline_ms": 20_000.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("answering") / "home"
    items, users, events = walkers(users=60)
    with Home(path, settings=SPECTRAL) as home:
        home.put_items(items)
        home.put_users(users)
        for batch in batched(events, 1000):
            home.record(batch)
        home.train()
    return path


@pytest.fixture
def opened(folder):
    homes = []

    def make(**settings):
        homes.append(Home(folder, settings={**SPECTRAL, **{k.replace("__", "."): v for k, v in settings.items()}}))
        return homes[-1]

    yield make
    for home in homes:
        home.close()


def names(answer):
    return [item.item_id for item in answer.items]


def test_pages_walk_on_in_another_process_and_after_a_restart(opened):
    one = opened()
    first = one.recommend("u1", size=5)
    one.close()
    other = opened()
    second = other.recommend("u1", size=5, cursor=first.cursor)
    assert len(names(second)) == 5
    assert not set(names(first)) & set(names(second))
    assert [item.position for item in second.items] == [0, 1, 2, 3, 4]
    bought = names(other.recommend("u1", size=5, cursor=second.cursor))[0]
    other.record(user_id="u1", item_id=bought, action="buy")
    third = opened().recommend("u1", size=5, cursor=second.cursor)
    assert bought not in names(third)
    with pytest.raises(InputError, match="cursor"):
        other.recommend("u2", size=5, cursor=first.cursor)


def test_two_homes_on_one_folder_share_slates_through_redis(opened, redis_server):
    one, other = (opened(cache__url=redis_server.url, cache__timeout_ms=500.0) for _ in range(2))
    first = one.recommend("u3")
    again = other.recommend("u3")
    assert (first.cached, again.cached) == (False, True)
    assert names(again) == names(first)
    one.record(user_id="u3", item_id=names(first)[0], action="buy")
    after = other.recommend("u3")
    assert not after.cached
    assert names(first)[0] not in names(after)
    one.delete_item(names(after)[0])
    assert names(after)[0] not in names(other.recommend("u3"))
    shared = other.metrics.registry.get_sample_value("slatewise_cache_shared_total", {"outcome": "hit"})
    assert shared == 1


def test_other_rules_share_nothing(opened, redis_server):
    url = redis_server.url
    opened(cache__url=url, cache__timeout_ms=500.0).recommend("u4")
    assert not opened(cache__url=url, cache__timeout_ms=500.0, reranking__cap=1).recommend("u4").cached


def test_a_home_opens_and_answers_without_its_redis(opened, redis_server):
    redis_server.stop()
    assert len(names(opened(cache__url=redis_server.url).recommend("u5"))) == 10


def test_no_redis_is_asked_where_the_cache_is_off(opened, redis_server):
    home = opened(cache__url=redis_server.url, cache__max_bytes=0)
    home.recommend("u6")
    assert not home.recommend("u6").cached
    assert redis_server.client.keys("*") == []


def test_a_wrong_redis_url_is_refused_at_the_start(folder):
    with pytest.raises(ConfigError, match=r"cache\.url"):
        Home(folder, settings={**SPECTRAL, "cache.url": "localhost:6379"})


def test_what_the_cache_holds_is_told(opened):
    home = opened()
    home.recommend("u7")
    value = home.metrics.registry.get_sample_value
    assert value("slatewise_cache_entries") == 1
    assert 300 < value("slatewise_cache_bytes") < 3_000


def test_traces_of_a_home_reach_a_collector(opened, monkeypatch):
    exporters = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = exporters.InMemorySpanExporter()
    monkeypatch.setattr("slatewise.telemetry.spans._otlp", lambda: exporter)
    home = opened(telemetry__traces="otlp")
    home.recommend("u8")
    home.close()
    found = {span.name for span in exporter.get_finished_spans()}
    assert {"slatewise.recommend", "slatewise.retrieval", "slatewise.filtering"} <= found


@pytest.mark.parametrize("part", ["index", "tower", "lists"])
def test_a_part_of_a_real_bundle_that_breaks_is_named_and_does_not_cost_the_answer(opened, monkeypatch, part):
    home = opened()
    seen = {"c1-1", "c2-2", "c3-3"}
    for item in seen:
        home.record(user_id="walker", item_id=item, action="buy")

    def broken(*_, **__):
        raise RuntimeError("secret")

    live = home._engine.current().live
    target, verb = {
        "index": (type(live.index), "search"),
        "tower": (type(live.models.user_tower), "encode"),
        "lists": (type(live.neighbours.relation), "around"),
    }[part]
    monkeypatch.setattr(target, verb, broken)
    answer = home.recommend("walker", size=8, exclude=["c1-2"])
    assert len(answer.items) == 8
    assert not (seen | {"c1-2"}) & set(names(answer))
    assert any("RuntimeError" in entry for entry in answer.degraded)
    assert "secret" not in " ".join(answer.degraded)


def test_an_answer_carries_its_cursor_as_plain_data(opened):
    told = asdict(opened().recommend("u9", size=3))
    assert isinstance(told["cursor"], str)


def test_the_secret_is_made_once_kept_and_for_nobody_elses_eyes(tmp_path):
    path = tmp_path / "secret"
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: home_secret(path), range(64)))
    assert made == {home_secret(path)}
    assert len(made.pop()) == 32
    assert os.listdir(tmp_path) == ["secret"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "abcd", "no hex at all", "ä"])
def test_a_secret_that_was_damaged_is_named(tmp_path, content):
    path = tmp_path / "secret"
    path.write_text(content, "utf-8")
    with pytest.raises(StorageError, match="secret"):
        home_secret(path)
