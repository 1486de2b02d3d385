"""Frozen values and the error tree. Knows numpy and the standard library only."""
