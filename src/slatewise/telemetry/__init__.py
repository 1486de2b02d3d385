"""The clock, the metrics and the impression log. Knows nothing of stages, stores or doors: it is told."""
