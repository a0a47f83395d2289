"""Each stage with three items, of which the first raises what nobody foresaw for as long as `broken` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedSRStorage, ExplicitVRLittleEndian

from node.commit import asking, reporting
from node.commit import stage as commit_stage
from node.config.models import Configuration, Destination
from node.deliver import forwarding
from node.deliver.outbox import Outbox
from node.deliver.policy import Answer
from node.desk import actions
from node.desk.actor import Actor, ActorKind
from node.dimse.status import Reading
from node.fetch.stage import Fetching
from node.index import completion
from node.index import stage as index_stage
from node.index.children import HeaderReader
from node.ledger import (
    commitments,
    decisions,
    deliveries,
    events,
    fetches,
    forwards,
    instances,
    jobs,
    notifications,
    studies,
)
from node.ledger.database import Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.events import Severity
from node.ledger.job import Job, JobOutcome
from node.ledger.notifications import Occasion
from node.notify import channels
from node.notify.stage import Notify
from node.results.encode import EncodedSet
from node.results.making import ObjectMaker
from node.results.stage import Results
from node.route import asking as route_asking
from node.route.stage import Route
from node.run.stage import Run
from node.store.layout import Spool
from rules.model import Rule
from tests.support.clocks import HandClock
from tests.support.images.receipts import SERIES, arrive, ct
from tests.support.sites.commit_room import CommitRoom, images
from tests.support.sites.index_room import Room, room_of
from tests.support.sites.job_site import Site

UIDS = ("1.2.1", "1.2.2", "1.2.3")
BAD = UIDS[0]


@dataclass
class Fault:
    """What the first item raises, and how often it has."""

    error: Exception | None
    raised: int = 0

    def on(self, bad: bool) -> None:
        """To be called where an item is handled."""
        if bad and self.error is not None:
            self.raised += 1
            raise deepcopy(self.error)  # with its code, without the traceback of the last time


@dataclass
class Play:
    """One stage and its three items."""

    clock: HandClock
    ledger: Ledger
    run: Callable[[], object]
    restart: Callable[[], None]
    status: Callable[[int], str]
    """Of item 0, 1 or 2."""
    done: frozenset[str]
    """What the status of an item is that was handled."""
    dead: str
    """What it is of one that was given up; empty where the item is parked."""
    retry: str
    """What a person names, `{defect}` where the item is parked; empty where nothing is retried."""
    after_retry: Callable[[], object] = field(default=lambda: None)
    before_retry: Callable[[Any], object] = field(default=lambda _: None)
    """Within its transaction."""

    def pass_(self, seconds: float) -> None:
        self.clock.pass_(seconds=seconds)
        self.run()
        self.run()

    def alerts(self) -> list[str]:
        return [event.kind for event in events.latest(self.ledger.database, 1000, (Severity.ALERT,))]

    def ask_again(self, what: str) -> None:
        with self.ledger.transaction() as database:
            self.before_retry(database)
        actions.retry(self.ledger, what, self.clock.now(), Actor(ActorKind.OS, "a test"))
        self.after_retry()


Maker = Callable[[Path, pytest.MonkeyPatch, HeaderReader, Fault], Play]


def _site(folder: Path) -> Site:
    site = Site(folder)
    for uid in UIDS:
        site.receive(1, study=uid)
        site.complete(uid)
    return site


def _clock(site: Site) -> HandClock:
    assert isinstance(site.clock, HandClock)
    return site.clock


class _Stage:
    """A stage that can be begun again."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.stage = make()

    def restart(self) -> None:
        self.stage = self._make()

    def run(self) -> None:
        """As often as it wants to go on at once."""
        for _ in range(9):
            if self.stage.run_once() > 0:
                return


def run_index(room: Room) -> None:
    """The one that is there by now."""
    room.index.run_once()


def run_commit(room: CommitRoom) -> None:
    """The one that is there by now."""
    room.commit.run_once()


