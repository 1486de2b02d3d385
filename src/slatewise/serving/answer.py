"""From a slate in rows to an answer in ids, with the funnel where it was asked for. Knows no HTTP."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from slatewise.domain.answer import Answer, AnswerItem, ExplainedCandidate
from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Scores
from slatewise.domain.slate import Slate
from slatewise.ports.stores import Catalogue


def answer(slate: Slate, catalogue: Catalogue, *, explain: bool = False) -> Answer:
    """Return the slate in the customer's ids; with *explain*, the way of every candidate through the funnel.

    A score that is not finite is answered as the lowest that is (0 without one), for JSON knows no NaN.
    """
    shown = slate.shown
    return Answer(
        request_id=slate.request_id,
        items=tuple(
            AnswerItem(item_id=item_id, score=score, position=position, source=shown.sources[source])
            for position, (item_id, score, source) in enumerate(
                zip(catalogue.ids(shown.row), _printable(shown.score), shown.source.tolist(), strict=True)
            )
        ),
        cached=slate.cached,
        as_of=slate.version,
        bundle=slate.bundle,
        degraded=slate.degraded,
        timing_ms=dict(slate.timing_ms),
        explanation=tuple(_explained(slate, catalogue)) if explain else None,
        cursor=slate.cursor,
    )


def _printable(score: Scores) -> list[float]:
    scores: list[float] = score.tolist()
    if all(map(math.isfinite, scores)):
        return scores
    lowest = min(filter(math.isfinite, scores), default=0.0)
    return [value if math.isfinite(value) else lowest for value in scores]


def _explained(slate: Slate, catalogue: Catalogue) -> Iterator[ExplainedCandidate]:
    retrieved = slate.retrieved
    outcome = dict.fromkeys(slate.reserve.row.tolist(), "reserve") | dict.fromkeys(slate.shown.row.tolist(), "shown")
    dropped_by = {row: drop.component for drop in slate.dropped for row in drop.candidates.row.tolist()}
    position = {row: place for place, row in enumerate(slate.shown.row.tolist())}
    score = _by_row(slate.shown) | _by_row(slate.reserve)
    propensity = slate.propensities()
    seen_by_ranker = _evidence(slate)
    columns = zip(
        retrieved.row.tolist(),
        catalogue.ids(retrieved.row),
        retrieved.score.tolist(),
        retrieved.source.tolist(),
        strict=True,
    )
    for place, (row, item_id, offered, source) in enumerate(columns):
        features, probabilities = seen_by_ranker.get(row, ({}, {}))
        at = position.get(row)
        yield ExplainedCandidate(
            item_id=item_id,
            source=retrieved.sources[source],
            retrieval_score=offered if np.isfinite(offered) else None,
            retrieval_position=place,
            outcome=outcome.get(row, "dropped"),
            position=at,
            dropped_by=dropped_by.get(row),
            reason=None if at is None else slate.reasons[at],
            score=score.get(row),
            features=features,
            probabilities=probabilities,
            propensity=None if at is None or propensity is None else propensity[at],
        )


def _by_row(candidates: Candidates) -> dict[int, float]:
    pairs = zip(candidates.row.tolist(), candidates.score.tolist(), strict=True)
    return {row: score for row, score in pairs if np.isfinite(score)}


def _evidence(slate: Slate) -> dict[int, tuple[dict[str, float], dict[str, float]]]:
    evidence = slate.evidence
    if evidence is None:
        return {}
    probabilities = {action: column.tolist() for action, column in evidence.probabilities.items()}
    return {
        row: (
            {n: v for n, v in zip(evidence.feature_names, values, strict=True) if np.isfinite(v)},
            {action: column[i] for action, column in probabilities.items() if np.isfinite(column[i])},
        )
        for i, (row, values) in enumerate(zip(evidence.row.tolist(), evidence.features.tolist(), strict=True))
    }
