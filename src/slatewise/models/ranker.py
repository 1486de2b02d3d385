"""The deep ranker as exported from training: an ONNX graph behind `ports.models.Ranker`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from slatewise.domain.errors import BundleError
from slatewise.domain.ids import Frame, Scores, Vectors
from slatewise.models.sessions import OnnxSession
from slatewise.models.towers import empty_step
from slatewise.ports.models import Bag, Sequence


class OnnxRanker:
    """Predicts per-action probabilities. Thread-safe."""

    def __init__(self, path: Path, actions: tuple[str, ...]) -> None:
        self._session = OnnxSession(path)
        self._actions = actions

    @property
    def actions(self) -> tuple[str, ...]:
        return self._actions

    def predict(
        self, history: Sequence, user: Vectors, request: Bag, candidates: Vectors, features: Frame
    ) -> Mapping[str, Scores]:
        if not history.item.shape[1]:
            history = empty_step(history)
        (probability,) = self._session.run(
            item=history.item,
            action=history.action,
            gap=history.gap,
            mask=history.mask,
            user=user,
            user_token=request.token,
            user_weight=request.weight,
            candidate=candidates,
            feature=features,
        )
        # Features are what every variant reads, one row a candidate: the small one is given no vectors.
        if probability.shape != (len(features), len(self._actions)):
            raise BundleError(f"ranker answered shape {probability.shape} for {len(features)} candidates")
        return {action: probability[:, i] for i, action in enumerate(self._actions)}
