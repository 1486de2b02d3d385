"""Offline quality: cases, replay through the real read line, metrics, baselines, reports. Cannot train or serve."""
