"""A process whose files may not grow: appends until it is refused, then tries again; prints what was acknowledged."""

import resource
import sys
from pathlib import Path

from slatewise.domain.errors import ReadOnly, StorageError
from slatewise.domain.events import Interaction
from slatewise.storage.log import SqliteEventLog


def main(path: Path) -> None:
    log = SqliteEventLog(path, ("view",))
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    refused, reason = 0, ""
    for i in range(5_000):
        try:
            log.append([Interaction(user_id="u", item_id="i", action="view", at=1.0, event_id=f"{i}-" + "x" * 500)])
            sys.stdout.write(f"{i}\n")
        except StorageError as error:
            refused += 1
            reason = str(error)
            if refused == 2 and (not isinstance(error, ReadOnly) or log.trouble != reason or log.end != i):
                break
            if refused == 3:
                break
    sys.stdout.write(f"refused {refused}: {reason}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
