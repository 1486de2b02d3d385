"""Protocols only: what one room may ask of another."""
