"""The boundary to psycopg: code above it does not depend on a session's settings."""
