"""What cron expressions mean, and the errors and warnings for invalid or ambiguous ones."""

from __future__ import annotations

import os
from datetime import datetime
from importlib import metadata
from itertools import islice

import pytest

from airflow_pgmq.core.schedule.cron import ambiguity, parse, problem
from airflow_pgmq.core.schedule.cron_slots import CronSlots
from tests.unit.support import utc


def test_croniter_is_of_the_version_that_this_run_is_about():
    asked = os.environ.get("CRONITER")
    if asked is None:
        pytest.skip("this run is about whichever croniter is installed")
    assert metadata.version("croniter") == asked


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("@hourly", "2026-06-03 11:00"),
        ("@daily", "2026-06-04 00:00"),
        ("@midnight", "2026-06-04 00:00"),
        ("@weekly", "2026-06-07 00:00"),
        ("@monthly", "2026-07-01 00:00"),
        ("@quarterly", "2026-07-01 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@annually", "2027-01-01 00:00"),
        ("@Daily", "2026-06-04 00:00"),
        (" @daily ", "2026-06-04 00:00"),
    ],
)
@pytest.mark.parametrize("hash_id", [None, "report"])
def test_nicknames_mean_the_start_of_their_period_whatever_the_job_is_called(cron, expected, hash_id):
    assert problem(cron, hash_id) is None
    assert next(CronSlots(cron, "UTC", hash_id).after(utc("2026-06-03 10:30"))) == utc(expected)


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 0 l * *", "2026-06-30 00:00"),
        ("0 0 L * *", "2026-06-30 00:00"),
        ("0 0 15-L * *", "2026-06-15 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 * * fri#2", "2026-06-12 00:00"),
        ("0 0 * * mon-wed#2", "2026-06-08 00:00"),
        ("0 0 * * fri#2,tue", "2026-06-09 00:00"),
        ("0 0 * * l5", "2026-06-26 00:00"),
        ("0 0 * * 5L", "2026-06-26 00:00"),
        ("0 0 * * L7", "2026-06-28 00:00"),
        ("0 0 ? * ?", "2026-06-04 00:00"),
        ("* * * * * 7", "2026-06-03 10:30:07"),
        ("0 12 * 2 1#5", "2044-02-29 12:00"),
        ("0 0 L 2 1", "2027-02-01 00:00"),
        ("0 0 * 2 7#5", "2032-02-29 00:00"),
    ],
)
def test_forms_beyond_numbers(cron, expected):
    assert problem(cron) is None
    assert next(CronSlots(cron, "UTC").after(utc("2026-06-03 10:30"))) == utc(expected)


@pytest.mark.parametrize(
    ("minutes", "values"),
    [
        ("9-9", [9]),
        ("30-30", [30]),
        ("1-1", [1]),
        ("0-0", [0]),
        ("9-9/3", [9]),
        ("59/15", [59]),
        ("58/15", [58]),
        ("50-51/15", [50]),
        ("*/40", [0, 40]),
        ("*/90", [0]),
        ("55-3/2", [55, 57, 59, 1, 3]),
        ("55-3/3", [55, 58, 1]),
        ("57-1", [57, 58, 59, 0, 1]),
        ("7,7,5-8", [5, 6, 7, 8]),
    ],
)
def test_values_of_a_field(minutes, values):
    """croniter reads ranges of one value, and in 6.0 `59/15`, as everything, and loses values that wrap."""
    assert parse(f"{minutes} * * * *").minutes == tuple(sorted(values))
    assert parse(f"0 0 * * * {minutes}").seconds == tuple(sorted(values))


def test_values_of_hours_that_wrap():
    assert parse("0 17-2/3 * * *").hours == (2, 17, 20, 23)


