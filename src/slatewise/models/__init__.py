"""Learned functions at serving time: arrays in, arrays out. Knows no users, items or stores, and no torch."""
