"""When a study is complete (docs/architecture.md, "Complete"), and what is kept of it then.

Nothing in C-STORE says that a study has ended. It counts as complete when no object of it is in
flight, the association that last stored to it is released (or has been silent for `max_wait`), all
that was received before is indexed, and its source has been quiet for its quiet period. Periods run
on the monotonic clock from the moment of indexing; the rows' `due_at` is read only at start, and
clamped, so no jump of the wall clock can complete a study early or never (faults.md 57).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

import structlog

from node.clock import Clock
from node.config.models import Configuration
from node.errors import NodeError
from node.index import corrections
from node.index.keeping import keep_facts
from node.index.looking import Looks
from node.index.recording import study_quiet
from node.ledger import events, studies, timers
from node.ledger.database import Ledger
from node.ledger.events import Severity
from node.ledger.studies import Study
from node.ledger.timers import TimerKind
from node.signal import Room, Signal
from node.spool import InFlight, Spool

log = structlog.get_logger()

_TRY_AGAIN = 600.0
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
class _Watch:
    due: float
    last: float
    """When the last object was indexed; monotonic seconds, like `due`."""


class CompletionWatch:
    """Watches the studies that are being received."""

    def __init__(
        self, ledger: Ledger, spool: Spool, clock: Clock, signal: Signal, configuration: Configuration
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._signal = signal
        self.configuration = configuration
        self._watches: dict[str, _Watch] = {}
        self._looks = Looks(ledger, clock, configuration)
        self._not_looked_at: set[str] = set()
        """Studies that could not be looked at early, for a reason nobody foresaw."""

    def reconfigure(self, configuration: Configuration) -> None:
        """From now on, by this configuration."""
        self.configuration = self._looks.configuration = configuration

    def doorstep(self) -> Doorstep:
        """To be taken before the waiting receipts are listed: what is whole by then is among them."""
        at = self._clock.monotonic()
        return Doorstep(tuple(self._spool.in_flight()), self._spool.open_associations(), at)

    def arrived(self, study: str, quiet: timedelta) -> None:
        """An object of the study was indexed just now."""
        now = self._clock.monotonic()
        self._watches[study] = _Watch(now + quiet.total_seconds(), now)

    def series_arrived(self, study: str, series: str, quiet: timedelta) -> None:
        """An object of the series was indexed just now."""
        self._looks.arrived(study, series, quiet)

    def run_once(self, doorstep: Doorstep, unindexed: bool) -> float:
        """Complete what is complete; seconds until there may be more to do.

        `unindexed`: a receipt that came before `doorstep` could not be read yet.
        """
        receiving = studies.receiving(self._ledger.database)
        self._forget_others({study.study_instance_uid for study in receiving})
        to_decide = False
        wait = POLL
        for study in receiving:
            watch = self._watch(study)
            left = watch.due - doorstep.at
            if left > 0:
                wait = min(wait, left)
            elif not self._is_held_back(study, watch, doorstep, unindexed):
                to_decide = self._try_to_complete(study.study_instance_uid, watch) or to_decide
                continue
            to_decide = self._try_to_look(study, doorstep, unindexed) or to_decide
        if to_decide:
            self._signal.wake(Room.ROUTE)
        return wait

    def _watch(self, study: Study) -> _Watch:
        """The study's timer; at start, what its row leaves of the quiet period, but no more than that."""
        uid = study.study_instance_uid
        if uid not in self._watches:
            now = self._clock.monotonic()
            quiet = study_quiet(self._ledger.database, uid, self.configuration)
            left = min(max(study.due_at - self._clock.now(), timedelta()), quiet)
            self._watches[uid] = _Watch(now + left.total_seconds(), now)
        return self._watches[uid]

    def _forget_others(self, receiving: Collection[str]) -> None:
        for uid in self._watches.keys() - receiving:
            del self._watches[uid]

    def _is_held_back(self, study: Study, watch: _Watch, doorstep: Doorstep, unindexed: bool) -> bool:
        if doorstep.at - watch.last >= self.configuration.node.completion.max_wait.total_seconds():
            return False
        if unindexed or study.last_association in doorstep.open_associations:
            return True
        return any(one.study_instance_uid in (None, study.study_instance_uid) for one in doorstep.in_flight)

    def _try_to_complete(self, study: str, watch: _Watch) -> bool:
        """Complete it; a study that cannot be, for a reason nobody foresaw, must not keep the others from it."""
        try:
            self._complete(study)
        except NodeError:
            raise
        except Exception as error:
            log.exception("study.not-completed", study=study)
            watch.due = self._clock.monotonic() + _TRY_AGAIN
            with self._ledger.transaction() as database:
                events.record(
                    database, self._clock.now(), "study.not-completed", study=study, severity=Severity.ALERT,
                    reason=f"{type(error).__name__}; the log says where",
                )  # fmt: skip
            return False
        return True

    def _try_to_look(self, study: Study, doorstep: Doorstep, unindexed: bool) -> bool:
        """Look at what has come so far; one that cannot be looked at is decided when it is complete."""
        uid = study.study_instance_uid
        if uid in self._not_looked_at:
            return False
        try:
            return self._looks.look(study, doorstep, unindexed=unindexed)
        except NodeError:
            raise
        except Exception as error:
            log.exception("study.not-looked-at", study=uid)
            self._not_looked_at.add(uid)
            with self._ledger.transaction() as database:
                events.record(
                    database, self._clock.now(), "study.not-looked-at", study=uid, severity=Severity.ALERT,
                    reason=f"{type(error).__name__}; the log says where",
                )  # fmt: skip
            return False

    def _complete(self, study: str) -> None:
        now = self._clock.now()
        with self._ledger.transaction() as database:
            corrections.settle(database, now, study, self.configuration)
            revision = studies.complete(database, now, study)
            keep_facts(database, study, revision)
            timers.stop_others(database, study, TimerKind.GROWING)
        del self._watches[study]
        self._looks.forget(study)
        self._not_looked_at.discard(study)
        log.info("study.complete", study=study, revision=revision)
