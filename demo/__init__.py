"""The demo: a complete Airflow on an embedded Postgres, which shows and measures what the provider promises.

`python -m demo` stays up until Ctrl-C; `python -m demo --once` runs every check and ends.
"""
