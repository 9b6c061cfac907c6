"""Decisions without I/O: no Airflow, no driver, no clock, no environment."""
