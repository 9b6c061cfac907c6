-- Live jobs are put and deleted by people at run time; a deploy of their namespace's Dag leaves them alone. Older code
-- would take them for jobs that left the Dag.
ALTER TABLE airflow_pgmq.migrations ALTER COLUMN oldest_code SET DEFAULT 5;
ALTER TABLE airflow_pgmq.periodic_jobs ADD COLUMN live boolean NOT NULL DEFAULT false;

-- Finds the newest put: if it is in the future, the clock went back.
CREATE INDEX periodic_jobs_put_idx ON airflow_pgmq.periodic_jobs (namespace, deployed_at) WHERE live;

-- As the last tick has them, so that an edit finishes a definition as the tick would have.
ALTER TABLE airflow_pgmq.namespaces ADD COLUMN grace interval, ADD COLUMN dedup_window interval;

-- The last versions of each live job.
CREATE TABLE airflow_pgmq.job_versions (
    namespace text COLLATE "C" NOT NULL REFERENCES airflow_pgmq.namespaces ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    -- Null: the job was deleted.
    definition jsonb,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    PRIMARY KEY (namespace, name, version)
);
