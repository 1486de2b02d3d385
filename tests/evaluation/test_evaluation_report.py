import io
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import InputError
from slatewise.domain.holdout import held_out, history_order, last_of_each_user, time_cut
from slatewise.domain.settings import ActionSettings, Settings
from slatewise.evaluation.cases import last_item_cases, time_cases
from slatewise.evaluation.decomposition_table import decomposition_tables
from slatewise.evaluation.evaluate import evaluate
from slatewise.evaluation.html import page, write_html
from slatewise.evaluation.measure import Items
from slatewise.evaluation.report import Report
from slatewise.evaluation.table import table
from slatewise.models.spectral import fit_spectral

ITEMS = 60
SETTINGS = Settings(actions={"interaction": ActionSettings(seen=True)})
BASELINES = ["popularity", "recent_popularity", "item_knn", "markov", "ease", "matrix_factorisation"]
METRICS = ["ndcg@10", "hr@10", "recall@10", "recall@100", "mrr@10", "coverage@10", "novelty@10", "diversity@10"]


def names(rows: np.ndarray) -> list[str]:
    return [f"user {row}" for row in rows.tolist()]


def run(line: Any, past: Interactions, split: str = "last-item", **more: Any) -> Report:
    positive = more.pop("positive", {0})
    if split == "time":
        hidden = held_out(past, "time")
        cases = time_cases(past, time_cut(past), positive, names, np.random.default_rng(0))
        more |= {"upcoming": past.take(hidden), "fold": line.fold}
    else:
        hidden = last_of_each_user(past)
        cases = last_item_cases(past, positive, names)
    training = past.take(~hidden)
    line.fold(training)
    factors = fit_spectral(training.user, training.item, ITEMS, 8, np.random.default_rng(0))
    vectors = np.random.default_rng(3).normal(size=(ITEMS, 4)).astype(np.float32)
    return evaluate(
        cases,
        line.recommend,
        line.ids,
        settings=more.pop("settings", SETTINGS),
        training=more.pop("training", training),
        items=Items(ITEMS, vectors=vectors),
        split=split,
        rng=np.random.default_rng(0),
        matrix_factorisation=factors,
        **more,
    )


@pytest.fixture
def report(line: Any, checkerboard: Interactions) -> Report:
    return run(line, checkerboard)


def test_the_json_form_has_every_stage_baseline_and_metric(report: Report) -> None:
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert list(told["stages"]) == ["retrieval", "filtered", "ranked", "final"]
    assert list(told["baselines"]) == BASELINES
    for metrics in [*told["stages"].values(), *told["baselines"].values()]:
        assert set(metrics) == set(METRICS)
        assert all(isinstance(value, float) for value in metrics.values())
    assert (told["split"], told["bundle"], told["users"], told["queries"]) == ("last-item", "b1", 200, 200)
    assert set(told) >= {"cold", "warm", "new", "bootstrap", "timing_ms", "decomposition"}


def test_a_line_that_ranks_by_counts_scores_as_the_popularity_baseline_does(report: Report) -> None:
    for metric in ("ndcg@10", "hr@10", "mrr@10", "coverage@10", "novelty@10", "diversity@10"):
        assert report.stages["final"][metric] == pytest.approx(report.baselines["popularity"][metric])
        assert report.stages["ranked"][metric] == pytest.approx(report.baselines["popularity"][metric])
    assert report.bootstrap["final_vs_popularity"].difference == 0
    assert report.baselines["item_knn"]["hr@10"] > 0.95 > 0.4 > report.stages["final"]["hr@10"] > 0


def test_filtering_is_told_from_retrieval_and_ranking(report: Report) -> None:
    # Unranked order holds seen items at first; none is a target, so filtering can only help.
    assert report.stages["filtered"]["ndcg@10"] > report.stages["retrieval"]["ndcg@10"]
    assert report.stages["retrieval"]["recall@100"] == report.stages["filtered"]["recall@100"] == 1.0
    assert report.stages["final"]["recall@100"] == report.stages["final"]["recall@10"]


def test_where_targets_were_lost_adds_up(report: Report) -> None:
    assert sum(report.lost.values()) == pytest.approx(1.0)
    assert report.lost["final"] == pytest.approx(report.stages["final"]["hr@10"])
    assert report.lost["ranking"] == pytest.approx(1 - report.stages["final"]["hr@10"])
    assert report.seen_targets == 0.0


