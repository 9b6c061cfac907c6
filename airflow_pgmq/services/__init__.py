"""What is done in a database: one module for each verb. No Airflow here, no driver."""
