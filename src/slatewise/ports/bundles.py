"""Release bundles: everything that must change together."""

from pathlib import Path
from typing import Protocol


class BundleRegistry(Protocol):
    """Keeps immutable bundles and one pointer to the live one.

    A bundle is towers + item vectors + index + ranker + feature schema + calibration under one id, so a user tower can
    never meet an index built by another.
    """

    def publish(self, folder: Path) -> str:
        """Check every digest in *folder*, admit it and return its id. Does not make it live."""
        ...

    def promote(self, bundle: str) -> None:
        """Point *live* at *bundle*, atomically. Rolling back is promoting an older id."""
        ...

    def live(self) -> str | None: ...

    def path(self, bundle: str) -> Path:
        """Return the verified bundle's folder. Raises NotFound, or BundleError where a digest does not match."""
        ...
