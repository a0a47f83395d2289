"""The fetch stage: seeks, has it sent, and says when it is here. Also what retention removed and a job needs.

    seeking ──C-FIND, C-MOVE──► arriving ──complete──► fetched
       └── none, or not in time: the rule says whether the plugin runs without it

Each step is in the ledger before it is taken; a node that died while the archive was sending asks again,
and what came twice is a duplicate. What arrives is known as fetched by the request (`ledger.fetches`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from node.config.destinations import DicomDestination, dicom_destinations
from node.config.models import Configuration
from node.errors import NodeError, PermanentError, TransientError
from node.fetch import removed, seeking
from node.items import Item, Items
from node.ledger import fetches, instances, studies
from node.ledger.database import Database
from node.ledger.fetches import Fetch, FetchStatus
from node.ledger.instances import Instance
from node.ledger.studies import Study, StudyStatus
from node.stage import Node, NodeStage
from node.wake import Stage

log = structlog.get_logger(__name__)

_IDLE = 60.0
_LEAST = 1.0
"""Seconds between two runs: what is due by then has become so while this one ran."""
_TRIES = 5
"""After an unexpected exception: a quarter of an hour, within the time that a rule waits for an earlier study."""
_AGAIN = timedelta(seconds=2)
"""Between two looks at whether all that was sent is complete here."""
_FIRST, _LONGEST = timedelta(seconds=5), timedelta(minutes=5)
"""Between two tries at an archive that fails: as long again as it has been tried for."""
_UNSENT = timedelta(minutes=5)
"""After this long without a first image, the archive is asked once more."""


class PriorArchive(Protocol):
    """What is asked of an archive (`node.dimse.retrieve_scu.QueryRetrieve`)."""

    def find_studies(self, keys: Mapping[str, str], keywords: Sequence[str]) -> Sequence[Mapping[str, str]]:
        """Studies that match these keys."""
        ...

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> Sequence[Mapping[str, str]]:
        """The series of a study."""
        ...

    def move(self, study_instance_uid: str, series_instance_uid: str, to: str, within: float) -> int | None:
        """Have it send a series, in at most `within` seconds; how many images it has sent, None if it does not say."""
        ...


ArchiveOf = Callable[[DicomDestination, str], PriorArchive]
"""Makes what is asked of a destination; the text is the AE title of this node."""


class FetchStage(NodeStage):
    """The stage for one archive, so that one that hangs holds up no other; one thread calls `run_once`.

    `Deadlines` looks after all that it does not get to.
    """

    def __init__(self, name: str, node: Node, configuration: Configuration, archive_of: ArchiveOf) -> None:
        """`name` of the destination that is asked."""
        self._name = name
        self._ledger = node.ledger
        self._clock = node.clock
        self._wakes = node.wakes
        self._archive_of = archive_of
        self._items = Items(Stage.FETCH, node)
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Ask this archive as it says, from the next fetch on; it is asked to send to our AE title."""
        title = configuration.node.ae_title
        destination = dicom_destinations(configuration.destinations)[self._name]
        self._archive_and_title = self._archive_of(destination, title), title

    def run_once(self) -> float:
        """Do what is due; seconds until something may be due again."""
        now = self._clock.now()
        for fetch in fetches.due(self._ledger.database, now):
            if fetch.source != self._name:
                continue
            self._items.handle(self._item(fetch), partial(self._try, fetch), None)
        next_at = fetches.next_due_at(self._ledger.database, [self._name])
        return _IDLE if next_at is None else min(_IDLE, max(_LEAST, (next_at - self._clock.now()).total_seconds()))

    def _item(self, fetch: Fetch) -> Item:
        """After an unexpected exception: later, and failed in the end, so that the rule goes on."""

        def put_off(database: Database, now: datetime, again: datetime, why: str) -> None:
            fetches.wait(database, now, fetch, min(again, fetch.deadline), why)

        def give_up(database: Database, now: datetime, why: str) -> None:
            fetches.ended(database, now, fetch, FetchStatus.FAILED, why)
            self._wakes.wake(Stage.RUN if fetch.job else Stage.ROUTE)

        return Item(f"fetch:{fetch.id}", fetch.study_instance_uid, tries=_TRIES, put_off=put_off, give_up=give_up)

    def _try(self, fetch: Fetch) -> None:
        try:
            self._go_on(fetch)
        except PermanentError as error:  # somebody has to change a configuration: waiting would not help this job
            self._end(fetch, FetchStatus.FAILED, str(error))
        except NodeError as error:
            log.warning("fetch.failed", study=fetch.study_instance_uid, source=fetch.source, error=str(error))
            self._put_off(fetch, error)

    def _go_on(self, fetch: Fetch) -> None:
        if self._clock.now() >= fetch.deadline:
            return  # it is ended (`node.fetch.deadlines`), unless only the clock was set
        if fetch.job and not removed.is_waited_for(self._ledger.database, fetch.job):
            self._end(fetch, FetchStatus.NONE, "the job that needed it was stopped")
            return
        if fetch.status is FetchStatus.SEEKING:
            self._seek(fetch)
        else:
            self._look_whether_it_is_here(fetch)

    def _put_off(self, fetch: Fetch, error: NodeError) -> None:
        now = self._clock.now()
        delay = min(_LONGEST, max(_FIRST, now - fetch.asked_at))
        with self._ledger.transaction() as database:
            fetches.wait(database, now, fetch, min(now + delay, fetch.deadline), str(error), again=True)

    def _end(self, fetch: Fetch, status: FetchStatus, why: str | None = None) -> None:
        with self._ledger.transaction() as database:
            fetches.ended(database, self._clock.now(), fetch, status, why)
        self._wakes.wake(Stage.RUN if fetch.job else Stage.ROUTE)

    # --- seeking ----------------------------------------------------------------------------------

    def _seek(self, fetch: Fetch) -> None:
        uid = fetch.prior_study if fetch.job and fetch.prior_study else fetch.study_instance_uid
        study = studies.get(self._ledger.database, uid)
        assert study is not None, uid
        if not study.patient_id.strip():
            self._end(fetch, FetchStatus.NONE, "the study has no Patient ID: nobody's images are asked for")
            return
        if fetch.job and self._is_settled(fetch):
            return
        archive, title = self._archive_and_title
        found = self._find(archive, fetch, study)
        if found is None:
            lacks = "does not have these series" if fetch.job else "has no earlier study that will do"
            self._end(fetch, FetchStatus.NONE, f"{fetch.source} {lacks}")
            return
        prior, series = found
        with self._ledger.transaction() as database:
            if not fetches.requested(database, self._clock.now(), fetch, prior):
                return
        said = [archive.move(prior, each, title, self._left(fetch)) for each in series]
        if not any(each is None or each > 0 for each in said):
            raise TransientError(f"{fetch.source} says that it has sent nothing of the earlier study")
        with self._ledger.transaction() as database:
            fetches.sent(database, self._clock.now(), fetch, max(1, sum(each or 0 for each in said)))

    def _is_settled(self, fetch: Fetch) -> bool:
        """Whether nothing is to be asked for now: the images of a job are here again, or arrive just now."""
        with self._ledger.snapshot() as database:
            here = removed.here(database, fetch)
        if here:
            self._end(fetch, FetchStatus.FETCHED)
        elif here is None:
            now = self._clock.now()
            with self._ledger.transaction() as database:
                fetches.wait(database, now, fetch, min(now + _AGAIN, fetch.deadline), fetch.error)
        return here is not False

    def _left(self, fetch: Fetch) -> float:
        """Seconds until its deadline; a moment at least."""
        return max(_LEAST, (fetch.deadline - self._clock.now()).total_seconds())

    def _find(self, archive: PriorArchive, fetch: Fetch, study: Study) -> tuple[str, list[str]] | None:
        """The newest study with a series that will do, and those series; or the one whose images were removed."""
        if fetch.job:
            return removed.find(archive, fetch, study)
        wanted = seeking.wanted_of(fetch.wanted)
        answers = archive.find_studies(wanted.keys(study.patient_id), seeking.STUDY_KEYWORDS)
        for answer in seeking.candidates(
            answers,
            wanted,
            study=study.study_instance_uid,
            patient_id=study.patient_id,
            issuer=study.issuer_of_patient_id,
        ):
            uid = answer["StudyInstanceUID"]
            series = seeking.series_of(archive.find_series(uid, seeking.SERIES_KEYWORDS), wanted)
            if series:
                return uid, series
        return None

    # --- arriving ---------------------------------------------------------------------------------

    def _look_whether_it_is_here(self, fetch: Fetch) -> None:
        now = self._clock.now()
        assert fetch.prior_study is not None, fetch.id
        assert fetch.requested_at is not None, fetch.id
        prior = studies.get(self._ledger.database, fetch.prior_study)
        here = self._number_here(fetch, fetch.prior_study)
        if prior is None or prior.status is not StudyStatus.COMPLETE or here < (fetch.expected or 1):
            died = fetch.expected is None  # this node, while the archive was sending
            unsent = here == 0 and now - fetch.requested_at >= _UNSENT
            with self._ledger.transaction() as database:
                fetches.wait(database, now, fetch, min(now + _AGAIN, fetch.deadline), fetch.error, again=died or unsent)
            return
        conflict = instances.differing_patient(
            self._witness(fetch.study_instance_uid), self._witness(fetch.prior_study)
        )
        if prior.hold is not None:
            self._end(fetch, FetchStatus.FAILED, f"the earlier study is held: {prior.hold}")
        elif conflict:
            self._end(
                fetch, FetchStatus.FAILED, f"the earlier study differs in {', '.join(conflict)}: another patient?"
            )
        else:
            self._end(fetch, FetchStatus.FETCHED)

    def _number_here(self, fetch: Fetch, prior: str) -> int:
        if fetch.job:
            return removed.number_here(self._ledger.database, fetch)
        return len(instances.of_study(self._ledger.database, prior))

    def _witness(self, study: str) -> Instance | None:
        return instances.witness(self._ledger.database, study)
