"""The page inside Airflow: HTTP and HTML only; what it shows comes from `services.overview`."""
