"""The server and its databases behave as the other tests assume."""

import psycopg

from tests.fixtures.factories import execute


def queues(database):
    with database.connect() as connection:
        return [row[0] for row in connection.execute("SELECT queue_name FROM pgmq.list_queues() ORDER BY 1")]


def test_database_has_pgmq_and_nothing_of_other_tests(database):
    assert queues(database) == []
    with database.connect() as connection:
        connection.execute("SELECT pgmq.create('only_here')")
    assert queues(database) == ["only_here"]


def test_database_is_a_fresh_clone(database):
    assert queues(database) == []


def test_empty_database_has_no_pgmq(empty_database):
    with empty_database.connect() as connection:
        assert connection.execute("SELECT to_regnamespace('pgmq')").fetchone() == (None,)


def test_crash_keeps_what_was_committed(own_database):
    with own_database.connect() as connection:
        connection.execute("SELECT pgmq.create('kept')")
    own_database.server.restart("immediate")
    assert queues(own_database) == ["kept"]


def test_stopped_server_keeps_its_data(own_server):
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept ()")
    own_server.stop()
    assert not own_server.running
    own_server.start()
    with psycopg.connect(own_server.dsn()) as connection:
        assert connection.execute("SELECT to_regclass('kept')::text").fetchone() == ("kept",)


def test_rows_without_a_column_are_rows(database):
    assert len(execute(database, "SELECT FROM generate_series(1, 3)")) == 3
    assert execute(database, "CREATE TABLE any_table ()") == []
