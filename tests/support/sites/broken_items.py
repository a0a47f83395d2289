"""Each stage with three items, of which the first raises what nobody foresaw for as long as `broken` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedSRStorage, ExplicitVRLittleEndian

from node.app.stop_rules import StopRules
from node.commit import asking, reporting
from node.commit import stage as commit_stage
from node.config.destinations import DicomDestination
from node.config.models import Configuration
from node.deliver import forwarding
from node.deliver.outbox import Outbox
from node.deliver.policy import Answer
from node.deliver.ways.dimse import dimse, peer_of
from node.desk import actions
from node.desk.actor import Actor, ActorKind
from node.fetch.stage import FetchStage
from node.index import completion
from node.index import stage as index_stage
from node.index.children import HeaderReader
from node.ledger import (
    boxes,
    commitments,
    decisions,
    deliveries,
    fetches,
    forwards,
    instances,
    jobs,
    notifications,
    purges,
    services,
    studies,
    suspensions,
)
from node.ledger.attempts import Attempt, AttemptElsewhere
from node.ledger.database import Database, Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.job import Job, JobOutcome
from node.ledger.notifications import Occasion
from node.ledger.purges import PurgeKind
from node.notify import channels
from node.notify.stage import NotifyStage
from node.outcome import AnswerReading
from node.results.encoded import EncodedSet
from node.results.making import ObjectMaker
from node.results.stage import ResultsStage
from node.retain import removal
from node.retain.stage import RetainStage
from node.route import asking as route_asking
from node.route.stage import RouteStage
from node.run.boxes.stage import BoxStage
from node.run.elsewhere.stage import StageElsewhere
from node.run.services.stage import ServiceStage
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from node.store.layout import DataFolder
from rules.model import Rule
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.images.receipts import SERIES, arrive, ct
from tests.support.sites.commit_room import CommitRoom, images
from tests.support.sites.configurations import ruled, with_destinations, with_slots
from tests.support.sites.index_room import Room, room_of
from tests.support.sites.job_site import Site
from tests.support.sites.outcomes import match, queue_job

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
        return [event.kind for event in history.open_alerts(self.ledger.database)]

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
    room = room_of(DataFolder(folder), reader)
    record = index_stage.record  # type: ignore[attr-defined]

    def record_or_raise(database: Any, at: datetime, judged: Any, configuration: Any) -> Any:
        bad = any(one.reading.study_instance_uid == BAD for one in judged)
        if bad and fault.error and len(judged) > 1:
            raise deepcopy(fault.error)  # it is tried alone after that, which counts
        fault.on(bad)
        return record(database, at, judged, configuration)

    monkeypatch.setattr(index_stage, "record", record_or_raise)
    for uid in UIDS:
        arrive(room.data_folder, ct(StudyInstanceUID=uid, SOPInstanceUID=f"{uid}.1.1"))
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
    room = room_of(DataFolder(folder), reader)
    keep = completion.keep_facts  # type: ignore[attr-defined]

    def keep_or_raise(database: Any, study: str, *more: Any) -> None:
        fault.on(study == BAD)
        keep(database, study, *more)

    monkeypatch.setattr(completion, "keep_facts", keep_or_raise)
    for uid in UIDS:
        arrive(room.data_folder, ct(StudyInstanceUID=uid, SOPInstanceUID=f"{uid}.1.1"))
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
    stage = _Stage(lambda: RouteStage(site.node, ruled(rules), lambda _: _Plugins()))
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
    unknown = RunStage._unknown

    def unknown_or_raise(self: RunStage, job: Job) -> None:
        fault.on(job.id == bad.id)
        unknown(self, job)

    monkeypatch.setattr(RunStage, "_unknown", unknown_or_raise)
    stage = _Stage(
        lambda: RunStage(site.node, with_slots(1), lambda _: site.catalogue(), WarmWorkers(site.data_folder.work))
    )

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


def _start_elsewhere(site: Site, job: Job, where: str) -> None:
    place = AttemptElsewhere(where, site.clock.now() + timedelta(days=30))
    with site.ledger.transaction() as database:
        jobs.started(database, site.clock.now(), job.id, {}, "dicom", "full", place)


def box(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    """The plugin of three attempts at a box is no longer configured: each job ends at once, as failed."""
    settings = {"boxes": {"cad": {"ae_title": "CADBOX", "host": "127.0.0.1", "port": 11113}}}
    no_archive: Any = None

    def made(site: Site, configuration: Configuration) -> BoxStage:
        return BoxStage("cad", site.node, configuration, lambda _: site.catalogue(), no_archive)

    return _elsewhere(folder, monkeypatch, fault, boxes.place_of("cad"), settings, made)


def service(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    """The same of three attempts at a web service."""
    settings = {"services": {"ai": {"url": "http://127.0.0.1:11114"}}}

    def made(site: Site, configuration: Configuration) -> ServiceStage:
        return ServiceStage("ai", site.node, configuration, lambda _: site.catalogue())

    return _elsewhere(folder, monkeypatch, fault, services.place_of("ai"), settings, made)


def _elsewhere(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    place: str,
    settings: dict[str, Any],
    made: Callable[[Site, Configuration], StageElsewhere],
) -> Play:
    site = _site(folder)
    those = _jobs(site)
    for job in those:
        _start_elsewhere(site, job, place)
    go_on = StageElsewhere._go_on

    def go_on_or_raise(self: StageElsewhere, attempt: Attempt, job: Job) -> None:
        fault.on(job.id == those[0].id)
        go_on(self, attempt, job)

    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}, **settings})
    monkeypatch.setattr(StageElsewhere, "_go_on", go_on_or_raise)
    for kind in (BoxStage, ServiceStage):
        monkeypatch.setattr(kind, "_ask_whether_there", lambda _: None)
    stage = _Stage(lambda: made(site, configuration))

    def status(number: int) -> str:
        job = _newest(site, number)
        return f"{job.status} {job.error}"

    return Play(
        _clock(site),
        site.ledger,
        stage.run,
        stage.restart,
        status,
        frozenset({"ended there is no plugin gone"}),
        "ended a defect of the node kept it from running; the alert of the job says where",
        those[0].id,
        after_retry=lambda: _start_elsewhere(site, _newest(site, 0), place),
        before_retry=lambda database: jobs.reported(database, site.clock.now(), those[0].id, 1),
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
    stage = _Stage(lambda: ResultsStage(site.node, configuration))
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
            about = match(database, site.clock.now(), uid)
            notifications.enqueue(database, site.clock.now(), about, Occasion.MATCH, ["duty"])
    (bad,) = notifications.of_study(site.ledger.database, BAD)
    monkeypatch.setattr(channels, "of", lambda *_: {"webhook": lambda message: fault.on(message.key == bad.key)})
    person = {"webhook": {"url": "https://pager.example"}}
    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}, "people": {"duty": person}})
    stage = _Stage(lambda: NotifyStage(site.node, configuration))

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
        return Answer(AnswerReading.STORED, "0000", dimse(0))

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        return []

    def has_instance(self, *_: str) -> bool:
        return False

    def find_instances(
        self, study_instance_uid: str, series_instance_uid: str, keywords: Sequence[str]
    ) -> list[Mapping[str, str]]:
        return []

    def find_studies(self, keys: Mapping[str, str], keywords: Sequence[str]) -> list[Mapping[str, str]]:
        return []

    def find_series(self, *_: Any) -> list[Mapping[str, str]]:
        return []

    def move(self, *_: object) -> int:
        return 0


PACS = DicomDestination.model_validate({"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "identity_check": "none"})


def _outbox(site: Site, archive: _Archive) -> _Stage:
    settings = with_destinations(pacs=PACS)
    return _Stage(lambda: Outbox("pacs", site.node, settings, lambda *_: archive))


def deliver(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    """Two of the three results are of one study."""
    site = _site(folder)
    numbers = []
    for number, study in enumerate((BAD, BAD, UIDS[2])):
        dataset = Dataset()
        dataset.StudyInstanceUID, dataset.SOPClassUID, dataset.SOPInstanceUID = study, EnhancedSRStorage, f"2.{number}"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(site.data_folder.data / f"2.{number}.dcm", enforce_file_format=True)
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
            images = instances.of_study(database, uid)
            forwards.enqueue(database, now, uid, forwards.ForwardTerms("pacs", decision, "r"), images)

    def prepare(self: forwarding.ImageForwarder, sender: object, image: Any) -> object:
        path = self._data_folder.find(image.delivery.receipt)
        return forwarding.FileToSend(path, path)  # type: ignore[attr-defined]

    monkeypatch.setattr(forwarding.ImageForwarder, "_prepare", prepare)
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
    seek = FetchStage._seek

    def seek_or_raise(self: FetchStage, each: fetches.Fetch) -> None:
        fault.on(each.study_instance_uid == BAD)
        seek(self, each)

    monkeypatch.setattr(FetchStage, "_seek", seek_or_raise)
    settings, archive = with_destinations(pacs=PACS), _Archive(fault)
    stage = _Stage(lambda: FetchStage("pacs", site.node, settings, lambda *_: archive))
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
    room = CommitRoom(room_of(DataFolder(folder), reader))
    for number in (1, 2, 3):
        arrive(room.data_folder, ct(number), calling=requester)
    room.index.index.run_once()
    for number in (1, 2, 3):
        room.ask(images(number), transaction=f"1.2.3.{number}", requester=requester)
    return room


def _of_commitment(room: CommitRoom, number: int) -> str:
    row = commitments.get(room.ledger.database, number + 1)
    return f"{row.status} {commitments.items(room.ledger.database, row.id)[0].failure}"


def commit(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    room = _commit_room(folder, reader, "CT1")
    judge = commit_stage.judge  # type: ignore[attr-defined]

    def judge_or_raise(database: Any, data_folder: Any, requester: str, sop_class: str, uid: str, *, sync: bool) -> Any:
        fault.on(uid == f"{SERIES}.1")
        return judge(database, data_folder, requester, sop_class, uid, sync=sync)

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
    stage = _Stage(lambda: reporting.CommitmentReporter("CT1", room.node, room.settings))
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
    stage = _Stage(lambda: asking.CommitmentRequester("pacs", room.node, room.journal, room.settings, peer_of))

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


def commit_batch(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    """Each was delivered for another study; those that were asked for are answered at once."""
    room = CommitRoom(room_of(DataFolder(folder), reader), {"commitment": "require"})
    room.sent(1, 2, 3)
    for number, study in enumerate(UIDS, start=1):
        with room.ledger.transaction() as database:
            database.execute("UPDATE deliveries SET study_instance_uid=? WHERE id=?", [study, number])
    room.clock.pass_(seconds=10)

    def ask(peer: object, request: Any, *_: object) -> int:
        fault.on([each.sop_instance_uid for each in request.references] == [f"{SERIES}.1"])
        committed = [(each.sop_class_uid, each.sop_instance_uid) for each in request.references]
        room.archive_reports(request.transaction_uid, committed=committed)
        return 0

    monkeypatch.setattr(asking, "ask", ask)
    stage = _Stage(lambda: asking.CommitmentRequester("pacs", room.node, room.journal, room.settings, peer_of))

    def run_both() -> None:
        stage.run()
        room.commit.run_once()

    return Play(
        room.clock,
        room.ledger,
        run_both,
        stage.restart,
        lambda number: str(deliveries.get(room.ledger.database, number + 1).commitment),
        frozenset({"committed"}),
        "overdue",
        "1",
        room.run,
    )


def retain(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    """Their images are being removed."""
    site = _site(folder)
    with site.ledger.transaction() as database:
        for uid in UIDS:
            purges.begin(database, site.clock.now(), uid, PurgeKind.IMAGES, "older than 30d")
    (bad,) = (each.receipt for each in instances.of_study(site.ledger.database, BAD))
    received = removal.received

    def received_or_raise(store: DataFolder, receipts: Sequence[str]) -> int:
        fault.on(bad in receipts)
        return received(store, receipts)

    monkeypatch.setattr(removal, "received", received_or_raise)
    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}})
    stage = _Stage(lambda: RetainStage(site.node, configuration))

    def status(number: int) -> str:
        row = studies.get(site.ledger.database, UIDS[number])
        return str(row.images) if row else ""

    return Play(
        _clock(site),
        site.ledger,
        stage.run,
        stage.restart,
        status,
        frozenset({"gone"}),
        "",
        "defect:{defect}",
    )


def stop_rules(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, fault: Fault) -> Play:
    """Their jobs have ended, and are to be counted."""
    site = _site(folder)
    queued = [queue_job(site.ledger, site.clock.now(), uid, [f"r{uid}"]) for uid in UIDS]
    for job in queued:
        with site.ledger.transaction() as database:
            jobs.started(database, site.clock.now(), job.id, {"name": "lung density", "version": "1"})
            jobs.ended(database, site.clock.now(), job.id, JobOutcome.FINDINGS, f"results/{job.id}")

    def scanner_or_raise(_: Database, job: Job) -> str:
        fault.on(job.study_instance_uid == BAD)
        return "CT1"

    monkeypatch.setattr(suspensions, "scanner_of", scanner_or_raise)
    watch = {"plugin": "lung-density", "watch": "failures", "above": "5%"}
    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}, "stop_rules": {"lungs": watch}})
    stage = _Stage(lambda: StopRules(site.node, configuration))

    def status(number: int) -> str:
        row = site.ledger.database.execute("SELECT watched FROM jobs WHERE id=?", [queued[number].id])
        return str(row.fetchone()[0])

    return Play(_clock(site), site.ledger, stage.run, stage.restart, status, frozenset({"1"}), "", "defect:{defect}")


MAKERS: dict[str, tuple[Maker, ...]] = {
    "index": (index, index_completion),
    "route": (route,),
    "run": (run,),
    "box": (box,),
    "service": (service,),
    "results": (results,),
    "notify": (notify,),
    "deliver": (deliver, deliver_images),
    "fetch": (fetch,),
    "commit": (commit,),
    "report": (commit_report,),
    "commitment-of": (commit_through, commit_batch),
    "retain": (retain,),
    "stop-rules": (stop_rules,),
}
"""Kind of stage → its plays."""
