"""Small worlds with a known answer, so that "the model learns" is a floor and not a mood."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slatewise.domain.events import Impression, Interaction, ItemChange, UserChange

START = 1_700_000_000.0


def walkers(
    users: int = 120,
    categories: int = 8,
    per_category: int = 10,
    steps: int = 25,
    seed: int = 0,
    certainty: float = 0.85,
) -> tuple[list[ItemChange], list[UserChange], list[Interaction]]:
    """Users who walk in circles: after item k of a category comes k + 1 with *certainty*, else a jump anywhere.

    Whoever knows the last item knows the next; popularity knows nothing, for all items are visited alike.
    Interactions come in order of time. Titles carry the category's word.
    """
    rng = np.random.default_rng(seed)
    items = [
        ItemChange(at=START, item_id=item_name(c, k), title=f"Item of kind{c}", categories=(f"kind{c}",))
        for c in range(categories)
        for k in range(per_category)
    ]
    people = [UserChange(at=START, user_id=f"u{u}", attributes={"country": "abc"[u % 3]}) for u in range(users)]
    at = START + np.sort(rng.uniform(0, 30 * 86_400, users * steps))
    turns = rng.permutation(np.repeat(np.arange(users), steps))
    place = [(int(rng.integers(categories)), int(rng.integers(per_category))) for _ in range(users)]
    events: list[Interaction] = []
    for turn, (user, instant) in enumerate(zip(turns.tolist(), at.tolist(), strict=True)):
        kind, k = place[user]
        if rng.random() < certainty:
            k = (k + 1) % per_category
        else:
            kind, k = int(rng.integers(categories)), int(rng.integers(per_category))
        place[user] = (kind, k)
        events.append(
            Interaction(user_id=f"u{user}", item_id=item_name(kind, k), action="click", at=instant, event_id=f"w{turn}")
        )
    return items, people, events


def surfaces(
    users: int = 150, per_category: int = 20, browsed: int = 14_000, slates: int = 2_500, width: int = 6, seed: int = 0
) -> tuple[list[ItemChange], list[UserChange], list[Impression], list[Interaction]]:
    """Two categories, browsed in long runs of either, and then slates of both in equal parts on two surfaces: on
    ``home`` an item of the first is clicked, on ``search`` one of the second, nine times out of ten.

    Whoever knows the surface knows the category; devices and what a user did before say nothing of it. Impressions and
    interactions come in order of time, browsing first, each slate's click a second after it. Titles carry the
    category's word.
    """
    rng = np.random.default_rng(seed)
    items = [
        ItemChange(at=START, item_id=item_name(c, k), title=f"Item of kind{c}", categories=(f"kind{c}",))
        for c in range(2)
        for k in range(per_category)
    ]
    people = [UserChange(at=START, user_id=f"u{u}", attributes={"country": "abc"[u % 3]}) for u in range(users)]
    at = (START + np.sort(rng.uniform(0, 60 * 86_400, browsed + slates))).tolist()
    kind = rng.integers(2, size=users)
    clicks: list[Interaction] = []
    for n in range(browsed):
        user = int(rng.integers(users))
        kind[user] ^= rng.random() < 0.1
        item_id = item_name(int(kind[user]), int(rng.integers(per_category)))
        clicks.append(Interaction(user_id=f"u{user}", item_id=item_id, action="click", at=at[n], event_id=f"b{n}"))
    shown: list[Impression] = []
    for n in range(browsed, browsed + slates):
        user_id, surface = f"u{rng.integers(users)}", int(rng.integers(2))
        offered = [item_name(c, int(k)) for c in range(2) for k in rng.permutation(per_category)[: width // 2]]
        wanted = surface if rng.random() < 0.9 else 1 - surface
        item_id = offered[wanted * (width // 2) + int(rng.integers(width // 2))]
        context = {"surface": ("home", "search")[surface], "device": ("mobile", "desktop")[int(rng.integers(2))]}
        order = tuple(rng.permutation(offered).tolist())
        shown.append(Impression(at=at[n], user_id=user_id, request_id=f"s{n}", shown=order, context=context))
        clicks.append(
            Interaction(
                user_id=user_id, item_id=item_id, action="click", at=at[n] + 1.0, event_id=f"c{n}", request_id=f"s{n}"
            )
        )
    return items, people, shown, clicks


def item_name(category: int, k: int) -> str:
    """Return the id of item *k* of a category."""
    return f"c{category}-{k}"


def batched(events: list[Interaction], size: int) -> Iterator[list[Interaction]]:
    """Yield the events in batches."""
    for lo in range(0, len(events), size):
        yield events[lo : lo + size]
