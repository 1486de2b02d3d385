"""Statements that read the log, and their rows as domain values. Holds no connection."""
