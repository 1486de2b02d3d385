"""Shows on a terminal what each re-ranking rule costs. Computes nothing but the layout."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from slatewise.evaluation.reranking_cost import RerankingCosts, RuleCost
from slatewise.evaluation.table import figure


def costs_table(costs: RerankingCosts) -> Table:
    """Return one row per rule, those of the settings in bold, for a rich console."""
    shown = Table(
        title=Text(f"Re-ranking rules, each alone · split {costs.split} · bundle {costs.bundle}"),
        caption=Text(
            f"{costs.cases:,} queries. Difference: to the ranked order, with half of its 95% interval over users. "
            f"Diversity, distinct {costs.attribute} and the share of new items: among the first ten. "
            "Bold: as set, the others: what if."
        ),
    )
    shown.add_column("", no_wrap=True)
    for column in ("ndcg@10", "difference", "diversity", "distinct", "new"):
        shown.add_column(column, justify="right", no_wrap=True)
    for rule in costs.rules:
        shown.add_row(Text(rule.rule), *map(Text, _cells(rule)), style="bold" if rule.is_set else "")
    return shown


def _cells(rule: RuleCost) -> list[str]:
    return [
        figure("ndcg", rule.ndcg),
        f"{rule.difference:+.4f} ±{(rule.high - rule.low) / 2:.4f}",
        figure("diversity", rule.diversity),
        figure("categories", rule.distinct),
        f"{rule.new:.1%}",
    ]
