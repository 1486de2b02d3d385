"""Offline quality: cases, replay through the real read line, metrics, baselines, reports. Does not know how to train, serve or store."""
