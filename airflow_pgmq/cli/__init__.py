"""`airflow pgmq …`: Airflow imports `definition` at every start of its command line, the rest on demand."""
