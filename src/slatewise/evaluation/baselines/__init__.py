"""What the cascade must beat, one method per file, fitted on training interactions. Knows nothing of the read line."""
