"""Calendar jobs: at the site's time of day, over changes of the clock, made up where that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from apscheduler.executors import base as executors
from apscheduler.schedulers import base as schedulers
from structlog.testing import capture_logs

from node.app import sweep
from node.app.schedule import Schedule, daily_trigger
from node.app.sweep import Sweep
from node.app.workers import Worker, Workers
from node.ledger.database import FILE, Ledger
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Stage, Wakes
from tests.support.clocks import HandClock
from tests.support.wait import until

BERLIN = ZoneInfo("Europe/Berlin")


def runs(at: time, zone: ZoneInfo, begin: datetime, count: int = 3) -> list[str]:
    """When a daily job runs, in UTC."""
    trigger, previous, now, found = daily_trigger(at, zone), None, begin, []
    for _ in range(count):
        previous = now = trigger.get_next_fire_time(previous, now)
        found.append(previous.astimezone(UTC).strftime("%d %H:%M"))
    return found


def test_a_job_runs_at_the_time_of_day_of_the_site() -> None:
    """Whatever zone the machine has: two o'clock in Seoul is five in the afternoon before in UTC."""
    seoul = ZoneInfo("Asia/Seoul")
    assert runs(time(2), seoul, datetime(2026, 3, 1, 12, tzinfo=seoul)) == ["01 17:00", "02 17:00", "03 17:00"]


def test_a_time_that_is_skipped_is_made_up_for_an_hour_later() -> None:
    """There is no 02:30 on 29 March 2026: the job runs at 03:30, and the next day at 02:30."""
    assert runs(time(2, 30), BERLIN, datetime(2026, 3, 28, 12, tzinfo=BERLIN)) == ["29 01:30", "30 00:30", "31 00:30"]


def test_a_job_at_a_time_that_comes_twice_runs_twice() -> None:
    """02:30 comes twice on 25 October 2026."""
    assert runs(time(2, 30), BERLIN, datetime(2026, 10, 24, 12, tzinfo=BERLIN)) == ["25 00:30", "25 01:30", "26 01:30"]


@pytest.fixture
def schedule() -> Iterator[Schedule]:
    made = Schedule(BERLIN)
    yield made
    made.close()


def test_missed_runs_are_made_up_once_at_the_start_by_jobs_that_say_so(schedule: Schedule) -> None:
    """One that ran days ago runs now, once. One that ran since waits for its time, as one that makes nothing up."""
    now = datetime.now(BERLIN)
    at = (now - timedelta(hours=1)).time()
    ran: list[str] = []
    schedule.daily("made-up", at, lambda: ran.append("made-up"), make_up_since=now - timedelta(days=9))
    schedule.daily("ran", at, lambda: ran.append("ran"), make_up_since=now - timedelta(minutes=1))
    schedule.daily("not-made-up", at, lambda: ran.append("not-made-up"))
    schedule.start()
    until(lambda: ran, what="the job that is made up for")
    schedule.close()
    assert ran == ["made-up"]


def test_a_job_is_moved_by_its_name_and_taken_out(schedule: Schedule) -> None:
    """A reload changes the time of day, or wants it no more; before the start and after it."""
    done: list[str] = []
    now = datetime.now(UTC)
    for number, begin in enumerate((lambda: None, schedule.start)):
        begin()
        schedule.daily(f"moved-{number}", time(1), lambda: done.append("moved"))
        schedule.daily(f"moved-{number}", time(2), lambda: done.append("to"), make_up_since=now - timedelta(days=2))
        schedule.daily(f"out-{number}", time(1), lambda: done.append("out"), make_up_since=now + timedelta(days=2))
        schedule.forget(f"out-{number}")
        schedule.forget("never there")
    until(lambda: len(done) == 2, what="the jobs that are made up for")
    assert done == ["to", "to"]


def test_a_job_that_fails_is_said_without_what_it_was_about(schedule: Schedule) -> None:
    """Its place in the code is logged, no text that may name a patient; it has its turn the next day."""

    def fails() -> None:
        raise KeyError("Hong^Gildong")

    with capture_logs() as said:
        schedule.daily("purge", time(2), fails, make_up_since=datetime(2026, 1, 1, tzinfo=UTC))
        schedule.start()
        until(lambda: said, what="the failure in the log")
    (line,) = said
    assert (line["event"], line["job"]) == ("app.calendar-job-failed", "purge")
    assert "Hong" not in str(line)


class SetClock(datetime):
    """The wall clock, as somebody has set it."""

    by = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override] # of any kind
        return datetime.now(tz) + cls.by


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> type[SetClock]:
    """The clock by which APScheduler goes."""
    monkeypatch.setattr(SetClock, "by", timedelta())
    for module in (schedulers, executors):
        monkeypatch.setattr(module, "datetime", SetClock)
    return SetClock


def test_a_clock_that_is_set_back_a_day_does_not_stop_the_sweep(
    tmp_path: Path, wall: type[SetClock], schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stages are woken after that as before; a scheduler that goes by the wall clock would sleep for the day."""
    monkeypatch.setattr(sweep, "SECONDS", 0.01)
    node = Node(Ledger(tmp_path / FILE), DataFolder(tmp_path), HandClock(), Wakes())
    bell = node.wakes.subscribe(Stage.DELIVER)
    schedule.start()
    workers = Workers(node.wakes)
    workers.start([Worker("sweep", Sweep(node, schedule))])
    assert bell.wait(60)
    wall.by = timedelta(days=-1)
    for _ in range(3):
        bell.clear()
        assert bell.wait(60)
    workers.end(["sweep"])
    workers.join(60)


def test_a_calendar_job_that_is_due_since_the_clock_was_set_runs_at_the_next_look(
    wall: type[SetClock], schedule: Schedule
) -> None:
    """It was six hours away; the clock is set ahead by as much, and nobody sleeps for six hours."""
    ran: list[str] = []
    schedule.daily("upkeep", (datetime.now(BERLIN) + timedelta(hours=6)).time(), lambda: ran.append("upkeep"))
    schedule.start()
    schedule.look()
    assert not ran
    wall.by = timedelta(hours=6, minutes=1)
    schedule.look()
    until(lambda: ran, what="the calendar job")