def test_a_target_the_user_has_already_is_lost_by_filtering(line: Any) -> None:
    user, item = np.zeros(4, np.int64), np.array([5, 6, 7, 5])
    again = Interactions(np.arange(4), user, item, np.zeros(4, np.int64), np.arange(4.0), np.ones(4, np.float32))
    report = run(line, again)
    assert report.lost["filtering"] == 1.0
    assert report.seen_targets == 1.0
    assert [report.baselines[name]["recall@100"] for name in BASELINES] == [0.0] * len(BASELINES)


def test_a_wanted_item_outside_the_catalogue_is_a_miss_and_not_a_question_less(
    line: Any, checkerboard: Interactions
) -> None:
    last = np.flatnonzero(last_of_each_user(checkerboard))
    gone = last[checkerboard.user[last] < 50]
    beyond = checkerboard.item.copy()
    beyond[gone] = ITEMS + 15
    whole, part = run(line, checkerboard), run(type(line)(), replace(checkerboard, item=beyond))
    assert part.queries == whole.queries == 200
    kept = run(type(line)(), checkerboard.take(checkerboard.user >= 50))
    assert part.stages["retrieval"]["recall@100"] == pytest.approx(150 / 200)
    assert part.lost["retrieval"] == pytest.approx(50 / 200)
    assert part.decomposition.oracle.hit_rate == pytest.approx(150 / 200)
    for name in ("popularity", "markov", "ease"):
        assert part.baselines[name]["hr@10"] < whole.baselines[name]["hr@10"]
    assert kept.queries == 150


def test_baselines_never_see_held_out_interactions(line: Any, checkerboard: Interactions) -> None:
    hidden = last_of_each_user(checkerboard)
    report = run(line, checkerboard)
    # Other answers to the same questions: had a baseline seen them, its lists would differ.
    other = replace(checkerboard, item=np.where(hidden, (checkerboard.item + 7) % ITEMS, checkerboard.item))
    changed = run(type(line)(), other)
    for name in BASELINES:
        for metric in ("coverage@10", "novelty@10", "diversity@10"):
            assert changed.baselines[name][metric] == report.baselines[name][metric]
    assert changed.baselines["item_knn"]["hr@10"] != report.baselines["item_knn"]["hr@10"]


def test_training_that_holds_a_held_out_interaction_is_refused(line: Any, checkerboard: Interactions) -> None:
    with pytest.raises(InputError, match="200 held-out interactions"):
        run(line, checkerboard, training=checkerboard)


def test_nothing_to_ask_is_refused(line: Any) -> None:
    with pytest.raises(InputError, match="cases"):
        evaluate(
            [],
            line.recommend,
            line.ids,
            settings=SETTINGS,
            training=Interactions.empty(),
            items=Items(ITEMS),
            split="time",
            rng=np.random.default_rng(0),
        )


def test_time_split_tells_cold_users_from_warm_ones(line: Any, checkerboard: Interactions) -> None:
    late = checkerboard.at >= time_cut(checkerboard)
    newcomers = replace(
        checkerboard, user=np.where(late & (checkerboard.user < 40), checkerboard.user + 500, checkerboard.user)
    )
    report = run(line, newcomers, "time")
    assert report.cold.queries > 50
    assert report.cold.queries + report.warm.queries == report.queries
    unseen = newcomers.user[newcomers.user >= 500]
    assert (report.new.queries, report.new.users) == (unseen.size, np.unique(unseen).size)
    assert report.new.queries != report.cold.queries
    assert report.curves.history_labels[0] == "0"
    assert report.warm.baselines["item_knn"]["hr@10"] > report.cold.baselines["item_knn"]["hr@10"]
    assert sum(report.curves.history_queries) == report.queries


