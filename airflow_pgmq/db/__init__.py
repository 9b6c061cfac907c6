"""Postgres: statements as values with their SQL, the client that runs them, a server of the machine."""
