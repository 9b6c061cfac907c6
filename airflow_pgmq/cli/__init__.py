"""`airflow pgmq …`: Airflow reads `definition` whenever its command line starts, the rest on demand."""
