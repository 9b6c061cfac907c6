"""The boundary to psycopg: what a session's settings could change stops here."""
