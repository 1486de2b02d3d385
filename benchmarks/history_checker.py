"""Judges a history of requests and answers in real time: what was acknowledged before a request was sent must hold.

Knows no server. Times are of one clock. A write takes effect at some instant between its sending and its
acknowledgement, a read at one between its sending and its answer; a violation is an answer that no choice of instants
explains (linearizability of each item's and each user's state by itself: Herlihy and Wing, 1990).
"""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field

NEVER = math.inf


@dataclass(slots=True)
class Write:
    """``answered`` is NEVER for a write that was not acknowledged: it may have happened, or not.

    Kinds: ``hide`` and ``show`` an item, ``seen`` of user and item, ``forget`` a user, ``promote`` a bundle.
    """

    kind: str
    sent: float
    answered: float
    item: str = ""
    user: str = ""
    bundle: str = ""


@dataclass(slots=True)
class Read:
    """One answer: ``items`` as shown, ``excluded`` and ``wanted`` (a category's items, None for all) as asked.

    ``before`` holds what earlier pages of the walk showed, ``live`` whether the answer must be of the live bundle.
    """

    sent: float
    answered: float
    items: tuple[str, ...]
    bundle: str = ""
    user: str = ""
    excluded: frozenset[str] = frozenset()
    wanted: frozenset[str] | None = None
    before: frozenset[str] = frozenset()
    live: bool = True
    min_version: int = 0
    as_of: int = 0


@dataclass
class Verdict:
    """How many answers broke which rule, with a few examples."""

    counts: Counter = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, rule: str, read: Read, what: str) -> None:
        self.counts[rule] += 1
        if len(self.examples) < 10:
            self.examples.append(f"{rule}: {what} in an answer asked for at {read.sent:.4f}")


class _Spans:
    """By key, the times during which something is certain."""

    def __init__(self) -> None:
        self._spans = defaultdict(list)

    def add(self, key, write: Write, undone_by: list[Write]) -> None:
        """From the acknowledgement of *write* until the first thing is sent that may undo it."""
        later = [other.sent for other in undone_by if other is not write and other.answered >= write.sent]
        until = min(later, default=NEVER)
        if write.answered < until:
            self._spans[key].append((write.answered, until))

    def hold(self, key, read: Read) -> bool:
        return any(since < read.sent and read.answered < until for since, until in self._spans.get(key, ()))


def judge(writes: list[Write], reads: list[Read], bundles: frozenset[str]) -> Verdict:
    """Return what in *reads* contradicts *writes*, or what was asked."""
    verdict = Verdict()
    by_kind = defaultdict(list)
    for write in writes:
        by_kind[write.kind].append(write)
    hidden, seen, live = _Spans(), _Spans(), _Spans()
    shows, forgets = _grouped(by_kind["show"], "item"), _grouped(by_kind["forget"], "user")
    for write in by_kind["hide"]:
        hidden.add(write.item, write, shows[write.item])
    for write in by_kind["seen"]:
        seen.add((write.user, write.item), write, forgets[write.user])
    for write in by_kind["promote"]:
        live.add(write.bundle, write, by_kind["promote"])
    for read in reads:
        _judge(read, verdict, hidden, seen)
        if read.bundle and read.bundle not in bundles:
            verdict.add("unknown bundle", read, read.bundle)
        if read.live and read.bundle and _of_another(read, live, bundles):
            verdict.add("bundle that is not live", read, read.bundle)
    return verdict


def _judge(read: Read, verdict: Verdict, hidden: _Spans, seen: _Spans) -> None:
    for item in read.items:
        if hidden.hold(item, read):
            verdict.add("deleted or banned", read, item)
        if read.user and seen.hold((read.user, item), read):
            verdict.add("seen", read, f"{item} for {read.user}")
        if item in read.excluded:
            verdict.add("excluded", read, item)
        if read.wanted is not None and item not in read.wanted:
            verdict.add("where", read, item)
        if item in read.before:
            verdict.add("repeated on a later page", read, item)
    if len(set(read.items)) != len(read.items):
        verdict.add("twice in one answer", read, str(read.items))
    if read.as_of < read.min_version:
        verdict.add("older than min_version", read, f"{read.as_of} < {read.min_version}")


def _of_another(read: Read, live: _Spans, bundles: frozenset[str]) -> bool:
    return any(live.hold(bundle, read) for bundle in bundles if bundle != read.bundle)


def _grouped(writes: list[Write], by: str):
    found = defaultdict(list)
    for write in writes:
        found[getattr(write, by)].append(write)
    return found
