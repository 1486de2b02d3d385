"""Who asks and from where, as the models read it. One definition: training and serving both call it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slatewise.domain.events import Attributes
from slatewise.features.attributes import AttributeEncoder, AttributeSchema
from slatewise.ports.models import Bag


class RequestEncoder:
    """Turns users' attributes and requests' contexts into bags by the schemas of a bundle. Thread-safe.

    Values that a schema does not know are ignored, in a context as in attributes.
    """

    def __init__(self, users: AttributeSchema, contexts: AttributeSchema) -> None:
        self._users = AttributeEncoder(users)
        self._contexts = AttributeEncoder(contexts)
        # Both vocabularies begin with the padding token 0, which stays one.
        self._behind = users.tokens - 1
        # What is asked for most where users are known by what they do alone.
        self._nobody = self._users.encode([{}])
        self._nowhere = self._both(self._nobody, [{}])

    @property
    def tokens(self) -> int:
        """The size of the vocabulary of `bags`: that of the users, then that of the contexts, padding once."""
        return self._behind + self._contexts.schema.tokens

    def users(self, attributes: Sequence[Attributes], contexts: Sequence[Attributes]) -> Bag:
        """Return what the user tower reads: stored attributes, outranked by what the context says of the same name."""
        if len(attributes) == 1 and not attributes[0] and not contexts[0]:
            return self._nobody
        pairs = zip(attributes, contexts, strict=True)
        return self._users.encode([{**held, **context} if context else held for held, context in pairs])

    def bags(self, attributes: Sequence[Attributes], contexts: Sequence[Attributes]) -> Bag:
        """Return what the ranker reads: the tokens of `users`, then the context's own, shifted behind all of users'."""
        if len(attributes) == 1 and not attributes[0] and not contexts[0]:
            return self._nowhere
        return self._both(self.users(attributes, contexts), contexts)

    def _both(self, who: Bag, contexts: Sequence[Attributes]) -> Bag:
        if self._contexts.schema.tokens == 1:
            return who
        where = self._contexts.encode(contexts)
        shifted = np.where(where.token > 0, where.token + self._behind, 0)
        return Bag(np.hstack([who.token, shifted]), np.hstack([who.weight, where.weight]))
