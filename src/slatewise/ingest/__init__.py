"""The WRITE line: events are checked, stored, then folded into every follower. Knows no HTTP and no model."""

from slatewise.ingest.bulk import ImportCounts, Reject, import_events
from slatewise.ingest.ingest import Ingest
from slatewise.ingest.validation import Rules, check_context, check_event, check_events

__all__ = ["ImportCounts", "Ingest", "Reject", "Rules", "check_context", "check_event", "check_events", "import_events"]
