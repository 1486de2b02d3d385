"""Whether the weights that a query gives its actions make sense. Knows neither query nor ranker."""

from __future__ import annotations

from collections.abc import Mapping

from slatewise.domain.errors import InputError

MAX_WEIGHT = 1e6
"""Either sign. Far beyond this, sums of 32-bit scores would forget every other action."""


def check_weights(given: object, usual: Mapping[str, float]) -> None:
    """Raise InputError, naming the field, unless *given* maps known actions to numbers and something is still wanted.

    *usual* has every known action and its weight where *given* does not name it.
    """
    if not isinstance(given, Mapping):
        raise InputError("weights", given, "a mapping of actions to numbers")
    for action, weight in given.items():
        if action not in usual:
            raise InputError("weights", action, "one of " + ", ".join(usual))
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        # NaN is not within the bounds either, and an integer of any size can be compared, though not converted.
        if not is_number or not abs(weight) <= MAX_WEIGHT:
            raise InputError(f"weights.{action}", weight, f"a number from {-MAX_WEIGHT:,.0f} to {MAX_WEIGHT:,.0f}")
    if not any(given.get(action, weight) for action, weight in usual.items()):
        raise InputError("weights", dict(given), "at least one action whose weight is not 0, the settings' included")