def index(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    room = room_of(Spool(folder), reader)
    record = index_stage.record  # type: ignore[attr-defined]

    def record_or_raise(database: Any, at: datetime, judged: Any, configuration: Any) -> Any:
        bad = any(one.reading.study_instance_uid == BAD for one in judged)
        if bad and fault.error and len(judged) > 1:
            raise deepcopy(fault.error)  # it is tried alone after that, which counts
        fault.on(bad)
        return record(database, at, judged, configuration)

    monkeypatch.setattr(index_stage, "record", record_or_raise)
    for uid in UIDS:
        arrive(room.spool, ct(StudyInstanceUID=uid, SOPInstanceUID=f"{uid}.1.1"))
    return Play(
        room.clock,
        room.ledger,
        lambda: run_index(room),
        room.restart,
        lambda number: "".join(room.statuses(UIDS[number])),
        frozenset({"current"}),
        "",
        "defect:{defect}",
    )


def index_completion(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    room = room_of(Spool(folder), reader)
    keep = completion.keep_facts  # type: ignore[attr-defined]

    def keep_or_raise(database: Any, study: str, *more: Any) -> None:
        fault.on(study == BAD)
        keep(database, study, *more)

    monkeypatch.setattr(completion, "keep_facts", keep_or_raise)
    for uid in UIDS:
        arrive(room.spool, ct(StudyInstanceUID=uid, SOPInstanceUID=f"{uid}.1.1"))
    room.index.run_once()
    room.clock.pass_(seconds=61)

    def status(number: int) -> str:
        row = studies.get(room.ledger.database, UIDS[number])
        return str(row.status) if row else ""

    return Play(
        room.clock,
        room.ledger,
        lambda: run_index(room),
        room.restart,
        status,
        frozenset({"complete"}),
        "",
        "defect:{defect}",
    )


class _Plugins:
    def parameters_for(self, name: str, asked: Mapping[str, object]) -> Mapping[str, object]:
        return {"level": 5, **asked}


RULE = {
    "name": "chest",
    "description": "Is there a thing?",
    "when": {"Modality": "CT"},
    "choose": {"take": "one"},
    "run": "good",
    "send": "pacs",
    "mode": "pilot",
}


def route(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    site = _site(folder)
    facts = route_asking.study_facts  # type: ignore[attr-defined]

    def facts_or_raise(study: Any, *rest: Any) -> Any:
        fault.on(study.study_instance_uid == BAD)
        return facts(study, *rest)

    monkeypatch.setattr(route_asking, "study_facts", facts_or_raise)
    rules = (Rule.model_validate(RULE),)
    zone = ZoneInfo("Asia/Seoul")
    stage = _Stage(lambda: Route(site.ledger, site.clock, site.signal, rules, _Plugins(), zone))
    return Play(
        _clock(site),
        site.ledger,
        stage.run,
        stage.restart,
        lambda number: "queued" if jobs.of_study(site.ledger.database, UIDS[number]) else "",
        frozenset({"queued"}),
        "",
        "defect:{defect}",
    )


def _jobs(site: Site) -> list[Job]:
    made = []
    for uid in UIDS:
        receipt = instances.of_study(site.ledger.database, uid)[0].receipt
        made.append(site.job("gone", [receipt], study=uid))
        _clock(site).pass_(seconds=1)
    return made


def _newest(site: Site, number: int) -> Job:
    return jobs.of_study(site.ledger.database, UIDS[number])[-1]


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    """The plugin is no longer configured: each job ends at once, as failed."""
    site = _site(folder)
    bad = _jobs(site)[0]
    unknown = Run._unknown

    def unknown_or_raise(self: Run, job: Job) -> None:
        fault.on(job.id == bad.id)
        unknown(self, job)

    monkeypatch.setattr(Run, "_unknown", unknown_or_raise)
    stage = _Stage(lambda: Run(site.ledger, site.clock, site.signal, site.spool, site.catalogue(), 1))

    def status(number: int) -> str:
        job = _newest(site, number)
        return f"{job.status} {job.error}"

    return Play(
        _clock(site),
        site.ledger,
        stage.run,
        stage.restart,
        status,
        frozenset({"ended there is no usable plugin gone in the configuration any more"}),
        "ended a defect of the node kept it from running; the alert of the job says where",
        bad.id,
        before_retry=lambda database: jobs.reported(database, site.clock.now(), bad.id, 1),
    )


def _end(site: Site, job: Job) -> None:
    with site.ledger.transaction() as database:
        jobs.started(database, site.clock.now(), job.id, {})
        jobs.ended(database, site.clock.now(), job.id, JobOutcome.NO_FINDINGS, "results/x")


def results(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    site = _site(folder)
    for each in _jobs(site):
        _end(site, each)
    bad = _newest(site, 0)

    def whole_set(self: ObjectMaker, job: Job, *_: Any) -> EncodedSet:
        fault.on(job.id == bad.id)
        return EncodedSet()

    monkeypatch.setattr(ObjectMaker, "whole_set", whole_set)
    pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": 11113}
    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}, "destinations": {"pacs": pacs}})
    stage = _Stage(lambda: Results(site.ledger, site.spool, site.clock, site.signal, configuration))
    return Play(
        _clock(site),
        site.ledger,
        stage.run,
        stage.restart,
        lambda number: str(_newest(site, number).status),
        frozenset({"reported"}),
        "unreportable",
        bad.id,
        lambda: _end(site, _newest(site, 0)),
    )


def notify(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    site = _site(folder)
    with site.ledger.transaction() as database:
        for uid in UIDS:
            notifications.enqueue(
                database, site.clock.now(), study=uid, rule="r", occasion=Occasion.MATCH, whom=["duty"], text="Look."
            )
    (bad,) = notifications.of_study(site.ledger.database, BAD)
    monkeypatch.setattr(channels, "of", lambda *_: {"webhook": lambda message: fault.on(message.key == bad.key)})
    person = {"webhook": {"url": "https://pager.example"}}
    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}, "people": {"duty": person}})
    stage = _Stage(lambda: Notify(site.ledger, site.clock, configuration))

    def status(number: int) -> str:
        return str(notifications.of_study(site.ledger.database, UIDS[number])[0].status)

    return Play(
        _clock(site),
        site.ledger,
        stage.run,
        stage.restart,
        status,
        frozenset({"sent"}),
        "dead",
        f"notification:{bad.id}",
    )


