"""Where a HOME keeps what. Makes no folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a HOME keeps what."""

    home: Path

    @property
    def log(self) -> Path:
        return self.home / "log.sqlite"

    @property
    def secret(self) -> Path:
        return self.home / "secret"

    @property
    def bundles(self) -> Path:
        return self.home / "bundles"

    @property
    def rejects(self) -> Path:
        return self.home / "rejects"

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    @property
    def training(self) -> Path:
        return self.home / "training"
