"""What `slatewise train` tells of what it made."""

import pytest

from slatewise.cli.train import show

FACTS = {
    "kind": "deep",
    "train_s": 12.0,
    "index": {"kind": "exact", "items": 80, "recall@100": 1.0},
    "linear": None,
    "plan": "histories have an order",
}
RANKER = {
    "validation_ndcg@10": 0.41,
    "retrieval_ndcg@10": 0.3,
    "small_ndcg@10": 0.4,
    "lambdarank_ndcg@10": 0.39,
    "shipped": True,
    "calibration": {"click": {"rate": 0.1}, "buy": {"rate": 0.0}},
}


def told(capsys: pytest.CaptureFixture[str], **facts: object) -> str:
    show("b1", {**FACTS, **facts}, live=True)
    return " ".join(capsys.readouterr().out.split())


def test_the_ranker_is_told_beside_its_rivals(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, ranker=RANKER)
    assert "ranker NDCG@10 0.4100 on held-back slates: shipped" in said
    assert "beside small variant 0.4000, boosted trees 0.3900, retrieval's order 0.3000" in said
    without = told(capsys, ranker={**RANKER, "lambdarank_ndcg@10": None, "shipped": False})
    assert "beside small variant 0.4000, retrieval's order 0.3000" in without
    assert "not shipped, it does not beat retrieval" in without


def test_an_action_that_no_slate_led_to_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "silent buy: no held-back slate led to that" in told(capsys, ranker=RANKER)
    both = {"click": {"rate": 0.1}, "buy": {"rate": 0.01}}
    assert "silent" not in told(capsys, ranker={**RANKER, "calibration": both})


def test_without_a_ranker_it_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert "ranker none: deep models were not trained" in told(capsys)
