"""Turns moments into training slates: candidates by the real sources, features by the real frame, labels by what came.

The counters are replayed to each moment where times are real, so a feature says what it would have said live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.columns import Interactions
from slatewise.domain.events import Attributes
from slatewise.domain.ids import Mask, Vectors
from slatewise.domain.query import Query, Resolved, UserState
from slatewise.ports.features import FeatureFrame, FeatureState
from slatewise.training.moments import Moment
from slatewise.training.progress import Progress
from slatewise.training.windows import Padded, pad_histories

CHUNK = 256
ENOUGH_SHOWN = 50
"""Shown slates from which on they alone judge and calibrate."""


@dataclass(frozen=True, slots=True)
class Slates:
    """Padded training slates: l slates of up to k candidates, histories of up to t steps.

    ``candidate`` int64 ``(l, k)`` rows, -1 = padding; ``feature`` ``(l, k, f)``; ``label`` bool ``(l, k, heads)``;
    ``position`` int64 ``(l, k)``, -1 where the place was not shown; ``past`` the histories ``(l, t)``; ``context`` one
    per slate; ``weight`` what the heads' actions are worth ``(heads,)``, all the same where there is none.
    """

    user: np.ndarray
    vector: Vectors
    past: Padded
    candidate: np.ndarray
    feature: np.ndarray
    label: np.ndarray
    position: np.ndarray
    context: Sequence[Attributes] = ()
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def gain(self, at: np.ndarray) -> np.ndarray:
        """Return what came of each candidate of the slates *at*, ``(len(at), k)``, at least 0.

        The sum of the weights of what was done: what serving adds up by probability (Järvelin & Kekäläinen, 2002, for
        graded relevance).
        """
        label = self.label[at]
        gain = np.zeros(label.shape[:2])
        for head in range(label.shape[2]):  # one by one: numbers in place of flags would take eight times the memory
            gain += label[..., head] * (1.0 if self.weight is None else float(self.weight[head]))
        return np.maximum(gain, 0.0, out=gain)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Slates, candidates of the longest, features, heads."""
        return (*self.feature.shape, self.label.shape[2])


def judged_slates(slates: Slates, judges: Mask) -> np.ndarray:
    """Return which of the slates in *judges* hold something wanted and tell models apart, as places.

    Where enough was really shown, what was shown. Scores add up probabilities, which are those of what is shown: of an
    action that never comes from a slate, such as a view on the way, they say nothing, and lists in which such an action
    was wanted would judge by chance.
    """
    asked = np.flatnonzero(judges)
    useful = asked[slates.gain(asked).any(1)]
    shown = useful[(slates.position[useful] >= 0).any(1)]
    return shown if shown.size >= ENOUGH_SHOWN else useful


def build_slates(
    moments: Sequence[Moment],
    user_vectors: Callable[[Sequence[Moment]], Vectors],
    candidates_of: Callable[[Resolved], Candidates],
    frame: FeatureFrame,
    heads: Sequence[int],
    seen: frozenset[int],
    kept_history: int,
    history_length: int,
    replay: tuple[FeatureState, Interactions] | None,
    progress: Progress,
) -> Slates:
    """Return one slate per moment whose candidates hold something wanted, and every impression.

    *kept_history* is how many interactions serving keeps per user, *history_length* how many the ranker encodes.
    *replay* names the counters to fold forward and the interactions to fold, None where the counters stand still.
    """
    kept: list[tuple[int, Candidates, np.ndarray, np.ndarray]] = []
    vectors = np.zeros((len(moments), 0), np.float32)
    folded = 0
    for i, (moment, vector) in enumerate(_with_vectors(moments, user_vectors)):
        if i == 0:
            vectors = np.zeros((len(moments), vector.size), np.float32)
        vectors[i] = vector
        if replay is not None:
            state, later = replay
            upto = int(np.searchsorted(later.offset, moment.offset))
            if upto > folded:
                state.fold(later.take(slice(folded, upto)))
                folded = upto
        query = as_resolved(moment, vector[None], seen, kept_history)
        candidates = _shown(moment) if moment.shown is not None else candidates_of(query)
        label = _labels(moment, candidates, heads)
        if moment.shown is not None or label.any():
            kept.append((i, candidates, frame.read(query, candidates), label))
        if i % CHUNK == 0:
            progress.step("slates for the ranker", i, len(moments))
    progress.step("slates for the ranker", 1, 1, f"{len(kept)} of {len(moments)} hold what was wanted")
    return _padded([moments[i] for i, *_ in kept], vectors[[i for i, *_ in kept]], kept, len(heads), history_length)


def as_resolved(moment: Moment, vector: Vectors, seen: frozenset[int], kept_history: int) -> Resolved:
    """Return the moment as the stages would have seen it, with no longer a history than serving keeps."""
    have = np.unique(moment.history.row[np.isin(moment.history.action, list(seen))])
    user = UserState(row=moment.user, version=0, history=moment.history.last(kept_history), seen=have)
    query = Query(request_id="", at=moment.at, context=moment.context)
    return Resolved(query=query, user=user, vector=vector, blocked=have, allow=None)


def _with_vectors(
    moments: Sequence[Moment], user_vectors: Callable[[Sequence[Moment]], Vectors]
) -> Iterator[tuple[Moment, Vectors]]:
    for lo in range(0, len(moments), CHUNK):
        part = moments[lo : lo + CHUNK]
        yield from zip(part, user_vectors(part), strict=True)


def _shown(moment: Moment) -> Candidates:
    rows = moment.shown if moment.shown is not None else np.empty(0, np.int64)
    return Candidates.of("impression", rows, np.zeros(rows.size, np.float32))


def _labels(moment: Moment, candidates: Candidates, heads: Sequence[int]) -> np.ndarray:
    label = np.zeros((len(candidates), len(heads)), bool)
    for row, actions in moment.wanted.items():
        for head, action in enumerate(heads):
            if action in actions:
                label[:, head] |= candidates.row == row
    return label


def _padded(
    moments: Sequence[Moment],
    vectors: Vectors,
    kept: Sequence[tuple[int, Candidates, np.ndarray, np.ndarray]],
    heads: int,
    length: int,
) -> Slates:
    width = max((len(candidates) for _, candidates, _, _ in kept), default=1)
    features = kept[0][2].shape[1] if kept else 0
    candidate = np.full((len(kept), width), -1, np.int64)
    position = np.full((len(kept), width), -1, np.int64)
    feature = np.full((len(kept), width, features), np.nan, np.float32)
    label = np.zeros((len(kept), width, heads), bool)
    for i, (_, candidates, frame, labels) in enumerate(kept):
        n = len(candidates)
        candidate[i, :n], feature[i, :n], label[i, :n] = candidates.row, frame, labels
        if moments[i].shown is not None:
            position[i, :n] = np.arange(n)
    past = pad_histories([m.history for m in moments], length)
    user = np.array([m.user for m in moments], np.int64)
    return Slates(user, vectors, past, candidate, feature, label, position, [m.context for m in moments])
