"""Readers of other people's data, and a simulated shop. Knows files and frames; knows no log and no model."""