def test_repeats_are_told_from_discoveries_and_actions_from_each_other(line: Any, checkerboard: Interactions) -> None:
    ordered = history_order(checkerboard)
    last = ordered[np.append(checkerboard.user[ordered][1:] != checkerboard.user[ordered][:-1], True)]
    first = ordered[np.append(True, checkerboard.user[ordered][1:] != checkerboard.user[ordered][:-1])]
    item, action = checkerboard.item.copy(), checkerboard.action.copy()
    item[last[:50]] = item[first[:50]]
    action[last[:30]] = 1
    settings = Settings(actions={"interaction": ActionSettings(), "buy": ActionSettings()})
    report = run(line, replace(checkerboard, item=item, action=action), settings=settings, positive={0, 1})
    assert (report.repeats.queries, report.discoveries.queries) == (50, 150)
    assert {name: group.queries for name, group in report.by_action.items()} == {"interaction": 170, "buy": 30}
    # The line shows nobody what they know, so all that it finds is new to its user.
    assert report.repeats.stages["final"]["hr@10"] == 0.0
    assert report.discoveries.stages["final"]["hr@10"] * 150 == pytest.approx(report.stages["final"]["hr@10"] * 200)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(*decomposition_tables(report))
    for told in (page(report), console.export_text()):
        assert "ew to the user" in told
        assert "buy" in told


def test_a_sample_says_so(line: Any, checkerboard: Interactions) -> None:
    report = run(line, checkerboard, max_cases=30)
    assert (report.queries, report.offered) == (30, 200)
    assert any("30 of 200" in note for note in report.notes)


def test_timings_have_percentiles_and_a_total(report: Report) -> None:
    assert report.timing_ms["retrieval"] == {"p50": 2.0, "p95": 2.0}
    assert report.timing_ms["total"] == {"p50": 3.0, "p95": 3.0}
    assert report.degraded == {"ranking/deep": 100}


def test_recall_never_falls_with_depth(report: Report) -> None:
    curve = report.curves.recall["filtered"]
    assert all(before <= after for before, after in pairwise(curve))
    assert curve[3] == pytest.approx(report.stages["filtered"]["recall@10"])


def test_the_table_names_every_row_and_its_figures(report: Report) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table(report))
    text = console.export_text()
    for name in [*report.stages, *report.baselines]:
        assert name.replace("_", " ") in text
    assert f"{report.stages['final']['ndcg@10']:.4f} ±" in text
    assert "final minus popularity" in text


class Fetches(HTMLParser):
    """Collects what a browser would fetch, and every element's id."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "data", "srcset"} and not (value or "").startswith("#"):
                self.fetched.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def test_the_page_fetches_nothing(report: Report, tmp_path: Path) -> None:
    write_html(report, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    parsed = Fetches()
    parsed.feed(text)
    assert parsed.fetched == []
    assert not parsed.tags & {"script", "link", "img", "iframe", "object", "base"}
    assert not re.search(r"@import|url\((?!['\"]?#)", text)


def test_the_page_draws_every_plot_with_distinct_ids_that_resolve(report: Report) -> None:
    text = page(report)
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 7
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    parsed = Fetches()
    parsed.feed(text)
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert set(re.findall(r"(?:xlink:href=\"|url\()#([^\")]+)", text)) <= set(parsed.ids)


def test_the_page_is_the_same_twice(report: Report) -> None:
    assert page(report) == page(report)


def test_the_page_escapes_whatever_it_is_told(report: Report) -> None:
    evil = "<script>alert(1)</script>$x$&\"'"
    told = replace(
        report,
        bundle=evil,
        split=evil,
        degraded={evil: 3},
        notes=(evil,),
        baselines=dict(report.baselines) | {evil: report.baselines["markov"]},
        timing_ms=dict(report.timing_ms) | {evil: {"p50": 1.0, "p95": 2.0}},
        curves=replace(report.curves, latency_ms={evil: report.curves.latency_ms["total"]}),
    )
    text = page(told)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 7
    bars = re.findall(r"<svg.*?</svg>", text, re.DOTALL)[1]
    assert evil in "".join(ElementTree.fromstring(bars).itertext())


def test_without_matplotlib_the_tables_stay_and_the_page_says_what_to_install(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = page(report)
    assert "slatewise[report]" in text
    assert "<svg" not in text
    assert f"{report.stages['final']['ndcg@10']:.4f}" in text


def test_a_report_of_few_and_cold_cases_can_still_be_shown(line: Any) -> None:
    one = Interactions(
        np.arange(3), np.zeros(3, int), np.array([1, 2, 3]), np.zeros(3, int), np.arange(3.0), np.ones(3, "f4")
    )
    report = run(line, one)
    json.dumps(report.to_json(), allow_nan=False)
    assert report.to_json()["standard_errors"]["stages"]["final"]["ndcg@10"] is None
    assert page(report).count("<svg") == 7
    Console(file=io.StringIO()).print(table(report))