class _Archive:
    """A destination that takes everything, and has no earlier study."""

    is_open = True

    def __init__(self, fault: Fault, bad_file: str = "") -> None:
        self._fault = fault
        self._bad = bad_file

    @contextmanager
    def connect(self, kinds: object) -> Iterator[_Archive]:
        yield self

    def accepts(self, *_: str) -> bool:
        return True

    def store(self, file: Path) -> Answer:
        self._fault.on(self._bad in str(file))
        return Answer(Reading.STORED, "0000", 0)

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        return []

    def has_instance(self, *_: str) -> bool:
        return False

    def find_studies(self, keys: Mapping[str, str], keywords: Sequence[str]) -> list[Mapping[str, str]]:
        return []

    def find_series(self, *_: Any) -> list[Mapping[str, str]]:
        return []

    def move(self, *_: str) -> int:
        return 0


def _outbox(site: Site, archive: _Archive) -> _Stage:
    plain = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "identity_check": "none"}
    destination = Destination.model_validate(plain)
    return _Stage(
        lambda: Outbox("pacs", destination, archive, site.ledger, site.spool, site.clock, site.signal)  # plays it
    )


def deliver(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    """Two of the three results are of one study."""
    site = _site(folder)
    numbers = []
    for number, study in enumerate((BAD, BAD, UIDS[2])):
        dataset = Dataset()
        dataset.StudyInstanceUID, dataset.SOPClassUID, dataset.SOPInstanceUID = study, EnhancedSRStorage, f"2.{number}"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(site.spool.data / f"2.{number}.dcm", enforce_file_format=True)
        with site.ledger.transaction() as database:
            numbers.append(
                deliveries.enqueue(
                    database,
                    site.clock.now(),
                    sop_instance_uid=f"2.{number}",
                    sop_class_uid=EnhancedSRStorage,
                    study=study,
                    job=None,
                    file=f"2.{number}.dcm",
                    destination="pacs",
                )
            )
    stage = _outbox(site, _Archive(fault, "2.0.dcm"))
    return Play(
        _clock(site),
        site.ledger,
        stage.run,
        stage.restart,
        lambda number: str(deliveries.get(site.ledger.database, numbers[number]).status),
        frozenset({"delivered"}),
        "dead",
        f"delivery:{numbers[0]}",
    )


def deliver_images(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    """Received images that a rule sends on."""
    site = _site(folder)
    bad = instances.of_study(site.ledger.database, BAD)[0].receipt
    now = site.clock.now()
    with site.ledger.transaction() as database:
        decisions.keep_rule_set(database, now, "rules", "[]")
        for uid in UIDS:
            decision = decisions.record(
                database,
                now,
                study=uid,
                revision=1,
                rule="r",
                rule_set="rules",
                outcome=DecisionOutcome.MATCHED,
                trace={},
            )
            forwards.enqueue(
                database,
                now,
                study=uid,
                destination="pacs",
                images=instances.of_study(database, uid),
                decision=decision,
                rule="r",
                coerce={},
            )

    def prepare(self: forwarding.Forwarding, sender: object, image: Any) -> object:
        path = self._spool.find(image.delivery.receipt)
        return forwarding.Order(path, path)  # type: ignore[attr-defined]

    monkeypatch.setattr(forwarding.Forwarding, "_prepare", prepare)
    stage = _outbox(site, _Archive(fault, bad))

    def status(number: int) -> str:
        return str(deliveries.of_study(site.ledger.database, UIDS[number])[0].status)

    return Play(_clock(site), site.ledger, stage.run, stage.restart, status, frozenset({"delivered"}), "dead", BAD)


def fetch(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    site = _site(folder)
    now = site.clock.now()
    wanted = {"earliest": "20240101", "latest": "20260301", "modalities": [], "body_parts": [], "descriptions": []}
    with site.ledger.transaction() as database:
        decisions.keep_rule_set(database, now, "rules", "[]")
        for uid in UIDS:
            decision = decisions.record(
                database,
                now,
                study=uid,
                revision=1,
                rule="r",
                rule_set="rules",
                outcome=DecisionOutcome.MATCHED,
                trace={},
            )
            fetches.ask(
                database,
                now,
                decision=decision,
                study=uid,
                rule="r",
                source="pacs",
                wanted=wanted,
                deadline=now + timedelta(minutes=30),
            )
    seek = Fetching._seek

    def seek_or_raise(self: Fetching, each: fetches.Fetch) -> None:
        fault.on(each.study_instance_uid == BAD)
        seek(self, each)

    monkeypatch.setattr(Fetching, "_seek", seek_or_raise)
    archives = {"pacs": _Archive(fault)}
    stage = _Stage(lambda: Fetching(site.ledger, site.clock, site.signal, archives, "PACSNODE"))
    return Play(
        _clock(site),
        site.ledger,
        stage.run,
        stage.restart,
        lambda number: str(fetches.of_study(site.ledger.database, UIDS[number])[0].status),
        frozenset({"none"}),
        "failed",
        "",
    )


def _commit_room(folder: Path, reader: HeaderReader, requester: str) -> CommitRoom:
    room = CommitRoom(room_of(Spool(folder), reader))
    for number in (1, 2, 3):
        arrive(room.spool, ct(number), calling=requester)
    room.index.index.run_once()
    for number in (1, 2, 3):
        room.ask(images(number), transaction=f"1.2.3.{number}", requester=requester)
    return room


def _of_commitment(room: CommitRoom, number: int) -> str:
    row = room.rows[number]
    return f"{row.status} {commitments.items(room.ledger.database, row.id)[0].failure}"


def commit(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    room = _commit_room(folder, reader, "CT1")
    judge = commit_stage.judge  # type: ignore[attr-defined]

    def judge_or_raise(database: Any, spool: Any, requester: str, sop_class: str, uid: str, *, sync: bool) -> Any:
        fault.on(uid == f"{SERIES}.1")
        return judge(database, spool, requester, sop_class, uid, sync=sync)

    monkeypatch.setattr(commit_stage, "judge", judge_or_raise)
    room.commit.run_once()
    return Play(
        room.clock,
        room.ledger,
        lambda: run_commit(room),
        room.restart,
        lambda number: _of_commitment(room, number),
        frozenset({"decided 0"}),
        "decided 272",
        f"commitment:{room.rows[0].id}",
    )


def commit_report(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    room = _commit_room(folder, reader, "CT1")
    room.run()

    def report(peer: object, result: Any) -> int:
        fault.on(result.transaction_uid == "1.2.3.1")
        return 0

    monkeypatch.setattr(reporting, "report", report)
    settings = room.settings.modalities["ct1"].storage_commitment
    assert settings is not None
    stage = _Stage(lambda: reporting.Reporting("CT1", settings, room.ledger, room.clock))
    return Play(
        room.clock,
        room.ledger,
        stage.run,
        stage.restart,
        lambda number: _of_commitment(room, number),
        frozenset({"reported 0"}),
        "dead 0",
        f"commitment:{room.rows[0].id}",
        room.run,
    )


def commit_through(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    """Those that were asked are answered at once."""
    room = _commit_room(folder, reader, "CT2")
    room.run()

    def ask(peer: object, request: Any, *_: object) -> int:
        uids = [each.sop_instance_uid for each in request.references]
        fault.on(uids == [f"{SERIES}.1"])
        committed = [(each.sop_class_uid, each.sop_instance_uid) for each in request.references]
        room.archive_reports(request.transaction_uid, committed=committed)
        return 0

    monkeypatch.setattr(asking, "ask", ask)
    settings = room.settings.modalities["ct2"].storage_commitment
    assert settings is not None
    peer: Any = None

    def make() -> asking.Asking:
        return asking.Asking(
            "pacs",
            room.settings.destinations["pacs"],
            peer,
            {"CT2": settings},
            room.ledger,
            room.spool,
            room.journal,
            room.clock,
            room.index.signal,
        )

    stage = _Stage(make)

    def run_both() -> None:
        stage.run()
        room.commit.run_once()

    return Play(
        room.clock,
        room.ledger,
        run_both,
        stage.restart,
        lambda number: _of_commitment(room, number),
        frozenset({"decided 0"}),
        "decided 272",
        f"commitment:{room.rows[0].id}",
        room.run,
    )


MAKERS: dict[str, tuple[Maker, ...]] = {
    "index": (index, index_completion),
    "route": (route,),
    "run": (run,),
    "results": (results,),
    "notify": (notify,),
    "deliver": (deliver, deliver_images),
    "fetch": (fetch,),
    "commit": (commit,),
    "report": (commit_report,),
    "commitment-of": (commit_through,),
}
"""Kind of stage → its plays."""
