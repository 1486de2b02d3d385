"""Nearest-vector indexes behind one port. Knows rows and vectors; nothing of items, users or towers."""
