"""The READ line: query in, slate out; the result cache in front of it. Knows no HTTP and no store, only ports."""
