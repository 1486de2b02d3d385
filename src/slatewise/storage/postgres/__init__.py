"""The event log in a PostgreSQL, behind the same port as the one in a file. Importing this imports no client."""
