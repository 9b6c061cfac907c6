-- dead_slots --
-- Jobs of a namespace that a dead letter is to pause, and queues whose dead letters this role may not read.
SELECT name, queue_name, dead_letter_queue, slot, letters FROM airflow_pgmq.dead_slots(%(namespace)s::text)
ORDER BY queue_name, name;
