import pytest

from airflow_pgmq.services.overview.words import of_cron

pytest.importorskip("cron_descriptor")


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("*/5 * * * *", "Every 5 minutes"),
        ("30 7 * * 1-5", "At 07:30, Monday through Friday"),
        # Ours has the seconds last.
        ("* * * * * */10", "Every 10 seconds"),
        ("0 12 * * * 30", "At 12:00:30"),
        ("@daily", "Every day at 00:00"),
        ("@HOURLY", "Every hour"),
        ("@quarterly", "Every three months"),
        # No words for these.
        ("0 0 1 * */1", "0 0 1 * */1"),
        ("*/100 * * * *", "*/100 * * * *"),
        ("59/15 * * * *", "59/15 * * * *"),
        ("0 0 * * mon-fri#1", "0 0 * * mon-fri#1"),
        ("0 0 1,15 * L5", "0 0 1,15 * L5"),
        ("0 0 1 * 1#1", "0 0 1 * 1#1"),
        ("H H * * *", "H H * * *"),
        ("nonsense", "nonsense"),
        ("", ""),
    ],
)
def test_cron_in_words(cron, words):
    assert of_cron(cron) == words


def test_words_know_where_the_seconds_are():
    assert of_cron("30 0 12 * * *", "first") == of_cron("0 12 * * * 30", "last") == "At 12:00:30"
    assert of_cron("0 12 * * *", "first") == of_cron("0 12 * * *") == "At 12:00"
