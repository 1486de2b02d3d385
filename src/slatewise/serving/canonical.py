"""One text per meaning, so that values from a request can be compared and digested. Knows nothing of queries."""

from __future__ import annotations

from collections.abc import Mapping, Set


def canonical(value: object) -> str:
    """Return a text that is equal for equal values and differs for different ones.

    Mappings and sets are put in order; types are told apart, for ``1``, ``1.0`` and ``True`` are equal in Python but
    not as conditions.
    """
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{canonical(k)}:{canonical(v)}" for k, v in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(canonical(v) for v in value) + "]"
    if isinstance(value, Set):
        return "<" + ",".join(sorted(canonical(v) for v in value)) + ">"
    return f"{type(value).__name__} {value!r}"
