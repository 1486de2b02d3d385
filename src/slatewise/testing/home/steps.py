"""What the steps of a story are made of: few names, so that steps meet each other."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from slatewise.testing.home.port import Asked, Told
from slatewise.testing.worlds import START, item_name

KINDS, PER_KIND = 4, 6
"""Of the world of `walkers` that the HOME must hold, with two bundles trained on it."""

NAMES = [item_name(kind, k) for kind in range(KINDS) for k in range(PER_KIND)]
# Some of them nobody described.
items = st.sampled_from([*NAMES[:8], "new-1", "new-2"])
users = st.sampled_from(["ann", "bob", "cy"])
kinds = st.sampled_from([f"kind{kind}" for kind in range(KINDS)])
actions = st.sampled_from(["view", "click", "interaction", "buy", "dislike"])
told = st.builds(
    Told,
    user=users,
    item=items,
    action=actions,
    value=st.sampled_from([1.0, 0.5]),
    event_id=st.none() | st.sampled_from("abcdef"),
    at=st.none() | st.integers(0, 1_000_000).map(lambda seconds: START + seconds),
)
batches = st.lists(told, min_size=1, max_size=4)
sizes = st.sampled_from([1, 3, 5, 20])
plain = st.builds(Asked, user=users, size=sizes, is_short=st.booleans())
asked = st.builds(
    Asked,
    user=st.none() | users,
    size=sizes,
    history=st.none() | st.lists(items, min_size=1, max_size=3).map(tuple),
    exclude=st.lists(items, max_size=3).map(tuple),
    kind=st.none() | st.none() | kinds,
)


@dataclass(frozen=True, slots=True)
class Put:
    """A change of an item that a crash comes in the way of."""

    item: str
    kind: str
    is_available: bool
