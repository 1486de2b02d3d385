"""A process to be killed: appends from several threads and prints each event_id once it is acknowledged."""

import os
import sys
from pathlib import Path
from threading import Thread

from slatewise.domain.events import Interaction
from slatewise.storage.log import SqliteEventLog


def main(path: Path, life: str) -> None:
    log = SqliteEventLog(path, ("view",))

    def send(me: int) -> None:
        for i in range(100_000):
            ids = [f"{life}-{me}-{i}-{j}" for j in range(3)]
            batch = [
                Interaction(user_id=f"u{me}", item_id=f"{life}-{i}", action="view", at=1.0, event_id=event_id)
                for event_id in ids
            ]
            log.append(batch)
            os.write(1, "".join(f"{event_id}\n" for event_id in ids).encode())

    threads = [Thread(target=send, args=(me,)) for me in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
