"""How every stage handles its items: an unexpected exception costs one item, never the stage (case 99).

A stage says what it handles (`Item`) and how. Failures that it foresees it settles itself. Any other exception is
caught here, around the one item: it is logged by its place, without its text, which may hold a patient's data; it is a
row of the ledger (`node.ledger.defects`), so that a restart neither forgets nor hammers it; the first is an alert; the
next tries come ever later; and after the last one the item ends in the dead letter of its kind, or is parked.

    items = Items("notify", node)
    for each in notifications.due(ledger.database, clock.now()):
        items.handle(Item(f"notification:{each.id}", study=each.study_instance_uid), partial(self._notify, each), None)

What is not the item's fault goes through, and the stage as a whole is tried again (`node.app.workers`): the ledger is
locked or damaged, the disk is full, the process stops.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import structlog

from node.errors import LedgerError, TransientError, is_of_the_machine
from node.ledger import alerts, defects, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Database
from node.ledger.defects import Defect
from node.ledger.event_kinds import EventKind
from node.stage import Node

log = structlog.get_logger(__name__)

TRIES = 8
"""Over two hours and 55 minutes. A mistake of the program does not pass, but what provokes it often does (a peer that
is restarted, a file system that comes back), and by then a person has had the alert for hours."""
_FIRST, _FACTOR, _LONGEST = timedelta(seconds=10), 4, timedelta(hours=1)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Item:
    """What a stage handles."""

    key: str
    """Its kind and what identifies it, stable over restarts: `delivery:5`."""
    study: str | None = None
    job: str | None = None
    delivery: int | None = None
    event: EventKind = EventKind.ITEM_FAILED
    """Kind of the alert when it begins to fail."""
    tries: int = TRIES
    put_off: Callable[[Database, datetime, datetime, str], bool | None] | None = None
    """Writes (now, not before, why) into the item's own row, where that has a time; without it the defect's row keeps
    the time. True where that are many rows and some are left: it is called again, in the next transaction."""
    give_up: Callable[[Database, datetime, str], bool | None] | None = None
    """Makes it a dead letter of its kind (now, why), which `retry` knows, and returns what `put_off` returns; without
    it the item is parked."""
    find_study: Callable[[], str | None] | None = None
    """Where only the work tells its study: asked after it has failed."""
    parks: bool = False
    """It is parked although there is a `give_up`, which then only says so where people look."""


def pause(times: int) -> timedelta:
    """Between failure number `times` and the next try: 10 s, 40 s, 160 s … an hour."""
    delay: timedelta = _FIRST * _FACTOR ** min(times - 1, TRIES)
    return min(delay, _LONGEST)


class Items:
    """The items of one stage; for the thread of that stage."""

    def __init__(self, stage: str, node: Node) -> None:
        self.stage = stage
        self._ledger = node.ledger
        self._clock = node.clock

    def handle(self, item: Item, work: Callable[[], T], otherwise: T, *, last: bool = True) -> T:
        """What `work` returns; `otherwise` where it fails, or its time for another try has not come.

        `last`: false for a step after which another one of the same item follows: that it goes well says nothing yet.
        Raises what is not the item's fault: TransientError, LedgerError, OSError of a full disk.
        """
        known = defects.get(self._ledger.database, self.stage, item.key)
        if known is not None and not self._is_due(known):
            return otherwise
        try:
            done = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must cost this item and no other
            self._failed(item, self._of_the_item(error))
            return otherwise
        if known is not None and last:
            self._recovered([known])
        return done

    def due(self, keys: Iterable[str]) -> list[str]:
        """Those that may be tried now, in their order; for stages that handle many at once."""
        known = {each.item: each for each in defects.of_stage(self._ledger.database, self.stage)}
        return [key for key in keys if key not in known or self._is_due(known[key])]

    def handled(self, keys: Collection[str]) -> None:
        """These were handled, many at once: nothing of them has to be tried again."""
        self._recovered([each for each in defects.of_stage(self._ledger.database, self.stage) if each.item in keys])

    def is_parked(self, key: str) -> bool:
        """Whether it is given up."""
        known = defects.get(self._ledger.database, self.stage, key)
        return known is not None and known.parked

    def let_through(self, error: Exception) -> None:
        """Raise what `handle` would let through; for stages that handle several at once, and then each alone."""
        self._of_the_item(error)

    def _is_due(self, known: Defect) -> bool:
        """A time that is further off than any pause was written by a clock that was wrong."""
        left = (known.not_before - self._clock.now()) if known.not_before else timedelta()
        return not known.parked and not timedelta() < left <= _LONGEST

    def _of_the_item(self, error: Exception) -> Exception:
        """The error, where it may be the item's fault; raises it where it is not."""
        named = self._ledger.named(error)
        if isinstance(named, TransientError | LedgerError):
            raise named from error
        if is_of_the_machine(error):
            raise error
        return error

    def _recovered(self, those: Sequence[Defect]) -> None:
        for known in those:
            item = Item(known.item, known.study_instance_uid, known.job, known.delivery)
            with self._ledger.transaction() as database:
                defects.settled(database, self.stage, item.key)
                events.record(
                    database,
                    self._clock.now(),
                    EventKind.ITEM_RECOVERED,
                    study=item.study,
                    job=item.job,
                    delivery=item.delivery,
                    stage=self.stage,
                    item=item.key,
                )
            log.info("items.recovered", stage=self.stage, item=item.key)

    def _failed(self, item: Item, error: Exception) -> None:
        if item.find_study is not None:
            item = replace(item, study=item.find_study())
        why = defect_of(error)
        log.error("items.failed", stage=self.stage, item=item.key, place=place_of(error), frames=frames_of(error))
        try:
            self._settle(item, why)
        except Exception as second:  # noqa: BLE001 - its own row cannot say so either: the defect's row does
            self._of_the_item(second)
            log.error("items.not-settled", stage=self.stage, item=item.key, place=place_of(second))
            self._settle(replace(item, put_off=None, give_up=None), why)

    def _settle(self, item: Item, why: str) -> None:
        """Again later, or no more; in one transaction with what says so, but for what is left of many rows."""
        now = self._clock.now()
        about = {"study": item.study, "job": item.job, "delivery": item.delivery}
        with self._ledger.transaction() as database:
            defect = defects.failed(database, now, self.stage, item.key, why, **about)  # type: ignore[arg-type] # as Item has them
            if defect.times == 1:
                self._alert(database, item, item.event, error=why)
            left = self._write(database, item, defect, why)
        while left:
            with self._ledger.transaction() as database:
                left = self._write(database, item, defect, why)

    def _write(self, database: Database, item: Item, defect: Defect, why: str) -> bool:
        """What follows from a failure; whether some rows are left. The defect ends with the last of them."""
        if defect.times < item.tries:
            again = defect.last_at + pause(defect.times)
            if item.put_off is not None:
                return bool(item.put_off(database, defect.last_at, again, why))
            defects.put_off(database, defect, again)
            return False
        why = f"{why}; {defect.times} tries"
        if item.give_up is not None and item.give_up(database, defect.last_at, why):
            return True
        if item.give_up is not None and not item.parks:
            defects.settled(database, self.stage, item.key)
            return False
        defects.park(database, defect)
        self._alert(database, item, EventKind.ITEM_PARKED, error=why, retry=f"defect:{defect.id}")
        return False

    def _alert(self, database: Database, item: Item, event: EventKind, **detail: str) -> None:
        """One alert an item, however often it fails and whatever becomes of it."""
        alerts.raised(
            database,
            self._clock.now(),
            AlertKind(item.event),
            f"{self.stage} {item.key}",
            study=item.study,
            job=item.job,
            delivery=item.delivery,
            event=event,
            stage=self.stage,
            item=item.key,
            **detail,
        )


def place_of(error: BaseException) -> str:
    """For the log, `KeyError in stage.py, line 17`: where it happened, without its text."""
    where = _where(error)
    return f"{type(error).__name__}{f' in {where}' if where else ''}"


def defect_of(error: BaseException) -> str:
    """For people, `an error in the program (stage.py, line 17), which the log names`: whoever calls this logs it."""
    where = _where(error)
    return f"an error in the program{f' ({where})' if where else ''}, which the log names"


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def frames_of(error: BaseException) -> list[str]:
    """The frames, for the log; without the message and without values."""
    return traceback.format_tb(error.__traceback__)
