"""The page inside Airflow: HTTP and HTML around the overview, which decides."""
