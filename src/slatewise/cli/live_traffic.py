"""Simulated users against a running server: they look at slates, click, and their clicks shape what they see next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from slatewise.cli.client import Client
from slatewise.datasets.shop.live import Shop
from slatewise.ports.clock import Clock
from slatewise.training.progress import Progress

SIZE = 10
STEPS = 4
"""Slates one visitor looks at."""


@dataclass(slots=True)
class Arm:
    """How one way of filling the slate did. ``latency_ms`` is of the requests as the client saw them."""

    slates: int = 0
    clicked: int = 0
    clicks: int = 0
    buys: int = 0
    latency_ms: list[float] = field(default_factory=list)

    def saw(self, reactions: Sequence[tuple[str, str]]) -> None:
        """Count one slate and what came of it."""
        clicks = sum(action == "click" for _, action in reactions)
        self.slates += 1
        self.clicked += clicks > 0
        self.clicks += clicks
        self.buys += sum(action == "buy" for _, action in reactions)

    @property
    def hit_rate(self) -> float:
        """Share of slates with a click."""
        return self.clicked / max(1, self.slates)


def run_traffic(
    client: Client,
    shop: Shop,
    popular: Sequence[str],
    seconds: float,
    clock: Clock,
    rng: np.random.Generator,
    progress: Progress,
) -> dict[str, Arm]:
    """Let visitors come for so many seconds: half see recommendations, half the most popular items, by a coin.

    Everyone's clicks are posted as events, so both halves leave their histories in the log.
    """
    arms = {"slatewise": Arm(), "popularity": Arm()}
    start = clock.elapsed_ms()
    while (spent := (clock.elapsed_ms() - start) / 1000) < seconds:
        user = shop.next_visitor(rng)
        name = "slatewise" if rng.random() < 0.5 else "popularity"
        for _ in range(STEPS):
            _look(client, shop, arms[name], user, popular if name == "popularity" else None, clock, rng)
        slates = sum(arm.slates for arm in arms.values())
        progress.step("live traffic", spent, seconds, f"{slates} slates, {arms['slatewise'].hit_rate:.0%} with a click")
    progress.step("live traffic", seconds, seconds, f"{sum(arm.slates for arm in arms.values())} slates")
    return arms


def _look(
    client: Client,
    shop: Shop,
    arm: Arm,
    user: str,
    fixed: Sequence[str] | None,
    clock: Clock,
    rng: np.random.Generator,
) -> None:
    request: str | None = None
    if fixed is None:
        begun = clock.elapsed_ms()
        slate = client.recommend(user_id=user, size=SIZE)
        arm.latency_ms.append(clock.elapsed_ms() - begun)
        request = slate["request_id"]
        shown = [item["item_id"] for item in slate["items"]]
    else:
        shown = list(fixed)
    now = clock.now()
    reactions = shop.react(user, shown, now, rng)
    arm.saw(reactions)
    if reactions:
        client.record(
            *(
                {"user_id": user, "item_id": item, "action": action, "timestamp": now, "request_id": request}
                for item, action in reactions
            )
        )
