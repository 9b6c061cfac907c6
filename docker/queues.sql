-- The database of the queues. Airflow's metadata is in the database that POSTGRES_DB names, on the same server.
CREATE DATABASE queues;
