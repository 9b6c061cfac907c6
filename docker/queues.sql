-- The queues' own database. Airflow's metadata has the one that POSTGRES_DB names; both are on one server here.
CREATE DATABASE queues;
