"""Faults that this package once had, each as the shortest story that shows it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fixtures.clock import SchemaClock
from tests.model.facts import Wrong
from tests.model.schedules import DAY, HOUR, MINUTE
from tests.model.steps import (
    FIELDS,
    SCHEDULES,
    Ack,
    Backfill,
    Cancel,
    Create,
    CutTick,
    Deploy,
    Drop,
    Early,
    LoseSchema,
    Move,
    Pause,
    Purge,
    Read,
    Resume,
    Step,
    Story,
    Tick,
)
from tests.model.world import World


def deploy(name: str = "a", **changes: object) -> Deploy:
    """A deploy that gives fields these values."""
    return Deploy(0, name, {each: FIELDS[each].index(value) for each, value in changes.items()})


def every(seconds: int) -> object:
    return next(each for each in SCHEDULES if getattr(each, "seconds", None) == seconds)


def story(*steps: Step, **world: object) -> Story:
    return Story(steps, **world)  # type: ignore[arg-type]


YEARLY = SCHEDULES[-1]
DAILY_AT_2 = next(
    each for each in SCHEDULES if getattr(each, "hour", None) == 2 and each.zone == "Europe/Berlin"
)
ANOTHER = {"n": 2}
NOON = timedelta(hours=2)

STORIES = {
    # Not a fault: a job stops at its dead letter, goes on when it is resumed, and stops at the next one.
    "dead letters pause a job": story(
        deploy(pauses=True, schedule=every(60)),
        *(Move(5 * MINUTE), Tick(), Read("mail", 5, 60), Ack("mail", 0, "dead_letter"), Tick(), Move(MINUTE)),
        *(Tick(), Move(MINUTE), Resume("a"), Tick(), Move(MINUTE), Tick(), Move(MINUTE)),
        *(Read("mail", 5, 60), Ack("mail", 1, "dead_letter"), deploy(payload=ANOTHER), Move(MINUTE), Tick()),
        *(deploy(pauses=False), Move(MINUTE), Resume("a"), deploy(pauses=True), Move(MINUTE), Tick()),
    ),
    # What a deploy takes back is sent by the new definition.
    "payload of a job with jitter, none": story(
        deploy(jitter=HOUR, catch_up="none"), *[Move(5 * MINUTE), Tick()] * 8, deploy(payload=ANOTHER)
    ),
    "payload of a job with jitter, last": story(
        deploy(jitter=HOUR, catch_up="last"),
        *[Move(5 * MINUTE), Tick()] * 8,
        deploy(payload=ANOTHER),
    ),
    "payload of a job with jitter, limit": story(
        deploy(jitter=HOUR, limit=3), *[Move(5 * MINUTE), Tick()] * 8, deploy(payload=ANOTHER)
    ),
    # The ledger's key was per queue.
    "another queue with jitter": story(
        deploy(jitter=HOUR, schedule=every(60)), *[Move(5 * MINUTE), Tick()] * 4, deploy(queue="post")
    ),
    "another queue and a cancelled slot": story(Tick(), Cancel("mail", 0), deploy(queue="post")),
    "another queue and a slot shown early": story(Tick(), Early("mail", 0), deploy(queue="post")),
    "another queue and an overlap": story(
        deploy(overlap="skip"), Move(5 * MINUTE), Tick(), deploy(queue="post"), Move(5 * MINUTE), Tick()
    ),
    "there and back again": story(
        deploy(jitter=HOUR), Move(5 * MINUTE), Tick(), deploy(queue="post"), deploy(queue="mail")
    ),
    # A definition begins at its deploy.
    "another cron after a pause": story(
        deploy(schedule=YEARLY),
        Pause("a"),
        Move(HOUR),
        deploy(schedule=every(60)),
        Move(5 * MINUTE),
        Resume("a"),
        Tick(),
    ),
    "another cron after an outage": story(deploy(schedule=YEARLY), Move(HOUR), deploy(schedule=every(60))),
    "another payload after an outage": story(Tick(), Move(HOUR), deploy(payload=ANOTHER)),
    # A watermark beyond the look-ahead.
    "the clock ahead and back": story(
        deploy(schedule=every(60), limit=3),
        Move(DAY),
        Tick(),
        Move(-DAY),
        *[Tick(), Move(5 * MINUTE)] * 5,
        Tick(),
    ),
    # A message for tomorrow does not make `skip` leave today's out.
    "the clock ahead and back, without overlap": story(
        deploy(schedule=every(60), overlap="skip"),
        Move(MINUTE),
        Tick(),
        *(Read("mail", 5, 60), Ack("mail", 0, "delete")),
        Move(DAY),
        Tick(),
        Move(-DAY),
        *[Move(MINUTE), Tick()] * 5,
    ),
    "the clock ahead by less than is looked ahead, without overlap": story(
        deploy(schedule=every(60), overlap="skip"),
        *(Move(9 * MINUTE), Tick(), Read("mail", 5, 60), Ack("mail", 0, "delete"), Move(-9 * MINUTE)),
        *[Move(MINUTE), Tick(), Read("mail", 5, 60), Ack("mail", 0, "delete")] * 8,
    ),
    "the clock back": story(Tick(), Move(-HOUR), Tick(), Move(5 * MINUTE), Tick()),
    "the clock back, and a pause": story(
        deploy(schedule=every(60)),
        *[Move(5 * MINUTE), Tick()] * 2,
        Move(-HOUR),
        Pause("a"),
        Move(5 * MINUTE),
        Resume("a"),
        *[Tick(), Move(10 * MINUTE)] * 8,
    ),
    "a pause, and the clock back": story(
        deploy(schedule=every(60), jitter=HOUR),
        *[Move(5 * MINUTE), Tick()] * 2,
        Pause("a"),
        Move(-HOUR),
        Tick(),
        Resume("a"),
        *[Tick(), Move(10 * MINUTE)] * 8,
    ),
    "a pause while the clock is ahead": story(
        deploy(schedule=every(60), catch_up="none"),
        Move(DAY),
        Tick(),
        Pause("a"),
        Move(-DAY),
        Resume("a"),
        *[Tick(), Move(10 * MINUTE)] * 3,
    ),
    # No change.
    "the order of keys in a payload": story(Tick(), Deploy(0, "a", {"payload": 1})),
    "the order of keys in headers": story(Deploy(0, "a", {"headers": 1}), Deploy(0, "a", {"headers": 2})),
    # Incarnations of a queue.
    "a queue made again": story(Tick(), Create("mail"), Tick()),
    "a queue made again later": story(
        deploy(schedule=every(60)), Create("mail"), Move(3 * MINUTE), Tick(), Move(HOUR), Tick()
    ),
    "a queue made again after an outage": story(
        deploy(schedule=every(60), catch_up="none"), Create("mail"), Move(HOUR), Tick()
    ),
    "a queue made again and a deploy": story(Tick(), Create("mail"), deploy(queue="post")),
    "the only queue of a job made again and a deploy": story(
        deploy(queue="post"), Move(5 * MINUTE), Tick(), Create("post"), deploy(queue="mail")
    ),
    "a queue made again, and a deploy once its slots are past": story(
        Tick(), Create("mail"), Move(5 * MINUTE), deploy(payload=ANOTHER)
    ),
    "a queue made again while paused": story(Tick(), Pause("a"), Create("mail"), Resume("a"), Tick()),
    "a queue made again that had shown messages": story(
        Tick(), Move(5 * MINUTE), Read("mail", 1, 60), Create("mail"), Tick()
    ),
    "a queue made again, and older code is first to see it": story(
        deploy(version=1), Tick(1, rollback=False), Create("mail"), Tick(1, rollback=False), Tick()
    ),
    "a queue made again, then a pause": story(
        Tick(), Create("mail"), Pause("a"), Tick(), Resume("a"), Tick(), Move(5 * MINUTE), Tick()
    ),
    "a queue that is missing while its job is paused": story(
        deploy("b", queue="post"), Drop("mail"), Pause("a"), Create("mail"), Tick(), Resume("a"), Tick()
    ),
    "a queue made again, and nobody ticks for days": story(
        deploy(schedule=every(60), catch_up="none"), Create("mail"), Move(3 * DAY), Tick()
    ),
    "our schema lost": story(Tick(), LoseSchema(), Tick()),
    "our schema lost, and messages were shown early": story(
        Tick(), Early("mail", 0), Read("mail", 0, 60), LoseSchema(), Tick()
    ),
    # A session's zone, on both days.
    **{
        f"clocks change, session {zone}, {start}": story(
            deploy(schedule=DAILY_AT_2),
            deploy("b", schedule=every(900)),
            *[Move(20 * MINUTE), Tick()] * 9,
            start=start,
            session_zone=zone,
        )
        for zone in ("UTC", "Europe/Berlin", "Asia/Tokyo")
        for start in (1, 2)
    },
    # Expired before it is sent.
    "expired after an outage": story(deploy(ttl=5 * MINUTE), Move(HOUR), Tick()),
    "expired by jitter": story(deploy(ttl=5 * MINUTE, jitter=HOUR), Move(HOUR), Tick()),
    # What was right before, and must stay.
    "cuts": story(
        *[
            step
            for trip in range(1, 24)
            for before in (True, False)
            for step in (Move(5 * MINUTE), CutTick(0, trip, before), Tick())
        ],
        Tick(),
    ),
    "cut deploys": story(
        *[
            step
            for trip in range(1, 24)
            for before in (True, False)
            for step in (deploy(jitter=HOUR), Move(5 * MINUTE), CutTick(1, trip, before), Tick(1))
        ],
        Tick(),
    ),
    "backfills": story(Tick(), Backfill(0, -2 * HOUR, 3 * HOUR), Backfill(0, -2 * HOUR, 3 * HOUR), Tick()),
    # What does not happen in time.
    "nobody acks": story(deploy(schedule=every(300)), *[Move(10 * MINUTE), Tick()] * 5),
    "acked too late, and nobody looked": story(
        Tick(), Move(HOUR), Read("mail", 5, 60), Ack("mail", 0, "archive"), Ack("mail", 0, "delete"), Tick()
    ),
    "expired, and nobody looked": story(
        deploy(ttl=HOUR), Move(2 * HOUR), Read("mail", 5, 60), Ack("mail", 0, "archive"), Tick()
    ),
    "an outage": story(deploy(schedule=every(900)), Move(3 * HOUR), Tick(), Move(MINUTE), Tick()),
    "an outage that leaves slots out": story(
        deploy(schedule=every(900), catch_up="none"), Move(3 * HOUR), Tick(), Move(MINUTE), Tick()
    ),
    "a pause": story(Tick(), Pause("a"), Move(HOUR), Tick(), Resume("a"), Tick(), Move(MINUTE), Tick()),
    "a backfill of the past": story(Tick(), Move(HOUR), Tick(), Backfill(0, -2 * HOUR, HOUR), Tick()),
    "no longer expected, and expected again": story(
        Tick(), Move(HOUR), deploy(expect=None), Move(HOUR), deploy(expect=20 * MINUTE), Move(HOUR), Tick()
    ),
    "expected later": story(Tick(), Move(HOUR), Tick(), deploy(expect=3 * HOUR), Move(2 * HOUR), Tick()),
    "a queue made again, and nobody acks": story(
        Tick(), Create("mail"), Move(HOUR), Tick(), Move(HOUR), Tick()
    ),
    "the clock goes back": story(Tick(), Move(HOUR), Tick(), Move(-HOUR), Tick(), Move(HOUR), Tick()),
    "purge": story(Tick(), Purge("mail"), Tick(), Move(HOUR), Tick()),
}


@pytest.mark.parametrize("name", STORIES)
def test_story(moving: SchemaClock, name: str):
    try:
        World(moving, STORIES[name]).run()
    except Wrong as wrong:
        pytest.fail(str(wrong), pytrace=False)
