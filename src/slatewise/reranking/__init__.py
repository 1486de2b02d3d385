"""Stage 4: composes the slate from ranked candidates. Knows nothing of models or filters."""
