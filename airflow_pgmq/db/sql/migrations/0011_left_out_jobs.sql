-- Jobs that the last tick left out, and why. It tells whoever looks at the jobs; nothing depends on it.
ALTER TABLE airflow_pgmq.namespaces
    -- How many, and the first of them, as JSON: {"count": 2, "jobs": [["name", "why"], ...]}. A text, since reasons
    -- may have characters that jsonb refuses in this database's encoding.
    ADD COLUMN left_out text NOT NULL DEFAULT '';
