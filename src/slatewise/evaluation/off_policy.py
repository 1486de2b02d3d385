"""What exploring costs and brings in clicks, estimated from what was logged: nobody has to see another slate for it.

A logged place counts with the weight ``P(policy shows this item here) / P(the log did)``. IPS is the mean of weight
times click; SNIPS divides by the mean weight instead of 1, which costs a little bias and saves variance. Horvitz &
Thompson, JASA 1952; Swaminathan & Joachims, "The Self-Normalized Estimator for Counterfactual Learning", NeurIPS 2015.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from slatewise.domain.events import Impression
from slatewise.domain.ids import Mask, Rows
from slatewise.evaluation.bootstrap import standard_error
from slatewise.evaluation.lists import PerQuery

Policy: TypeAlias = Literal["always", "never"]
"""``always`` fills the last place with a new item wherever the log could have, drawn evenly; ``never`` does not."""

POLICIES: tuple[Policy, ...] = get_args(Policy)

Z = 1.96
"""Half-width of a 95 % interval in standard errors."""

CERTAIN = 1.0 - 1e-6
"""Propensities are logged with the digits of float32."""


@dataclass(frozen=True, slots=True)
class LoggedPlaces:
    """Shown places and what became of them, as columns of one length ``(n,)``.

    ``drawn_from`` is, for a place filled by exploration, the number of items it was drawn from, else 0. ``user`` tells
    users apart: their places are not independent of each other.
    """

    user: Rows
    place: Rows
    clicked: Mask
    propensity: PerQuery
    drawn_from: Rows

    @staticmethod
    def of(impressions: Iterable[Impression], clicks: Mapping[str, Collection[str]]) -> LoggedPlaces:
        """Return the places of all impressions with propensities; *clicks* holds the items acted on, by request id."""
        users: dict[str, int] = {}
        columns: list[tuple[int, int, bool, float, int]] = []
        for shown in impressions:
            if shown.propensity is None:
                continue
            user, hit = users.setdefault(shown.user_id, len(users)), clicks.get(shown.request_id, ())
            last = len(shown.shown) - 1
            for place, (item_id, likely) in enumerate(zip(shown.shown, shown.propensity, strict=True)):
                drawn_from = shown.explored_from if place == last else 0
                columns.append((user, place, item_id in hit, likely, drawn_from))
        table = np.array(columns, np.float64).reshape(-1, 5)
        user_column, place_column, drawn_column = (table[:, at].astype(np.int64) for at in (0, 1, 4))
        return LoggedPlaces(user_column, place_column, table[:, 2] > 0, table[:, 3], drawn_column)

    def weights(self, policy: Policy) -> PerQuery:
        """Return per place how much likelier its item is under *policy* than it was in the log; 0 for never shown."""
        was_drawn = self.drawn_from > 0
        if policy == "never":
            return np.where(was_drawn, 0.0, 1.0 / self.propensity)
        # An ordinary item that was certain had no new item to give way to: it stays under any policy.
        drawn = 1.0 / (np.maximum(self.drawn_from, 1) * self.propensity)
        return np.where(was_drawn, drawn, (self.propensity >= CERTAIN).astype(np.float64))

    def unsupported(self, policy: Policy) -> Mask:
        """Mark the places where *policy* would show what the log never could: exploration that was certain."""
        always_drawn = (self.drawn_from > 0) & (self.drawn_from * self.propensity >= CERTAIN)
        return always_drawn if policy == "never" else np.zeros(self.place.size, np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The click rate of one place under one policy, by three means, the weighted ones with their standard errors.

    ``naive`` is the plain mean over the slates that happened to follow the policy: biased wherever exploring was
    likelier for some than for others. ``unsupported`` is the share of places that say nothing of the policy: above 0,
    no estimate is to be trusted. NaN where nothing followed the policy, errors also for fewer than two users.
    """

    policy: Policy
    place: int
    places: int
    naive: float
    ips: float
    ips_error: float
    snips: float
    snips_error: float
    unsupported: float

    def interval(self, which: Literal["ips", "snips"] = "snips") -> tuple[float, float]:
        """Return the 95 % interval of one of the two estimates, by the normal approximation."""
        value, error = (self.ips, self.ips_error) if which == "ips" else (self.snips, self.snips_error)
        return value - Z * error, value + Z * error


def click_rates(logged: LoggedPlaces, policy: Policy) -> list[Estimate]:
    """Return the estimated click rate of every place that was ever shown, first place first.

    Assumes what every such estimate does: whether a place is clicked depends on its own item, user and instant, not on
    what stands in the other places; and clicks name the request they came from.
    """
    weight, unsupported = logged.weights(policy), logged.unsupported(policy)
    return [
        _estimate(policy, place, weight[at], logged.clicked[at], logged.user[at], unsupported[at])
        for place in range(int(logged.place.max(initial=-1)) + 1)
        if (at := np.flatnonzero(logged.place == place)).size
    ]


def _estimate(policy: Policy, place: int, weight: PerQuery, clicked: Mask, user: Rows, unsupported: Mask) -> Estimate:
    reward: npt.NDArray[np.float64] = clicked.astype(np.float64)
    mean_weight = float(weight.mean())
    ips, snips, snips_error = float((weight * reward).mean()), float("nan"), float("nan")
    if mean_weight > 0:
        snips = ips / mean_weight
        # The error of a ratio, by its linearisation around the estimate.
        snips_error = standard_error(weight * (reward - snips) / mean_weight, user)
    followed = weight > 0
    return Estimate(
        policy=policy,
        place=place,
        places=weight.size,
        naive=float(reward[followed].mean()) if followed.any() else float("nan"),
        ips=ips if mean_weight > 0 else float("nan"),
        ips_error=standard_error(weight * reward, user) if mean_weight > 0 else float("nan"),
        snips=snips,
        snips_error=snips_error,
        unsupported=float(unsupported.mean()),
    )
