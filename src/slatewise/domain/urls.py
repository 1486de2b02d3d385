"""Urls of servers, fit to be shown."""

from __future__ import annotations

import re


def without_password(text: str) -> str:
    """Return *text* fit for logs and answers: passwords in urls are struck out."""
    text = re.sub(r"(://[^:/@\s]*):\S*@", r"\1:***@", text)
    return re.sub(r"(password=)[^&\s]+", r"\1***", text)
