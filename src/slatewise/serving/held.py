"""What is kept of a slate for later requests, and its form as bytes. Knows no cache, cursor or store."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.membership import among
from slatewise.domain.slate import Slate

FORMAT = 1
"""The number of the layout below. Bytes of another one are not read."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a slate showed and the best of its reserve, in ranked order.

    ``version`` is the log offset it reflects, ``bundle`` what ranked it, ``at`` the instant it was made for in seconds.
    """

    ranked: Candidates
    version: int
    bundle: str
    at: float

    def after(self, slate: Slate) -> Candidates:
        """Return what is left once *slate*, made from this list, is shown; in ranked order."""
        return self.ranked.take(np.flatnonzero(~among(self.ranked.row, np.sort(slate.shown.row))))


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    format: int
    version: int
    at: float
    bundle: str
    row: bytes
    score: bytes
    source: bytes
    sources: tuple[str, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


def pack(held: Held) -> bytes:
    """Return *held* in 9 bytes per candidate and about 60 more. Rows must be below 2^32, sources fewer than 257."""
    ranked = held.ranked
    return _encoder.encode(
        _Packed(
            FORMAT,
            held.version,
            held.at,
            held.bundle,
            ranked.row.astype("<u4").tobytes(),
            ranked.score.astype("<f4").tobytes(),
            ranked.source.astype("u1").tobytes(),
            ranked.sources,
        )
    )


def unpack(packed: bytes) -> Held | None:
    """Return what `pack` was given, None for bytes of another format or that are no such thing."""
    try:
        found = _decoder.decode(packed)
        row = np.frombuffer(found.row, "<u4").astype(np.int64)
        score = np.frombuffer(found.score, "<f4").astype(np.float32)
        source = np.frombuffer(found.source, "u1").astype(np.int64)
    except (msgspec.MsgspecError, ValueError):
        return None
    if found.format != FORMAT or not row.shape == score.shape == source.shape:
        return None
    if source.size and int(source.max()) >= len(found.sources):
        return None
    return Held(Candidates(row, score, source, found.sources), found.version, found.bundle, found.at)
