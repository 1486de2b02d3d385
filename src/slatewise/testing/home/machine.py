"""Random stories about a HOME, each step held against the oracle. Knows no way of reaching a HOME."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from slatewise.domain.errors import Conflict, Expired, InputError, NotFound
from slatewise.domain.events import Receipt
from slatewise.testing.home.oracle import Oracle, Walk
from slatewise.testing.home.port import Asked, Gone, HomePort, Item, Slate, Told
from slatewise.testing.home.steps import NAMES, Put, asked, batches, items, kinds, plain, sizes, told, users
from slatewise.testing.worlds import START

CURSOR_TTL_S = 3_600.0
KEPT_WALKS = 6


class HomeStory(RuleBasedStateMachine):
    """Writes, questions, swaps, restarts and crashes in any order. Subclass with `opened`, see `story`."""

    opened: ClassVar[Callable[[], HomePort]]
    counted: ClassVar[Counter[str]] = Counter()
    """Steps by kind, over all stories."""
    went_wrong: ClassVar[list[BaseException]] = []
    """What ended a story, in order: told again, a story over a server may go another way."""

    def __init__(self) -> None:
        super().__init__()
        self.home = type(self).opened()
        self.walks: list[Walk] = []
        self.now = 0.0
        self.questions, self.has_erased = 0, False
        bundles, live = self.home.bundles()
        self.bundle_ids, self.stack = sorted(bundles), [live]
        described = {name: Item(f"kind{name[1]}", True) for name in NAMES}
        self.oracle = Oracle(described, live)
        self.counted["stories"] += 1

    def teardown(self) -> None:
        error = sys.exc_info()[1]
        try:
            if error is None:
                self.look_at_everything()
            elif isinstance(error, Exception):  # others tell that the story is long enough
                self.went_wrong.append(error)
        finally:
            self.home.close()

    # -- writes --------------------------------------------------------------------------------------------------------

    @rule(batch=batches)
    def record(self, batch: list[Told]) -> None:
        batch = self._own(batch)
        try:
            fresh = self.oracle.fresh(batch)
        except Conflict as conflict:
            self._refused(batch, conflict)
        else:
            self._recorded(batch, fresh, self.home.record(batch))

    @precondition(lambda self: self.oracle.said)
    @rule(chance=st.randoms(use_true_random=False), more=st.lists(told, max_size=2), at=st.sampled_from([None, START]))
    def send_again(self, chance: object, more: list[Told], at: float | None) -> None:
        """A caller who never heard the answer sends the event again, at another time and in other company."""
        again = replace(chance.choice(sorted(self.oracle.said.values(), key=repr)), at=at)  # type: ignore[attr-defined]
        batch = [replace(event, event_id=None) for event in self._own(more)] + [again, again]
        receipt = self.home.record(batch)
        self.counted["duplicates"] += receipt.duplicates
        self._recorded(batch, self.oracle.fresh(batch), receipt)

    @precondition(lambda self: self.oracle.said)
    @rule(chance=st.randoms(use_true_random=False), more=st.lists(told, max_size=2))
    def contradict(self, chance: object, more: list[Told]) -> None:
        said = chance.choice(sorted(self.oracle.said.values(), key=repr))  # type: ignore[attr-defined]
        self._refused([*self._own(more), replace(said, value=9.0)])

    @rule(item=items, kind=kinds, is_available=st.sampled_from([True, True, False]))
    def put(self, item: str, kind: str, is_available: bool) -> None:
        """Bring in, bring back, change or ban."""
        item, state = self._item(item), Item(kind, is_available)
        self.oracle.put(item, state, self.home.put_item(item, kind, is_available=is_available).version)
        self.counted["item changes"] += 1

    @rule(item=items)
    def delete(self, item: str) -> None:
        item = self._item(item)
        try:
            receipt = self.home.delete_item(item)
        except NotFound:
            assert self.oracle.items.get(item) is None, f"{item} is not found"
        else:
            assert self.oracle.items.get(item) is not None, f"{item} was deleted twice"
            self.oracle.put(item, None, receipt.version)
            self.counted["item changes"] += 1

    @rule(user=users, country=st.sampled_from(["NL", "DE"]))
    def describe(self, user: str, country: str) -> None:
        user = self.home.prefix + user
        self.oracle.described(user, country, self.home.describe(user, country).version)

    @rule(user=users)
    def erase(self, user: str) -> None:
        user = self.home.prefix + user
        try:
            gone = self.home.erase(user)
        except NotFound:
            assert not self.oracle.is_known(user), f"{user} is not found"
        else:
            self.oracle.judge_gone(user, gone)
            self.oracle.erased(user, gone.version)
            self.has_erased = True
            self.counted["erasures"] += 1

    # -- questions -----------------------------------------------------------------------------------------------------

    @rule(asked=plain, times=st.integers(1, 4))
    def ask(self, asked: Asked, times: int) -> None:
        self._asked(asked, times)

    @rule(asked=asked, times=st.integers(1, 2), waits=st.booleans())
    def ask_in_particular(self, asked: Asked, times: int, waits: bool) -> None:
        self._asked(replace(asked, min_version=self.oracle.version if waits else None), times)

    @rule(change=st.sampled_from(["buy", "delete", "ban"]), user=users, place=st.integers(0, 4))
    def take_away_what_was_shown(self, change: str, user: str, place: int) -> None:
        """Whatever a cache holds by now, the next answer lacks the item."""
        asked = Asked(user, 5)
        shown = self._asked(asked, 3).items
        item = shown[place % len(shown)].removeprefix(self.home.prefix) if shown else NAMES[0]
        if change == "buy":
            self.record([Told(user, item, "buy")])
        elif change == "delete":
            self.delete(item)
        else:
            self.put(item, "kind0", False)
        self._asked(asked, 1)

    @precondition(lambda self: self.walks)
    @rule(place=st.integers(0, KEPT_WALKS - 1), size=sizes, exclude=st.lists(items, max_size=2))
    def turn_the_page(self, place: int, size: int, exclude: list[str]) -> None:
        walk = self.walks[place % len(self.walks)]
        asked = replace(walk.asked, cursor=walk.cursor, size=size, exclude=self._items(exclude), is_short=False)
        is_old = self.now - walk.begun > CURSOR_TTL_S
        is_gone = self.oracle.lives.get(asked.user or "", 0) != walk.life
        try:
            slate = self.home.recommend(asked)
        except Expired:
            # The clock may have passed the limit by itself since the story began.
            assert is_old or is_gone, "a cursor expired too early"
            self.walks.remove(walk)
            return
        assert not (is_gone and walk.is_known), "a page from before the user's erasure"
        assert not is_old, f"a page after {self.now - walk.begun} s"
        self.oracle.judge_page(walk, asked, slate)
        self._counted(slate)
        self.counted["pages"] += 1
        walk.shown |= set(slate.items)
        if slate.cursor is None:
            self.walks.remove(walk)
        else:
            walk.cursor, walk.is_known = slate.cursor, self.oracle.is_known(asked.user)
            walk.life = self.oracle.lives.get(asked.user or "", 0)

    @precondition(lambda self: self.walks)
    @rule(place=st.integers(0, KEPT_WALKS - 1), flipped=st.booleans())
    def turn_a_page_of_somebody_else(self, place: int, flipped: bool) -> None:
        walk = self.walks[place % len(self.walks)]
        cursor = walk.cursor.swapcase() if flipped else walk.cursor
        somebody = walk.asked.user if flipped else f"{self.home.prefix}nobody"
        try:
            self.home.recommend(replace(walk.asked, cursor=cursor, user=somebody, is_short=False))
        except InputError as error:
            field = error.field
        else:
            field = ""
        assert field == "cursor", "a cursor of another question was taken"

    @rule(item=items, size=st.sampled_from([3, 20]))
    def similar(self, item: str, size: int) -> None:
        item = self._item(item)
        try:
            found = self.home.similar(item, size)
        except NotFound:
            assert self.oracle.items.get(item) is None, f"{item} is not found"
        else:
            assert self.oracle.items.get(item) is not None, f"{item} does not exist"
            self.oracle.judge_similar(item, found)
            self.counted["answers"] += 1

    @rule()
    def look_at_everything(self) -> None:
        """All that was acknowledged is there, once, and nothing else."""
        for name in ("ann", "bob", "cy"):
            user = self.home.prefix + name
            try:
                found = self.home.export(user)
            except NotFound:
                found = None
            self.oracle.judge_export(user, found)
        for item in self.oracle.items:
            assert self._state(item) == self.oracle.items[item], item

    # -- bundles -------------------------------------------------------------------------------------------------------

    @rule(place=st.integers(0, 1))
    def promote(self, place: int) -> None:
        bundle = self.bundle_ids[place]
        self.home.promote(bundle)
        if self.stack[-1] != bundle:
            self.stack.append(bundle)
        self._swapped(bundle)

    @precondition(lambda self: len(self.stack) > 1)
    @rule()
    def roll_back(self) -> None:
        self.stack.pop()
        bundle = self.home.rollback()
        assert bundle == self.stack[-1], f"{bundle} came back, {self.stack[-1]} was live before"
        self._swapped(bundle)

    def _swapped(self, bundle: str) -> None:
        self.oracle.live = bundle
        assert self.home.bundles()[1] == bundle
        self.counted["swaps"] += 1

    # -- clocks, restarts, crashes -------------------------------------------------------------------------------------

    @precondition(lambda self: self.home.can_jump)
    @rule(seconds=st.sampled_from([-86_400.0, -3_700.0, -1.0, 60.0, 3_700.0, 86_400.0]))
    def jump(self, seconds: float) -> None:
        self.home.jump(seconds)
        self.now += seconds
        self.counted["clock jumps"] += 1

    @rule(user=st.none() | users)
    def reopen(self, user: str | None) -> None:
        """What is read anew from the log answers as what followed it did, but for what erased users left in counts."""
        self.questions += 1
        asked = Asked(user and self.home.prefix + user, 10, exclude=(f"nothing-{self.questions}",))
        before = self.home.recommend(asked)
        self.oracle.judge(asked, before)
        self.home.reopen()
        has_erased = self.has_erased
        self._came_back("restarts")
        after = self.home.recommend(asked)
        self.oracle.judge(asked, after)
        assert has_erased or after.items == before.items, f"{before.items}, and {after.items} after a restart"

    @precondition(lambda self: self.home.can_crash)
    @rule(attempt=batches | st.builds(Put, items, kinds, st.booleans()) | users, moment=st.floats(0, 1))
    def crash(self, attempt: list[Told] | Put | str, moment: float) -> None:
        """Die in the middle of a batch, an item's change or a user's erasure: whole or not at all."""
        if isinstance(attempt, Put):
            self._crash_while_putting(attempt, moment)
        elif isinstance(attempt, str):
            self._crash_while_erasing(self.home.prefix + attempt, moment)
        else:
            named = [replace(event, event_id=f"{event.event_id}{n}") for n, event in enumerate(attempt)]
            self._crash_while_recording(self._own(named), moment)

    def _crash_while_recording(self, batch: list[Told], moment: float) -> None:
        try:
            fresh = self.oracle.fresh(batch)
        except Conflict:
            return
        receipt = self.home.crash(lambda: self.home.record(batch), moment)
        self._came_back("crashes")
        if receipt is None:
            # Sent again, for nobody knows: all of it was stored, or nothing.
            receipt = self.home.record(batch)
            assert receipt.accepted in (0, len(fresh)), f"{receipt.accepted} of {len(fresh)} were not stored"
            receipt = replace(receipt, accepted=len(fresh), duplicates=len(batch) - len(fresh))
        self._recorded(batch, fresh, receipt)

    def _crash_while_putting(self, put: Put, moment: float) -> None:
        item, wanted = self._item(put.item), Item(put.kind, put.is_available)

        def send() -> Receipt:
            return self.home.put_item(item, put.kind, is_available=put.is_available)

        receipt = self.home.crash(send, moment)
        self._came_back("crashes")
        if receipt is None:
            found = self._state(item)
            assert found in (wanted, self.oracle.items.get(item)), found
            receipt = send()
        self.oracle.put(item, wanted, receipt.version)

    def _crash_while_erasing(self, user: str, moment: float) -> None:
        if not self.oracle.is_known(user):
            return
        gone = self.home.crash(lambda: self.home.erase(user), moment)
        self._came_back("crashes")
        if gone is not None:
            self.oracle.judge_gone(user, gone)
        else:
            try:
                self.oracle.judge_export(user, self.home.export(user))
                gone = self.home.erase(user)
            except NotFound:
                gone = Gone(self.oracle.version + 1, 0, 0)
        self.oracle.erased(user, gone.version)
        self.has_erased = True

    def _came_back(self, how: str) -> None:
        self.oracle.restarted()
        self.has_erased = False
        assert self.home.bundles()[1] == self.oracle.live
        self.counted[how] += 1

    # -- what the steps share ------------------------------------------------------------------------------------------

    def _item(self, name: str) -> str:
        return self.home.prefix + name if name.startswith("new-") else name

    def _items(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self._item, names))

    def _own(self, batch: list[Told]) -> list[Told]:
        prefix = self.home.prefix
        return [
            replace(
                event,
                user=prefix + event.user,
                item=self._item(event.item),
                event_id=event.event_id and prefix + event.event_id,
            )
            for event in batch
        ]

    def _asked(self, asked: Asked, times: int) -> Slate:
        asked = replace(
            asked,
            user=asked.user and self.home.prefix + asked.user,
            history=asked.history and self._items(asked.history),
            exclude=self._items(asked.exclude),
        )
        for _ in range(times):
            slate = self.home.recommend(asked)
            self.oracle.judge(asked, slate)
            self._counted(slate)
        if slate.cursor is not None:
            life = self.oracle.lives.get(asked.user or "", 0)
            is_known = self.oracle.is_known(asked.user)
            walk = Walk(asked, slate.cursor, set(slate.items), slate.as_of, life, self.now, is_known)
            self.walks = [*self.walks[1 - KEPT_WALKS :], walk]
        return slate

    def _recorded(self, batch: list[Told], fresh: list[Told], receipt: Receipt) -> None:
        assert (receipt.accepted, receipt.duplicates) == (len(fresh), len(batch) - len(fresh)), receipt
        self.oracle.recorded(fresh, receipt.version)
        self.counted["events"] += len(fresh)

    def _refused(self, batch: list[Told], expected: Conflict | None = None) -> None:
        try:
            self.home.record(batch)
        except Conflict as conflict:
            field = conflict.field
        else:
            field = ""
        assert field == (expected.field if expected else field) != "", f"{field or 'nothing'} was refused"
        self.counted["conflicts"] += 1

    def _counted(self, slate: Slate) -> None:
        self.counted["answers"] += 1
        self.counted["cached"] += slate.cached

    def _state(self, item: str) -> Item | None:
        try:
            return self.home.item(item)
        except NotFound:
            return None


def story(opened: Callable[[], HomePort]) -> type[HomeStory]:
    """Return the machine over HOMEs that *opened* opens: as in `world`, with names that are new to each."""
    return type("HomeStory", (HomeStory,), {"opened": staticmethod(opened), "counted": Counter(), "went_wrong": []})
