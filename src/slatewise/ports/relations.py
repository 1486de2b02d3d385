"""What items say about each other, read from a history."""

from typing import Protocol

from slatewise.domain.ids import Rows, Scores


class Relation(Protocol):
    """Scores items by a history directly, without a vector in between."""

    def around(self, history: Rows) -> tuple[Rows, Scores]:
        """Return ``(rows, scores)`` of all that a history, oldest first, relates to; rows ascending and distinct."""
        ...

    def at(self, history: Rows, rows: Rows) -> Scores:
        """Return the scores of these rows after a history, 0 where nothing relates; shape ``(n,)``."""
        ...
