"""Which names are safe, and the names of their tables, indexes and channels in Postgres."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache
from urllib.parse import quote

from airflow_pgmq.errors import InvalidName

QUEUE_NAME = re.compile(r"[a-z][a-z0-9_]{0,46}")
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
MAX_KEY_LENGTH = 255

#: Triggers on a queue's table that announce its messages: ours and PGMQ's own.
OF_INSERTS = NOTIFY_TRIGGER, PGMQ_TRIGGER = "airflow_pgmq_notify", "trigger_notify_queue_insert_listeners"
#: Ours that announces what is removed of groups.
SETTLED_TRIGGER = "airflow_pgmq_settled"

# PGMQ itself refuses only these.
_UNSAFE = re.compile(r"\$|;|--|'")


def new_queue(name: str) -> str:
    """Check the name of a queue that we are to create.

    PGMQ accepts more, but lower-cases its tables: `Mail` and `mail` would be two queues over one table.
    """
    if not isinstance(name, str) or not QUEUE_NAME.fullmatch(name):
        raise InvalidName(
            f"Queue name {name!r} cannot be given to a new queue: 1 to 47 characters, lower-case letters a "
            "to z, digits and underscores, a letter first. One that others made can be used under its name."
        )
    return name


def queue(name: str) -> str:
    """Check the name of a queue that another client may have created: less strict, but safe."""
    # Bytes, not characters: Postgres truncates longer identifiers, and two queues would share one table.
    if not _is_text(name) or len(name.encode()) > 47 or _UNSAFE.search(name):
        raise InvalidName(
            f"Queue name {name!r} cannot be used: 1 to 47 bytes of UTF-8, because Postgres cuts longer "
            "names of what belongs to a queue, and none of $ ; -- ' and NUL, which PGMQ refuses."
        )
    return name


def is_safe(name: str) -> bool:
    """Whether `queue` would take the name."""
    try:
        queue(name)
    except InvalidName:
        return False
    return True


def similar(name: str, known: Sequence[str]) -> str | None:
    """The known name that was probably meant, if one is similar: a letter missing, another case."""
    by_lower = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def table(queue_name: str, prefix: str = "q") -> tuple[str, str]:
    """The queue's table (`q`) or archive (`a`) as schema and name, as `pgmq.format_table_name` makes it."""
    # Other types, and those that are made of text, may have no hash.
    return _table(queue_name if type(queue_name) is str else str.__str__(queue(queue_name)), prefix)


@lru_cache(maxsize=1024)
def _table(queue_name: str, prefix: str) -> tuple[str, str]:
    return "pgmq", f"{prefix}_{lower(queue(queue_name))}"


def lower(text: str) -> str:
    """Lower case as in Postgres: letter by letter; in Python `İ` gives two and `Σ` depends on others.

    Databases that lower only ASCII, or by the rules of one language, differ; `core.queue_shape` reports it.
    """
    return text.lower() if text.isascii() else "".join(letter.lower()[0] for letter in text)


def channel(queue_name: str) -> str:
    """The channel on which PGMQ's trigger and ours announce inserts into the queue."""
    return f"pgmq.{table(queue_name)[1]}.INSERT"


def quoted(schema: str, name: str) -> str:
    """A table as `regclass` reads it."""
    return '{}."{}"'.format(schema, name.replace('"', '""'))


def sequence(queue_name: str) -> str:
    """The sequence behind `msg_id`, quoted as `regclass` reads it."""
    return sequence_of(*table(queue_name))


def sequence_of(schema: str, name: str) -> str:
    """The same of a queue's table."""
    return quoted(schema, f"{name}_msg_id_seq")


def dedup_index(queue_name: str) -> str:
    """The unique index of `dedup_scope="queued"`: 2 + 47 + 10 characters fit Postgres's 63."""
    return f"{table(queue_name)[1]}_dedup_idx"


def groups_index(queue_name: str) -> str:
    """The index that reading in order needs."""
    return f"{table(queue_name)[1]}_groups_idx"


def dead_letter_queue(queue_name: str) -> str:
    """The default queue for messages that were tried too often."""
    return f"{queue_name}_dlq"


def is_dead_letter_queue(queue_name: str) -> bool:
    """Whether it is the default name of a dead letter queue."""
    return queue_name.endswith("_dlq")


def origin(queue_name: str) -> str | None:
    """The queue that this dead letter queue belongs to by its name; None if it is no such name."""
    return queue_name[: -len("_dlq")] if is_dead_letter_queue(queue_name) else None


def job(name: str, what: str = "Job") -> str:
    """Check a job's or namespace's name: it becomes part of a dedup key, so no slash."""
    if not isinstance(name, str) or not JOB_NAME.fullmatch(name):
        raise InvalidName(
            f"{what} name {name!r} cannot be used: 1 to 100 letters, digits, '_', '-' and '.', "
            "a letter or digit first."
        )
    return name


def key(dedup_key: str) -> str:
    """Check a dedup key: longer ones would not fit an index entry in every encoding."""
    if not _is_text(dedup_key):
        raise InvalidName(
            f"Dedup key {dedup_key!r} must be a non-empty string without NUL and lone surrogates."
        )
    if len(dedup_key) > MAX_KEY_LENGTH:
        raise InvalidName(
            f"Dedup key {dedup_key[:40]!r}… has {len(dedup_key)} characters, the limit is {MAX_KEY_LENGTH}. "
            "Use the business key (report type and date) or a hash of it."
        )
    return dedup_key


def keys(dedup_keys: Sequence[str]) -> list[str]:
    """Check many at once, and one by one only if something is wrong."""
    if len(dedup_keys) == 1:
        return [key(dedup_keys[0])]
    try:
        lengths = {len(each) for each in dedup_keys}
        if _is_text("".join(dedup_keys)) and min(lengths) > 0 and max(lengths) <= MAX_KEY_LENGTH:
            return list(dedup_keys)
    except TypeError:
        pass
    return [key(each) for each in dedup_keys]


def _is_text(value: object) -> bool:
    """Whether it is text that Postgres takes: not empty, no NUL, no lone surrogate."""
    if not isinstance(value, str) or value == "" or "\x00" in value:
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def uri(pgmq_conn_id: str, queue_name: str) -> str:
    """A queue as Airflow's asset; a name may contain characters that are special in a URI, or not ASCII."""
    return f"pgmq://{pgmq_conn_id}/{quote(lower(queue(queue_name)), safe='')}"
