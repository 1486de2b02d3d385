"""What one run is to do: a frozen value, refused by field where it makes no sense."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from slatewise.domain.errors import InputError

KINDS = ("fresh", "returning", "event", "item")
"""Slates of users never seen, slates of users of a pool, interactions of these, and items written back as they are."""

SLATES = frozenset({"fresh", "returning"})

ARRIVALS = ("poisson", "constant")

DEFAULT_MIX: Mapping[str, float] = {"fresh": 0.3, "returning": 0.45, "event": 0.25}
"""No item changes: they are writes that the target's owner has to want."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run against one server. Raises InputError for the first field that makes no sense.

    ``name`` begins every user id and event id that the run makes up, so it must be new to the target: known event ids
    are duplicates, and known users are not fresh. ``mix`` holds the share of each kind of request, 1 in all. Returning
    users are ``user_ids``, or else ``users`` made-up ones who are given ``history`` events each before the run; the
    k-th is asked for with probability in proportion to ``1 / k ** zipf``. Empty ``item_ids`` are learned from the
    server. ``connections`` are opened before the run, more as needed up to ``max_connections``. A request that is not
    answered ``timeout_s`` after it was sent is given up. ``cpu`` is the core to stay on.
    """

    url: str
    rate: float
    duration_s: float
    name: str
    arrivals: str = "poisson"
    seed: int = 0
    warmup_s: float = 2.0
    mix: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_MIX))
    connections: int = 32
    max_connections: int = 512
    timeout_s: float = 10.0
    size: int = 10
    deadline_ms: float | None = None
    api_key: str | None = field(default=None, repr=False)
    users: int = 1000
    user_ids: tuple[str, ...] = ()
    history: int = 5
    zipf: float = 1.0
    item_ids: tuple[str, ...] = ()
    cpu: int | None = None

    def __post_init__(self) -> None:
        for name in ("rate", "duration_s", "timeout_s"):
            _check(name, getattr(self, name), 0 < getattr(self, name) < math.inf, "a finite number above 0")
        for name in ("warmup_s", "zipf"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) < math.inf, "a finite number of at least 0")
        for name in ("connections", "size", "users"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "a whole number of at least 1")
        for name in ("history", "seed"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "a whole number of at least 0")
        _check("arrivals", self.arrivals, self.arrivals in ARRIVALS, "one of " + ", ".join(ARRIVALS))
        _check(
            "max_connections",
            self.max_connections,
            self.max_connections >= self.connections,
            f"at least connections ({self.connections})",
        )
        _check("name", self.name, bool(_NAME.fullmatch(self.name)), "1 to 64 of A-Z a-z 0-9 . _ -")
        deadline = self.deadline_ms
        _check("deadline_ms", deadline, deadline is None or 0 < deadline < math.inf, "a finite number above 0")
        # The key itself stays out of the message: it ends up on terminals and in logs.
        is_fit = self.api_key is None or bool(_KEY.fullmatch(self.api_key))
        _check("api_key", "(hidden)", is_fit, "printable ASCII without spaces")
        _check_mix(self.mix)

    def wants(self, *kinds: str) -> bool:
        """Return whether any of these kinds has a share in the mix."""
        return any(self.mix.get(kind, 0.0) > 0 for kind in kinds)

    @property
    def total_s(self) -> float:
        """How long requests are sent, the warm-up included."""
        return self.warmup_s + self.duration_s


def _check_mix(mix: Mapping[str, float]) -> None:
    for kind, share in mix.items():
        _check("mix", kind, kind in KINDS, "kinds out of " + ", ".join(KINDS))
        _check(f"mix.{kind}", share, 0 <= share <= 1, "a share from 0 to 1")
    total = math.fsum(mix.values())
    _check("mix", dict(mix), abs(total - 1) < 1e-6, f"shares of 1 in all (these make {total:g})")


def _check(name: str, value: object, is_fit: bool, expected: str) -> None:
    if not is_fit:
        raise InputError(name, value, expected)
