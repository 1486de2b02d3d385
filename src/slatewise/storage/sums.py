"""A checksum per row: finds bits that a disk changed without saying so. Knows no connection.

SQLite notices a page that makes no sense, not a value that became another one. CRC-32 finds every change of up to three
bits in a row, and any other but for one in four billion. It is no protection against people.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec

_encode = msgspec.msgpack.Encoder().encode


def row_sum(fields: Sequence[object]) -> int:
    """Return the sum of a row's fields in the order of its columns. Zero has one sum, whatever its sign."""
    # SQLite stores 0.0 and -0.0 as the same integer, so what is read back may have lost its sign.
    return crc32(_encode([field or 0.0 if isinstance(field, float) else field for field in fields]))
