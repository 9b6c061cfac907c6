# Airflow with this provider from the package index, without a checkout.
#
#   docker build --file pip.Dockerfile --tag airflow-pgmq --build-arg AIRFLOW_VERSION=3.3.2 .
ARG AIRFLOW_VERSION=3.3.2
FROM apache/airflow:${AIRFLOW_VERSION}

# The image has its own version in AIRFLOW_VERSION. Airflow's version is in the command too, so that pip cannot change
# it. "[sql]" adds PGMQ as plain SQL, for servers that do not have the extension.
RUN pip install --no-cache-dir "apache-airflow==${AIRFLOW_VERSION}" "airflow-provider-pgmq[sql]"
