"""Metadata for Airflow's provider discovery, which reads it in every process: this module imports nothing."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The provider's parts, in the form of Airflow's schema `provider_info.schema.json`."""
    return {
        "package-name": "airflow-provider-pgmq",
        "name": "PGMQ",
        "description": "`PGMQ <https://github.com/pgmq/pgmq>`__, the message queue inside Postgres",
        "integrations": [
            {
                "integration-name": "PGMQ",
                "external-doc-url": "https://airflow-provider-pgmq.readthedocs.io/en/stable/",
                "logo": "https://airflow-provider-pgmq.readthedocs.io/en/stable/img/logo.svg",
                "tags": ["software"],
            }
        ],
        "operators": [{"integration-name": "PGMQ", "python-modules": ["airflow_pgmq.operators"]}],
        "sensors": [{"integration-name": "PGMQ", "python-modules": ["airflow_pgmq.sensors"]}],
        "hooks": [{"integration-name": "PGMQ", "python-modules": ["airflow_pgmq.hooks"]}],
        "extra-links": [
            "airflow_pgmq.links.PgmqQueueLink",
            "airflow_pgmq.links.PgmqJobsLink",
            "airflow_pgmq.links.PgmqMessagesLink",
        ],
        "connection-types": [
            {
                "connection-type": "pgmq",
                "hook-class-name": "airflow_pgmq.hooks.PgmqHook",
                "hook-name": "PGMQ (Postgres queue)",
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {"schema": "Database", "login": "User"},
                    "placeholders": {
                        "host": "db.example.org, or a socket directory such as /var/run/postgresql",
                        "port": "5432",
                        "schema": "the database that holds the queues",
                        "login": "a role with the rights that the documentation lists",
                    },
                },
                "conn-fields": {
                    "sslmode": {
                        "label": "SSL mode",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
                        },
                    },
                    "sslrootcert": {
                        "label": "CA certificate",
                        "description": "A file on every machine that connects, for verify-ca and verify-full",
                        "schema": {"type": ["string", "null"]},
                    },
                    "connect_timeout": {
                        "label": "Connection timeout (s)",
                        "schema": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "options": {
                        "label": "Server options",
                        "description": "Given to the server at connection, for example: -c work_mem=64MB",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
        "transfers": [
            {
                "source-integration-name": "PostgreSQL",
                "target-integration-name": "PGMQ",
                "python-module": "airflow_pgmq.operators.sql_to_pgmq",
            },
            {
                "source-integration-name": "PGMQ",
                "target-integration-name": "PostgreSQL",
                "python-module": "airflow_pgmq.operators.pgmq_to_sql",
            },
        ],
        "triggers": [{"integration-name": "PGMQ", "python-modules": ["airflow_pgmq.triggers"]}],
        "queues": ["airflow_pgmq.message_queue.PgmqMessageQueueProvider"],
        "asset-uris": [
            {
                "schemes": ["pgmq"],
                "handler": "airflow_pgmq.assets.sanitize_uri",
                "factory": "airflow_pgmq.assets.create_asset",
                "to_openlineage_converter": "airflow_pgmq.assets.convert_asset_to_openlineage",
            }
        ],
        "task-decorators": [{"name": "pgmq", "class-name": "airflow_pgmq.decorators.pgmq_task"}],
        "cli": ["airflow_pgmq.cli.definition.get_commands"],
        "notifications": ["airflow_pgmq.notifications.PgmqNotifier"],
        "config": {
            "pgmq": {
                "description": "Limits of the PGMQ provider.",
                "options": {
                    "max_message_bytes": {
                        "description": "Messages whose JSON is larger are refused before anything is sent.",
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": None,
                        "default": "1048576",
                    },
                    "max_xcom_bytes": {
                        "description": "Messages that are larger together are passed in XCom by their ids.",
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": None,
                        "default": "49152",
                    },
                    "lock_timeout": {
                        "description": "Seconds that a transaction of the provider waits for a lock. "
                        "0: no limit.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "30",
                    },
                    "idle_in_transaction_timeout": {
                        "description": "Seconds after which Postgres ends a transaction whose process does "
                        "nothing, so that others can continue. Does not apply while a transactional "
                        "consumer works. 0: no limit.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "10",
                    },
                    "transaction_timeout": {
                        "description": "Seconds that a transaction of the provider may take; before "
                        "Postgres 17, that a statement may take. 0: no limit.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "1800",
                    },
                    "redact_keys": {
                        "description": "JSON keys, separated by commas, case-insensitive. The page, `peek` "
                        "and the texts of periodic jobs in a Dag hide their values, and reasons of dead "
                        "letters that quote them.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "password,iban",
                        "default": "password,secret,token,authorization,api_key",
                    },
                },
            }
        },
    }
