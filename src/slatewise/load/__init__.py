"""The load tool: an HTTP client that sends requests when they are due, answered or not. Knows no engine."""
