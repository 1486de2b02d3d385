"""Stage 3: scorers that price each candidate on its own. Knows nothing of neighbours or slates."""
