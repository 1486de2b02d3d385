"""Connections to PostgreSQL, for whoever keeps something there. Knows no table."""
