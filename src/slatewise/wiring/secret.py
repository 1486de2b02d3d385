"""HOME/secret: random bytes that every process on one HOME shares. Knows nothing of what is sealed with them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from slatewise.domain.errors import StorageError

BYTES = 32


def home_secret(path: Path, made_of: bytes | None = None) -> bytes:
    """Return the HOME's secret, made where there is none yet; however many processes begin at once, all get one.

    It is made of chance, or of the bytes given.

    Raises StorageError.
    """
    try:
        if not path.exists():
            _make(path, secrets.token_bytes(BYTES) if made_of is None else made_of)
        found = bytes.fromhex(path.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read or made: {error}") from error
    if len(found) != BYTES:
        raise StorageError(f"{path}: got {len(found)} bytes, expected {BYTES}; without the file a new one is made")
    return found


def _make(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(handle, "w", encoding="ascii") as file:
            file.write(content.hex())
            file.flush()
            os.fsync(file.fileno())
        # A link, for it fails where another process was first; a rename would replace what that one uses already.
        os.link(new, path)
    except FileExistsError:
        pass
    finally:
        new.unlink(missing_ok=True)
