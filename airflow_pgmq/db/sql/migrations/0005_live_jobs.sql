-- Live jobs are put and deleted by people at run time; a deploy of their namespace's Dag leaves them alone.
ALTER TABLE airflow_pgmq.periodic_jobs ADD COLUMN live boolean NOT NULL DEFAULT false;

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
