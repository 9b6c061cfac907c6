# Airflow with this provider from the package index: no checkout is needed.
#
#   docker build --file pip.Dockerfile --tag airflow-pgmq --build-arg AIRFLOW_VERSION=3.3.2 .
ARG AIRFLOW_VERSION=3.3.2
FROM apache/airflow:${AIRFLOW_VERSION}

# The image names its own version in AIRFLOW_VERSION. Airflow is named beside the provider, so that no dependency
# can move it to another version. "[sql]" brings PGMQ as plain SQL, for servers that do not have the extension.
RUN pip install --no-cache-dir "apache-airflow==${AIRFLOW_VERSION}" "airflow-provider-pgmq[sql]"
