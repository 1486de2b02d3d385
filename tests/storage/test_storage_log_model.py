import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from slatewise.domain.errors import Conflict
from slatewise.domain.events import (
    Event,
    Impression,
    Interaction,
    ItemChange,
    ItemRemoval,
    UserChange,
    UserRemoval,
)
from slatewise.storage.log import SqliteEventLog
from slatewise.testing.event_log import ACTIONS
from slatewise.testing.memory_log import MemoryLog

texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=4)
users = st.one_of(st.sampled_from(["u1", "u2", "u3"]), texts)
items = st.one_of(st.sampled_from(["i1", "i2", "i3"]), texts)
times = st.floats(0, 1e10)
values = st.one_of(texts, st.floats(-9, 9), st.booleans(), st.tuples(texts, texts))
attributes = st.dictionaries(texts, values, max_size=2)
interactions = st.builds(
    Interaction,
    user_id=users,
    item_id=items,
    action=st.sampled_from(ACTIONS),
    at=st.none() | times,
    value=st.floats(-9, 9, width=32),
    event_id=st.none() | st.none() | st.integers(0, 30).map(str),
    request_id=st.none() | st.sampled_from(["r1", "r2"]),
)
same_again = st.builds(
    Interaction,
    user_id=st.just("u1"),
    item_id=st.just("i1"),
    action=st.just("view"),
    at=times,
    event_id=st.integers(0, 9).map(str),
)
events: st.SearchStrategy[Event] = st.one_of(
    interactions,
    interactions,
    same_again,
    st.builds(
        Impression,
        at=times,
        user_id=st.just("") | users,
        request_id=texts,
        shown=st.tuples(items, items),
        context=attributes,
    ),
    st.builds(ItemChange, at=times, item_id=items, title=st.none() | texts, attributes=attributes),
    st.builds(ItemRemoval, at=times, item_id=items),
    st.builds(UserChange, at=times, user_id=users, attributes=attributes),
    st.builds(UserRemoval, at=times, user_id=users),
)


class DurableLogAgainstMemory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "log.sqlite"
        self.log = SqliteEventLog(self.path, ACTIONS)
        self.oracle = MemoryLog(ACTIONS)

    def teardown(self) -> None:
        self.log.close()
        self.folder.cleanup()

    @rule(batch=st.lists(events, max_size=6))
    def append(self, batch: list[Event]) -> None:
        try:
            expected = self.oracle.append(batch)
        except Conflict as error:
            with pytest.raises(Conflict, match=re.escape(str(error))):
                self.log.append(batch)
        else:
            assert self.log.append(batch) == expected

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.log = SqliteEventLog(self.path, ACTIONS)

    @rule(start=st.integers(0, 30), length=st.none() | st.integers(0, 10))
    def read_a_part(self, start: int, length: int | None) -> None:
        stop = None if length is None else start + length
        assert list(self.log.read(start, stop)) == list(self.oracle.read(start, stop))
        assert list(self.log.impressions(start, stop)) == list(self.oracle.impressions(start, stop))
        ours, theirs = self.log.interactions(start, stop), self.oracle.interactions(start, stop)
        for column in ("offset", "user", "item", "action", "at", "value"):
            np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))

    @invariant()
    def same_end_and_clicks(self) -> None:
        assert self.log.end == self.oracle.end
        assert self.log.clicks() == self.oracle.clicks()


TestDurableLogAgainstMemory = DurableLogAgainstMemory.TestCase
TestDurableLogAgainstMemory.settings = settings(
    max_examples=40, stateful_step_count=15, deadline=None, derandomize=True
)
