"""When a study is complete (docs/architecture.md, "Complete"), and what is kept of it then.

Nothing in C-STORE says that a study has ended. It counts as complete when no object of it is in
flight, the association that last stored to it is released (or has been silent for `max_wait`), all
that was received before is indexed, and its source has been quiet for its quiet period. Where a person
says that nothing more comes, only what has come is waited for. Periods run
on the monotonic clock from the moment of indexing; the rows' `due_at` is read only at start, and
clamped, so no jump of the wall clock can complete a study early or never (case 57).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from node.config.models import Configuration
from node.index import corrections
from node.index.keeping import keep_facts, prepare
from node.index.looking import Looks
from node.index.recording import study_quiet
from node.items import Item, Items
from node.ledger import defects, exchanges, studies, study_ends, timers
from node.ledger.event_kinds import EventKind
from node.ledger.studies import Study, StudyImages
from node.ledger.timers import TimerKind
from node.stage import Node
from node.store.layout import InFlight
from node.wake import Stage

log = structlog.get_logger(__name__)

POLL = 1.0
"""Seconds after which to look again at what gives no signal: files, associations."""


@dataclass(frozen=True, slots=True)
class Doorstep:
    """What was at the door at one moment."""

    in_flight: tuple[InFlight, ...]
    open_associations: frozenset[str]
    at: float
    """Monotonic seconds."""


@dataclass(slots=True)
class _StudyWatch:
    due: float
    last: float
    """When the last object was indexed; monotonic seconds, like `due`."""


class CompletionWatch:
    """Watches the studies that are being received."""

    def __init__(self, node: Node, configuration: Configuration) -> None:
        self._ledger = node.ledger
        self._data_folder = node.store
        self._clock = node.clock
        self._wakes = node.wakes
        self._configuration = configuration
        self._watches: dict[str, _StudyWatch] = {}
        self._ended: Collection[str] = ()
        """Studies of which a person said that nothing more comes."""
        self._looks = Looks(node, configuration)
        self._items = Items(Stage.INDEX, node)

    def use(self, configuration: Configuration) -> None:
        """From now on, by this configuration."""
        self._configuration = configuration
        self._looks.use(configuration)

    def doorstep(self) -> Doorstep:
        """To be taken before the waiting receipts are listed: what is whole by then is among them."""
        at = self._clock.monotonic()
        return Doorstep(tuple(self._data_folder.in_flight()), self._data_folder.open_associations(), at)

    def arrived(self, study: str, quiet: timedelta) -> None:
        """An object of the study was indexed just now."""
        now = self._clock.monotonic()
        self._watches[study] = _StudyWatch(now + quiet.total_seconds(), now)

    def series_arrived(self, study: str, series: str, quiet: timedelta) -> None:
        """An object of the series was indexed just now."""
        self._looks.arrived(study, series, quiet)

    def run_once(self, doorstep: Doorstep, unindexed: bool, incomplete: Collection[str] = ()) -> float:
        """Complete what is complete; seconds until there may be more to do.

        `unindexed`: a receipt that came before `doorstep` could not be read yet. `incomplete`: studies with a receipt
        that is read, and tried again because it could not be recorded.
        """
        receiving = studies.receiving(self._ledger.database)
        self._forget_others({study.study_instance_uid for study in receiving})
        self._ended = study_ends.asked(self._ledger.database).keys()
        to_decide = False
        wait = POLL
        for study in receiving:
            uid = study.study_instance_uid
            look_after = partial(self._look_after, study, doorstep, unindexed, uid in incomplete)
            item = Item(f"study:{uid}", uid, event=EventKind.STUDY_NOT_COMPLETED)
            decide, left = self._items.handle(item, look_after, (False, POLL))
            to_decide, wait = to_decide or decide, min(wait, left)
        if to_decide:
            self._wakes.wake(Stage.ROUTE)
        return wait

    def _look_after(self, study: Study, doorstep: Doorstep, unindexed: bool, incomplete: bool) -> tuple[bool, float]:
        """Complete it, or look at it as it grows; whether there is something to be decided, and when to look again."""
        watch, uid = self._watch(study), study.study_instance_uid
        left = 0.0 if uid in self._ended else watch.due - doorstep.at
        if left <= 0 and not incomplete and not self._is_held_back(study, watch, doorstep, unindexed):
            self._complete(study)
            return True, POLL
        item = Item(f"look:{uid}", uid, event=EventKind.STUDY_NOT_LOOKED_AT)
        look = partial(self._looks.look, study, doorstep, unindexed=unindexed or incomplete)
        return self._items.handle(item, look, otherwise=False), left if left > 0 else POLL

    def _watch(self, study: Study) -> _StudyWatch:
        """The study's timer; at start, what its row leaves of the quiet period, but no more than that."""
        uid = study.study_instance_uid
        if uid not in self._watches:
            now = self._clock.monotonic()
            quiet = study_quiet(self._ledger.database, uid, self._configuration)
            left = min(max(study.due_at - self._clock.now(), timedelta()), quiet)
            self._watches[uid] = _StudyWatch(now + left.total_seconds(), now)
        return self._watches[uid]

    def _forget_others(self, receiving: Collection[str]) -> None:
        for uid in self._watches.keys() - receiving:
            del self._watches[uid]

    def _is_held_back(self, study: Study, watch: _StudyWatch, doorstep: Doorstep, unindexed: bool) -> bool:
        if study.images is StudyImages.PURGING:
            return True  # rows of it are being removed: what is left counts when that is over
        if doorstep.at - watch.last >= self._configuration.node.completion.max_wait.total_seconds():
            return False
        if study.study_instance_uid in self._ended:
            return unindexed
        if unindexed or study.last_association in doorstep.open_associations:
            return True
        return any(one.study_instance_uid in (None, study.study_instance_uid) for one in doorstep.in_flight)

    def _complete(self, row: Study) -> None:
        now, study = self._clock.now(), row.study_instance_uid
        corrections.settle(self._ledger, now, study, self._configuration)
        prepared = prepare(self._ledger, study, row.revision + 1)
        with self._ledger.transaction() as database:
            if exchanges.is_open(database, study):
                return  # a person has just begun to take what came last: it is complete when that is over
            revision = studies.complete(database, now, study)
            keep_facts(database, study, revision, 0, prepared)
            timers.stop_others(database, study, TimerKind.GROWING)
            study_ends.done(database, study)
            defects.study_changed(database, study, Stage.ROUTE)
            defects.settled(database, Stage.INDEX, f"look:{study}")
        del self._watches[study]
        self._looks.forget(study)
        log.info("index.study-complete", study=study, revision=revision)
