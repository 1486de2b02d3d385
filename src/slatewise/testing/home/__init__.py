"""One machine of random stories about a HOME, the model it is held against, and ways to run a real HOME under it."""
