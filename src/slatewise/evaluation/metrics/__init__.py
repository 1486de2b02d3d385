"""One metric per file, over whole matrices of lists. Knows neither stages nor baselines, only lists and targets."""
