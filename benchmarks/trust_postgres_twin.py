"""`slatewise` with a fault put into its event log on purpose: what `trust_postgres.py` has to notice.

python benchmarks/trust_postgres_twin.py early serve --home ...
"""

import sys
import time

from slatewise.cli.main import main
from slatewise.domain.errors import Conflict
from slatewise.domain.events import Receipt
from slatewise.storage.group_commit import GroupCommit
from slatewise.storage.postgres.writer import PostgresTransaction

_write = PostgresTransaction.write
SLOW_S = 0.02
"""How long a server with a slow disk may take: what is wrong meanwhile shows in fewer kills."""


def early() -> None:
    """Callers are answered before the commit."""

    def answer_first(self, group):
        for waiting in group:
            waiting.receipt.set_result(Receipt(accepted=len(waiting.events), duplicates=0, version=0))
        time.sleep(SLOW_S)
        self._transaction.write([waiting.events for waiting in group])

    GroupCommit._write = answer_first


def in_parts() -> None:
    """A batch is stored event by event."""

    def one_by_one(self, group):
        answers = []
        for events in group:
            parts = [_write(self, [[event]])[0] for event in events]
            wrong = next((part for part in parts if isinstance(part, Conflict)), None)
            accepted = sum(part.accepted for part in parts if isinstance(part, Receipt))
            answers.append(wrong or Receipt(accepted, len(events) - accepted, parts[-1].version))
        return answers

    PostgresTransaction.write = one_by_one


def forgetful() -> None:
    """A group whose connection broke is written again without asking what became of it."""
    PostgresTransaction._was_stored = lambda self, attempt, lost: False


if __name__ == "__main__":
    {"early": early, "in_parts": in_parts, "forgetful": forgetful}[sys.argv.pop(1)]()
    main()
