"""Which names are safe, and what Postgres calls the things behind them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_pgmq.core import names
from airflow_pgmq.errors import InvalidName

NOT_EVEN_TEXT: list[Any] = ["", None, 5, b"mail", ["mail"], "a\x00b", "\ud800"]

# Queues that we create.


@pytest.mark.parametrize("name", ["a", "mail", "mail_2", "a" * 47])
def test_plain_names_may_be_created(name):
    assert names.new_queue(name) == name


@pytest.mark.parametrize(
    "name", [*NOT_EVEN_TEXT, "Mail", "2mail", "_mail", "ma-il", "ma il", "mäil", "a" * 48, "mail\n", "q.mail"]
)
def test_other_names_may_not_be_created(name):
    with pytest.raises(InvalidName, match="Queue name"):
        names.new_queue(name)


# Queues that somebody else created.


@pytest.mark.parametrize(
    "name", ["Mail", "2mail", "ma-il", "ma il", 'ma"il', "mäil", "q.mail", "ü" * 23, "a" * 47, "邮件", "-"]
)
def test_what_pgmq_accepts_may_be_used(name):
    assert names.queue(name) == name


@pytest.mark.parametrize(
    "name",
    [*NOT_EVEN_TEXT, "ma$il", "mail;", "ma--il", "ma'il", "a" * 48, "ü" * 24, "邮" * 16],
    ids=repr,
)
def test_what_is_unsafe_or_would_be_cut_by_postgres_is_refused(name):
    """Postgres counts bytes: 24 times ü are 48."""
    with pytest.raises(InvalidName, match="Queue name"):
        names.queue(name)


@pytest.mark.parametrize(
    ("name", "table", "archive"),
    [
        ("mail", ("pgmq", "q_mail"), ("pgmq", "a_mail")),
        ("Mail", ("pgmq", "q_mail"), ("pgmq", "a_mail")),
        ("ma il", ("pgmq", "q_ma il"), ("pgmq", "a_ma il")),
    ],
)
def test_tables_are_named_as_pgmq_names_them(name, table, archive):
    assert names.table(name) == table
    assert names.table(name, "a") == archive


@pytest.mark.parametrize(
    ("name", "lower"),
    [("Unicode-里程", "unicode-里程"), ("İI", "ii"), ("ΟΔΟΣ", "οδοσ"), ("ẞ", "ß"), ("Ü", "ü")],
)
def test_letters_are_lowered_one_by_one_as_postgres_does_it(name, lower):
    assert names.lower(name) == lower
    assert names.table(name) == ("pgmq", f"q_{lower}")


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("mail", 'pgmq."q_mail_msg_id_seq"'),
        ("Mail", 'pgmq."q_mail_msg_id_seq"'),
        ('ma"il', 'pgmq."q_ma""il_msg_id_seq"'),
    ],
)
def test_the_sequence_is_quoted(name, sequence):
    assert names.sequence(name) == sequence


@pytest.mark.parametrize("derived", [names.table, names.sequence, names.dedup_index])
@pytest.mark.parametrize("name", ["mail'; DROP TABLE x; --", "a" * 48, ""])
def test_nothing_is_derived_from_an_unsafe_name(derived, name):
    with pytest.raises(InvalidName):
        derived(name)


@pytest.mark.parametrize("name", ["a" * 47, "ü" * 23, "邮" * 15])
def test_the_longest_derived_name_fits_an_identifier(name):
    assert len(names.dedup_index(name).encode()) <= 63
    assert len(names.table(name)[1].encode()) <= 63


def test_the_index_is_one_per_queue():
    assert names.dedup_index("mail") == "q_mail_dedup_idx"


def test_dead_letters_have_a_queue_of_their_own():
    assert names.dead_letter_queue("mail") == "mail_dlq"


# Jobs and namespaces.


@pytest.mark.parametrize("name", ["a", "9", "Daily.report-2_x", "x" * 100])
def test_names_of_jobs_are_plain(name):
    assert names.job(name) == name


@pytest.mark.parametrize(
    "name", [*NOT_EVEN_TEXT, "a/b", "-a", ".a", "_a", "a b", "ä", "a\n", "x" * 101, "a:b"]
)
def test_other_names_of_jobs_are_refused(name):
    """A slash would let one job's keys look like another's."""
    with pytest.raises(InvalidName, match="Job name"):
        names.job(name)


def test_an_error_says_what_the_name_was_for():
    with pytest.raises(InvalidName, match="Namespace name 'a/b'"):
        names.job("a/b", "Namespace")


# Dedup keys.


@pytest.mark.parametrize("key", ["x", "a b/c;'$--", "täglich 😀", "x" * 255, "😀" * 255, " "])
def test_a_key_is_any_text_of_up_to_255_characters(key):
    assert names.key(key) == key


@pytest.mark.parametrize("key", NOT_EVEN_TEXT, ids=repr)
def test_a_key_that_is_no_text_is_refused(key):
    with pytest.raises(InvalidName, match="non-empty string"):
        names.key(key)


@pytest.mark.parametrize("key", ["x" * 256, "😀" * 256])
def test_a_key_that_is_too_long_is_refused_with_its_length(key):
    with pytest.raises(InvalidName, match="has 256 characters, the limit is 255"):
        names.key(key)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("oders", "orders"),
        ("Orders", "orders"),
        ("order", "orders"),
        ("mails", "Mail"),
        ("x", None),
    ],
)
def test_the_queue_that_was_probably_meant(typed: str, meant: str | None) -> None:
    assert names.similar(typed, ["orders", "Mail", "cache"]) == meant