@pytest.mark.parametrize(
    ("fields", "days"),
    [
        # Of March 2026, which starts with a Sunday.
        ("1-1 * *", [1]),
        ("28-2 * *", [1, 2, 28, 29, 30, 31]),
        ("25-5/3 * *", [3, 25, 28, 31]),
        ("* 3-3 *", [*range(1, 32)]),
        ("* 11-3/2 sun", [1, 8, 15, 22, 29]),
        ("* 12-3/2 sun", []),
        ("* * 0-7", [*range(1, 32)]),
        ("* * 7-7", [1, 8, 15, 22, 29]),
        ("* * 0-0", [1, 8, 15, 22, 29]),
        ("* * sat-mon", [1, 2, 7, 8, 9, 14, 15, 16, 21, 22, 23, 28, 29, 30]),
        ("* * 6-1/2", [2, 7, 9, 14, 16, 21, 23, 28, 30]),
        # A union, like every other pair.
        ("1,15 * L5", [1, 15, 27]),
        ("16 * 1#1", [2, 16]),
        ("L * fri", [6, 13, 20, 27, 31]),
        ("31 3 sun", [1, 8, 15, 22, 29, 31]),
        ("*/10 * mon", [1, 2, 9, 11, 16, 21, 23, 30, 31]),
        # Except where one of the two is given as everything.
        ("*/10 * *", [1, 11, 21, 31]),
        ("*/10 * ?", [1, 11, 21, 31]),
        ("*/10 * 0-6", [1, 11, 21, 31]),
        ("1-31 * */3", [1, 4, 7, 8, 11, 14, 15, 18, 21, 22, 25, 28, 29]),
    ],
)
def test_days_of_a_month(fields, days):
    assert parse(f"0 0 {fields}").days.of_month(2026, 3) == tuple(sorted(days))


@pytest.mark.parametrize("days", ["*/2", "*/3", "*/5", "*/15", "1,31", "1,29-31", "*"])
@pytest.mark.parametrize("year", [2025, 2026, 2027])
def test_the_first_of_march_is_not_left_out(days, year):
    """croniter 6.0 looks for the 31st of February, and continues after it."""
    slots = CronSlots(f"0 0 {days} * *", "UTC").after(datetime.fromisoformat(f"{year}-02-28T00:00:00+00:00"))
    assert next(slots).date() == datetime(year, 3, 1).date()


def test_a_date_that_no_month_has_leaves_the_weekdays_of_a_union():
    """croniter 6.0 finds no day at all."""
    assert problem("48 14 31 jun sun") is None
    slots = CronSlots("48 14 31 jun sun", "UTC").after(utc("2026-01-01 00:00"))
    assert [slot.day for slot in islice(slots, 4)] == [7, 14, 21, 28]


# Hashes.


def test_hashed_fields_are_the_same_for_the_same_job_and_spread_jobs():
    def minute(name: str) -> int:
        return next(CronSlots("H * * * *", "UTC", name).after(utc("2026-06-03 10:00"))).minute

    assert problem("H * * * *", "a") is None
    assert minute("a") == minute("a")
    assert len({minute(f"job{number}") for number in range(50)}) > 20


@pytest.mark.parametrize("name", [f"job{number}" for number in range(20)])
def test_a_hash_stays_in_its_range(name):
    """croniter 6.0 starts `H(50-52)/10` as late as 59, and so never."""
    assert set(parse("H(50-52)/10 * * * *", name).minutes) < {50, 51, 52}
    assert set(parse("H(50-52) * * * *", name).minutes) < {50, 51, 52}
    assert len(parse("H/20 * * * *", name).minutes) == 3
    assert len(parse("H(0-29)/10 * * * *", name).minutes) == 3


def test_hashed_values_stay_as_they_were():
    cron = parse("H H(8-17) H(1-28) H(1-6)/2 H H/15", "report")
    assert (cron.minutes, cron.hours, cron.seconds) == ((44,), (10,), (5, 20, 35, 50))
    assert cron.days.months == {1, 3, 5}
    assert cron.days.dates == {26}
    assert cron.days.weekdays == {(6, 0)}


def test_hashes_may_be_in_lists():
    assert set(parse("0,H * * * *", "report").minutes) == {0, 44}


# What is wrong.


