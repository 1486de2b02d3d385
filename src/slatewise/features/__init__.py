"""What a model reads: attributes, histories and folded counters as numbers. Knows no store, no torch, no HTTP."""
