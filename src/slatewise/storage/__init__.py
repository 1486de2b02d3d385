"""The event log in SQLite and the views folded from it. Knows nothing of models, settings files or HTTP."""

from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.users import LiveUsers

__all__ = ["LiveCatalogue", "LiveUsers", "SqliteEventLog"]
