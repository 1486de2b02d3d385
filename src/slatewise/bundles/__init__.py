"""Sealed, verified folders that change together, and the pointer to the live one. Knows nothing of what is inside."""
