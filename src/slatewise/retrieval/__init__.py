"""Stage 1: sources that propose candidates, and how offers merge. Knows nothing of filtering, scores or slates."""
