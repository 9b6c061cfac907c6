-- Slots that people left out: they count as sent, to a queue without a name.
CREATE INDEX slots_skipped_idx ON airflow_pgmq.slots (namespace, name, slot) WHERE queue_name = '';
