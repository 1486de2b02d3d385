"""How a request ended: an HTTP status, or one of these numbers below zero."""

from __future__ import annotations

TIMED_OUT = -1
LOST = -2
NO_CONNECTION = -3
UNREADABLE = -4
UNSENT = -5

WORDS = {
    TIMED_OUT: "timed out",
    LOST: "connection lost",
    NO_CONNECTION: "no connection",
    UNREADABLE: "unreadable answer",
    UNSENT: "never sent",
}

REJECTED = 503
"""What a server answers to what it sheds on purpose."""


def word(status: int) -> str:
    """Return what a status is called in tables and in JSON."""
    return WORDS.get(status, str(status))