@pytest.mark.parametrize(
    ("cron", "part"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("* * * * * * 2026", "7 fields, as if with years, which are not supported"),
        ("0 2 * * * 30 extra words", "8 fields"),
        ("60 * * * *", "'60' is no minute (0-59)"),
        ("* 24 * * *", "'24' is no hour (0-23)"),
        ("* * 0 * *", "'0' is no day of month (1-31)"),
        ("* * 1-32 * *", "'32' is no day of month (1-31)"),
        ("* * * 13 *", "'13' is no month (1-12)"),
        ("* * * fry *", "'fry' is no month (1-12)"),
        ("* * * * 8", "'8' is no weekday (0-6)"),
        ("* * * * jan", "'jan' is no weekday (0-6)"),
        ("* * * * * 60", "'60' is no second (0-59)"),
        ("-1 * * * *", "not valid"),
        ("*/0 * * * *", "not valid"),
        ("*-5 * * * *", "not valid"),
        ("1-2-3 * * * *", "not valid"),
        ("1/2/3 * * * *", "not valid"),
        ("1,,2 * * * *", "not valid"),
        ("5-x * * * *", "not valid"),
        ("a b c d e", "not valid"),
        ("? * * * *", "not valid"),
        ("* * ?/2 * *", "not valid"),
        ("* * L-31 * *", "no month has 'l-31'; the furthest is L-30"),
        ("* * L-99 * *", "no month has 'l-99'; the furthest is L-30"),
        ("* * 0W * *", "'0' is no day of month (1-31)"),
        ("* * 32W * *", "'32' is no day of month (1-31)"),
        ("* * 15W/2 * *", "'15w/2': L, L-3, LW and 15W are single days, without a range or step"),
        ("* * LW/2 * *", "'lw/2': L, L-3, LW and 15W are single days"),
        ("* * L/2 * *", "'l/2': L, L-3, LW and 15W are single days"),
        ("* * L-3/2 * *", "'l-3/2': L, L-3, LW and 15W are single days"),
        ("* * L-3-5 * *", "'l-3-5': L, L-3, LW and 15W are single days"),
        ("* * L-3-L * *", "'l-3-l': L, L-3, LW and 15W are single days"),
        ("* * 15-L-3 * *", "'15-l-3': L, L-3, LW and 15W are single days"),
        ("* * L-L * *", "'l-l': L, L-3, LW and 15W are single days"),
        ("* * 1W-5W * *", "'1w-5w': L, L-3, LW and 15W are single days"),
        ("* * 1-5W * *", "'1-5w': L, L-3, LW and 15W are single days"),
        ("* * 1-LW * *", "'1-lw': L, L-3, LW and 15W are single days"),
        ("* * LW-3 * *", "'lw-3': L, L-3, LW and 15W are single days"),
        ("* * L-3W * *", "'l-3w': L, L-3, LW and 15W are single days"),
        ("* * 1,15W/2 * *", "'15w/2': L, L-3, LW and 15W are single days"),
        ("* * L- * *", "'l-': L, L-3, LW and 15W are single days"),
        ("* * W * *", "'w' is no day of month (1-31)"),
        ("* * WL * *", "'wl' is no day of month (1-31)"),
        ("* * W15 * *", "not valid"),
        ("* * 15WW * *", "not valid"),
        ("* * L3 * *", "not valid"),
        ("* * HW * *", "not valid"),
        ("* * *W * *", "not valid"),
        ("* * ٣W * *", "not valid"),
        ("* * L-٣ * *", "not valid"),
        ("* * jul * *", "'jul' is no day of month (1-31)"),
        ("* * wed * *", "'wed' is no day of month (1-31)"),
        (f"* * {'9' * 5000}W * *", "not valid"),
        ("* * * LW *", "'lw' is no month (1-12)"),
        ("* * * * LW", "'lw' is no weekday (0-6)"),
        ("* * * * L-3", "not valid"),
        ("* * * * 5W", "not valid"),
        (f"*/{'9' * 5000} * * * *", "not valid"),
        (f"{'0' * 5000} * * * *", "not valid"),
        ("* L * * *", "not valid"),
        ("* * * * L", "not valid"),
        ("* * * * L8", "not valid"),
        ("* * * * 1#0", "after # comes 1 to 5, not '0'"),
        ("* * * * 1#6", "after # comes 1 to 5, not '6'"),
        ("* * * * 1#", "after # comes 1 to 5, not ''"),
        ("٣ * * * *", "not valid"),
        ("@", "the nicknames are @yearly"),
        ("@every 5m", "the nicknames are @yearly"),
        ("@reboot", "a schedule has times only"),
        ("H * * * *", "H needs a name to hash"),
        ("R * * * *", "random"),
        ("0 r(0-5) * * *", "random"),
        ("0 0 R/2 * *", "random"),
        ("5,R * * * *", "random"),
        ("0 0 31 2 *", "never matches"),
        ("0 0 30 2 *", "never matches"),
        ("0 0 31 4,6,9,11 *", "never matches"),
        ("0 0 31 jun ?", "never matches"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said(cron, part):
    found = problem(cron)
    assert part in found
    assert repr(cron) in found


@pytest.mark.parametrize(
    ("cron", "part"),
    [
        ("H(0-99) * * * *", "'99' is no minute (0-59)"),
        ("H(9-9) * * * *", "does not ascend"),
        ("H(9-5)/2 * * * *", "does not ascend"),
        ("H/0 * * * *", "not valid"),
        ("H-5 * * * *", "not valid"),
    ],
)
@pytest.mark.parametrize("name", ["report", "invoices", "\udcff"])
def test_what_is_wrong_with_a_hash_does_not_depend_on_the_name(cron, part, name):
    assert part in problem(cron, name)


@pytest.mark.parametrize(
    "cron",
    ["0 0 31 2 mon", "0 0 31 1,2 *", "0 0 29 2 *", "0 0 l 2 *", "0 0 31 * *", "*/7 */5 */3 */2 */2 */11"],
)
def test_what_matches_at_least_once_in_four_years_is_right(cron):
    assert problem(cron) is None
    assert next(CronSlots(cron, "UTC").after(utc("2026-01-01 00:00"))) < utc("2030-01-01 00:00")


# Seconds first or last.


@pytest.mark.parametrize(
    ("cron", "seconds", "expected"),
    [
        ("0 0 6 * * 1-5", "first", "2026-06-04 06:00"),
        ("0 0 6 * * 1-5", "last", "2026-06-06 00:00:01"),
        ("0 0 6 * * 1-5", None, "2026-06-06 00:00:01"),
        ("*/10 * * * * *", "first", "2026-06-03 10:30:10"),
        ("0 30 6 ? * MON-FRI", "first", "2026-06-04 06:30"),
        ("30 6 * * *", "first", "2026-06-04 06:30"),
        ("@daily", "first", "2026-06-04 00:00"),
    ],
)
def test_the_author_says_where_the_seconds_are(cron, seconds, expected):
    assert problem(cron, seconds=seconds) is None
    assert next(CronSlots(cron, "UTC", seconds=seconds).after(utc("2026-06-03 10:30"))) == utc(expected)


@pytest.mark.parametrize(
    "cron",
    [
        "0 0 6 * * 1-5",
        "0 0 6 * * 1",
        "0 0 6 * * 0",
        "0 0 6 * * *",
        "*/10 * * * * *",
        "0 */5 * * * *",
        "0 15 10 * * *",
        "30 9 * * 1-5 0",
    ],
)
def test_a_cron_that_looks_as_if_its_seconds_came_first_is_said_to(cron):
    found = ambiguity(cron)
    assert repr(cron) in found
    assert "seconds='last' or seconds='first'" in found
    assert ambiguity(cron, seconds="first") is None
    assert ambiguity(cron, seconds="last") is None


@pytest.mark.parametrize(
    "cron",
    [
        "0 6 * * 1-5",
        "@daily",
        "* * * * * *",
        "* * * * * */30",
        "* * * * * 0",
        "0 12 * * * 30",
        "0 12 * * * */20",
        "59 2 * * * 59",
        "30 7 * * mon-fri 5",
        "30 30 * * * *",
        "nonsense",
    ],
)
def test_a_cron_that_makes_no_sense_with_its_seconds_first_is_left_alone(cron):
    """Also one with `*` for the second, which is unlikely to be meant, or with one meaning in both orders."""
    assert ambiguity(cron) is None


@pytest.mark.parametrize("cron", ["0 30 6 * * *", "0 0 12 ? * *", "0 0 6 * * MON-FRI", "0 0 0 * * *"])
def test_a_cron_that_makes_sense_with_its_seconds_first_only_is_told_how_to_say_so(cron):
    assert "seconds='first'" in problem(cron)
    assert problem(cron, seconds="first") is None
    assert "seconds=" not in problem("60 0 6 * * MON-FRI")
    assert "seconds=" not in problem(cron, seconds="last")


@pytest.mark.parametrize(
    "cron", ["*/90 * * * *", "0 */25 * * *", "0 0 */32 * *", "* * * * * */61", "H/90 * * * *"]
)
def test_a_step_beyond_its_field_is_told_and_keeps_the_slots_of_what_was_stored(cron):
    assert "steps beyond" in (ambiguity(cron, "report") or "")
    assert problem(cron, "report") is None


@pytest.mark.parametrize("cron", ["*/60 * * * *", "0 */24 * * *", "0 0 */31 * *"])
def test_a_step_of_the_whole_field_says_what_it_does(cron):
    assert ambiguity(cron) is None


@pytest.mark.parametrize(("cron", "same"), [("0 0 1 * */1", "0 0 1 * *"), ("0 0 */1 * 1", "0 0 * * 1")])
def test_every_first_value_of_a_day_field_is_a_star(cron, same):
    slots, expected = (
        list(islice(CronSlots(each, "UTC").after(utc("2026-06-03 10:30")), 5)) for each in (cron, same)
    )
    assert slots == expected
