"""Small worlds with a known answer, so that "the model learns" is a floor and not a mood."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slatewise.domain.events import Interaction, ItemChange, UserChange

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


def item_name(category: int, k: int) -> str:
    """Return the id of item *k* of a category."""
    return f"c{category}-{k}"


def batched(events: list[Interaction], size: int) -> Iterator[list[Interaction]]:
    """Yield the events in batches."""
    for lo in range(0, len(events), size):
        yield events[lo : lo + size]
