"""From a query in ids to a query in rows. Knows the stores through ports, and no stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from slatewise.domain.errors import InputError, StageFailed
from slatewise.domain.events import AttributeValue
from slatewise.domain.history import History
from slatewise.domain.ids import Rows, Vectors
from slatewise.domain.query import ANONYMOUS, PastAction, Query, Resolved, UserState
from slatewise.domain.settings import Settings
from slatewise.ingest.validation import check_context
from slatewise.ports.stores import Catalogue, UserStore
from slatewise.serving.allow import AllowMasks
from slatewise.serving.weights import check_weights

EncodeUser: TypeAlias = Callable[[History, Mapping[str, AttributeValue], Mapping[str, AttributeValue]], Vectors | None]
"""History, user attributes, query context -> user vector ``(1, d)``, None where no tower can make one."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """A resolved query and how fresh it is.

    ``version`` is the log offset that every view had folded before any was read, ``catalogue_version`` the catalogue's
    at that time. ``unknown_items`` counts the steps of a given history that were skipped.
    """

    resolved: Resolved
    version: int
    catalogue_version: int
    unknown_items: int

    @property
    def is_settled(self) -> bool:
        """Whether no view was ahead of the others: only then do versions say all about the state that was read."""
        return self.version >= max(self.resolved.user.version, self.catalogue_version)


class QueryResolver:
    """Looks up users and items. Thread-safe.

    *folded* returns the log offset up to which catalogue, users and the live bundle reflect the log; *dim* is the width
    of this bundle's vectors, None where it has none.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        catalogue: Catalogue,
        users: UserStore,
        encode_user: EncodeUser,
        dim: int | None,
        folded: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._actions = {name: i for i, name in enumerate(settings.action_names)}
        self._weights = {name: action.weight for name, action in settings.actions.items()}
        self._default_action = self._actions.get(settings.ingest.default_action, 0)
        self._seen_actions = np.array(sorted(settings.seen_actions), np.int64)
        self._catalogue = catalogue
        self._users = users
        self._encode_user = encode_user
        self._dim = dim
        self._folded = folded
        self._masks = AllowMasks(catalogue)

    def resolve(self, query: Query) -> Resolution:
        """Return the query in rows; its vector only where the query gives one (see `encoded`).

        Raises InputError naming the field that makes no sense.
        """
        self._check(query)
        # Versions before content: what is read below is at least as new as what they say.
        version = self._folded()
        catalogue_version = self._catalogue.version
        allow = self._masks.mask(query.where)
        user, unknown = self._user(query)
        resolved = Resolved(
            query=query,
            user=user,
            vector=self._given_vector(query),
            blocked=self._blocked(query, user),
            allow=allow,
        )
        return Resolution(resolved, version, catalogue_version, unknown)

    def encoded(self, resolved: Resolved) -> Resolved:
        """Return the query with a user vector, made from history, attributes and context unless it has one.

        Raises StageFailed for a vector that is not finite or of another width.
        """
        if resolved.vector is not None:
            return resolved
        vector = self._encode_user(resolved.user.history, resolved.user.attributes, resolved.query.context)
        if vector is not None and (vector.shape != (1, self._dim) or not np.isfinite(vector).all()):
            raise StageFailed("user", "tower", f"a vector of shape {vector.shape} that cannot be searched with")
        return Resolved(
            query=resolved.query, user=resolved.user, vector=vector, blocked=resolved.blocked, allow=resolved.allow
        )

    def _check(self, query: Query) -> None:
        largest = self._settings.serving.max_size
        if isinstance(query.size, bool) or not isinstance(query.size, int) or not 1 <= query.size <= largest:
            raise InputError("size", query.size, f"a whole number from 1 to {largest}")
        deadline = query.deadline_ms
        if deadline is not None and not (np.isfinite(deadline) and deadline > 0):
            raise InputError("deadline_ms", deadline, "a number of milliseconds above 0")
        # The context is logged with the slate: what may not be stored is refused before it shapes an answer.
        check_context("context", query.context)
        if query.weights:
            check_weights(query.weights, self._weights)

    def _given_vector(self, query: Query) -> Vectors | None:
        if query.vector is None:
            return None
        vector = np.array(query.vector, np.float64)
        if self._dim is None or vector.shape != (self._dim,):
            width = "none: the live bundle has no vectors" if self._dim is None else f"{self._dim} numbers"
            raise InputError("vector", f"{vector.size} numbers", width)
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or length == 0.0:
            raise InputError("vector", query.vector, "finite numbers, not all 0")
        return (vector / length).astype(np.float32)[None, :]

    def _user(self, query: Query) -> tuple[UserState, int]:
        stored = ANONYMOUS if query.user_id is None else self._users.state(query.user_id)
        if query.history is None:
            return stored, 0
        rows = self._catalogue.rows([step.item_id for step in query.history])
        action = self._action_indexes(query.history)
        at = np.array([np.nan if step.at is None else step.at for step in query.history], np.float64)
        known = rows >= 0
        history = History(rows[known], action[known], at[known])
        seen = np.unique(history.row[np.isin(history.action, self._seen_actions)])
        kept = history.last(self._settings.storage.history_length)
        return replace(stored, history=kept, seen=seen), int(rows.size - known.sum())

    def _action_indexes(self, history: Sequence[PastAction]) -> Rows:
        indexes = np.empty(len(history), np.int64)
        for place, step in enumerate(history):
            index = self._default_action if step.action is None else self._actions.get(step.action)
            if index is None:
                expected = "one of " + ", ".join(self._actions)
                raise InputError(f"history[{place}].action", step.action, expected)
            indexes[place] = index
        return indexes

    def _blocked(self, query: Query, user: UserState) -> Rows:
        seen = user.seen if self._settings.filtering.seen else user.seen[:0]
        if not query.exclude:
            return np.unique(seen)
        excluded = self._catalogue.rows(list(query.exclude))
        return np.unique(np.concatenate([seen, excluded[excluded >= 0]]))
