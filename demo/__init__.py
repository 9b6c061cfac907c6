"""The demo: a whole Airflow on an embedded Postgres, showing and measuring what the provider promises.

`python -m demo` stays up until Ctrl-C; `python -m demo --once` verifies every claim and ends.
"""
