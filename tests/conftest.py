"""The fixtures are in `fixtures/`, one file per resource; Airflow's environment comes first of all."""

pytest_plugins = [
    "tests.fixtures.airflow",
    "tests.fixtures.postgres",
    "tests.fixtures.live",
    "tests.fixtures.ui",
]
