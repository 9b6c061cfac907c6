-- read_for_events --
-- Read for asset events. The more often the oldest message was tried before, the fewer are read with it: if
-- one of them ends the reader, it is finally read alone, and the others are not affected.
WITH visible AS MATERIALIZED (
    SELECT msg_id, <<tries>> AS tries FROM {table} AS m
    WHERE vt <= clock_timestamp() AND <<may_read>>
    ORDER BY msg_id LIMIT %(max_messages)s FOR UPDATE SKIP LOCKED
), first AS (
    SELECT tries FROM visible ORDER BY msg_id LIMIT 1
), size AS (
    SELECT greatest(1, %(max_messages)s::integer >> least(30, greatest(0, tries - %(calm)s::integer + 1))) AS size
    FROM first
)
UPDATE {table} AS chosen
SET <<read_again>>
WHERE chosen.msg_id = ANY (ARRAY(
    SELECT visible.msg_id FROM visible, first
    WHERE visible.tries <= greatest(first.tries, %(calm)s - 1)
    ORDER BY visible.msg_id LIMIT (SELECT size FROM size)
))
RETURNING chosen.*;
