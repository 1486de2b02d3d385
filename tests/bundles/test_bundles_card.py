from slatewise.bundles.card import render_card

FACTS = {
    "id": "20261122-231500-ab12cd",
    "created_at": 1_795_389_300.0,
    "settings": {"index": {"kind": "auto"}, "training": {"dim": 64, "epochs": 40}},
    "limits": ["Learned from clicks | views only."],
    "data": {"users": 6040, "items": 3706, "interactions": 1_000_209},
    "holdout": "last-item",
    "metrics": {"retrieval": {"recall@100": 0.61234, "ndcg@10": 0.0512}, "ranked": {"ndcg@10": 0.0734}},
    "index": {"kind": "hnsw", "recall@100": 0.9987},
    "training": {"towers_s": 412.0, "loss": None, "stopped_early": True},
    "tower_layers": 2,
    "baselines": {},
}


def test_the_card_tells_the_facts_in_reading_order():
    card = render_card(FACTS)
    assert card.startswith("# Bundle 20261122-231500-ab12cd\n\nBuilt 2026-11-22 23:15:00 UTC.\n")
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Data",
        "## Holdout",
        "## Metrics",
        "## Index",
        "## Training",
        "## Tower layers",
        "## Limits",
        "## Settings",
    ]


def test_metrics_are_a_table_of_stages_by_metric():
    card = render_card(FACTS)
    assert "|  | recall@100 | ndcg@10 |\n| --- | ---: | ---: |\n| retrieval | 0.6123 | 0.0512 |" in card
    assert "| ranked | - | 0.0734 |" in card


def test_other_mappings_are_tables_of_two_columns_and_lists_are_lists():
    card = render_card(FACTS)
    for line in ("| interactions | 1,000,209 |", "| recall@100 | 0.9987 |", "| loss | - |", "| stopped_early | yes |"):
        assert line in card
    assert "| training.dim | 64 |" in card
    assert "- Learned from clicks \\| views only." in card


def test_no_facts_make_an_empty_card():
    assert render_card({}) == "# Model card\n"
