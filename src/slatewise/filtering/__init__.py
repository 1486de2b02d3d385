"""Stage 2: rules that say which candidates may be shown at all. Knows nothing of their order."""
