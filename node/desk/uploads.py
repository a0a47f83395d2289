"""Files that a person has given: what each rule says of them, or the same files taken as if a modality had sent them.

For a child process: everything that is read here may be hostile. Files that are taken go to `incoming/` as a receiver
leaves them, durable before it is said; from there on they are received images with `origin: uploaded`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from node import ourselves, wake_socket
from node.config.from_values import validated
from node.config.models import Configuration
from node.desk import explain, uploaded_files
from node.desk.actor import Actor
from node.desk.outcomes import ActionOutcome
from node.desk.rights import Right, require
from node.desk.uploaded_files import UnpackedUpload, UploadedFile, UploadTooLargeError
from node.dicom.uids import is_acceptable_uid, named
from node.dimse.contexts import ACCEPTED, is_lossy, is_storage
from node.errors import UsageError
from node.index import header
from node.index.header import HeaderReading
from node.ledger import events
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind
from node.store import device
from node.store.arrival import Arrival, file_header
from node.store.durable import sync_folder
from node.store.health import load_of, refusing_objects
from node.store.layout import DataFolder
from node.store.part import PartFile
from rules import explain as explaining
from rules.decision import Decision

CALLING_AE_TITLE = "UPLOAD"
"""Of what people give, where received images have that of their sender."""
ORIGIN = "uploaded"
_PIECE = 2**20
_TOLD = 500
"""Files that a report lists one by one."""


@dataclass(frozen=True, slots=True)
class UploadTask:
    """What was sent, and what for."""

    files: Sequence[UploadedFile]
    folder: Path
    """To unpack in; the caller removes it."""
    in_force: Mapping[str, Any]
    """The configuration, as plain values."""
    base: Path
    """Where its relative paths begin."""
    at: datetime
    address: str
    """Of the person's machine."""


@dataclass(frozen=True, slots=True)
class FileFate:
    """What came of one file."""

    name: str
    taken: bool
    why: str = ""
    """Why it is not."""


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What one rule says of a study."""

    rule: str
    matched: bool
    why: str
    near_miss: str
    lines: Sequence[str]
    """Every clause, with what was found."""


@dataclass(frozen=True, slots=True)
class UploadedStudy:
    """One study of an upload."""

    study_instance_uid: str
    series: int
    images: int
    rules: Sequence[RuleVerdict] = ()
    outside: Sequence[str] = ()
    """Why plugins would not run on it, or with a remark."""


@dataclass
class UploadReport:
    """What came of an upload."""

    fates: list[FileFate] = field(default_factory=list)
    """Of files that were not taken first; at most some hundred."""
    taken: int = 0
    refused: int = 0
    studies: list[UploadedStudy] = field(default_factory=list)
    stopped: str = ""
    """Why the rest was not looked at."""


def explain_files(task: UploadTask) -> UploadReport:
    """What every rule says of the studies; nothing is stored. OSError."""
    configuration = validated(task.in_force, task.base)
    upload, report = _unpacked(task, configuration)
    names = {each.path.resolve(): each.name for each in upload.files}
    if names:
        found = explain.explain(configuration, [str(path) for path in names], None, task.at, origin=ORIGIN)
        report.studies = [_explained(each) for each in found.studies]
        refused = {path.resolve(): why for path, why in found.skipped}
        _tell(report, [(name, refused.get(path, "")) for path, name in names.items()])
    return report


def take_files(task: UploadTask) -> UploadReport:
    """Take each file that can be taken, durably, before it returns; OSError where none can be written."""
    configuration = validated(task.in_force, task.base)
    upload, report = _unpacked(task, configuration)
    data = configuration.node.data
    taker = _FileTaker(task, configuration)
    with taker.folder.association(taker.association, (CALLING_AE_TITLE, task.address)):
        fates = [(each.name, taker.take(each)) for each in upload.files]
        sync_folder(taker.folder.incoming)
    _tell(report, fates)
    report.studies = [
        UploadedStudy(study, len({one for one, _ in images}), len(images)) for study, images in taker.studies.items()
    ]
    wake_socket.ring(data)
    return report


def record(ledger: Ledger, report: UploadReport, at: datetime, by: Actor) -> ActionOutcome:
    """Say who gave the images."""
    require(by, Right.UPLOAD)
    with ledger.transaction() as database:
        for each in report.studies:
            told: dict[str, Any] = {"series": each.series, "images": each.images}
            uid, kind = each.study_instance_uid, EventKind.STUDY_UPLOADED
            events.record(database, at, kind, study=uid, actor=str(by), **told)
    files = f"{report.taken} file{'' if report.taken == 1 else 's'}"
    return ActionOutcome(f"{files} taken, {report.refused} not", {"taken": report.taken, "refused": report.refused})


def check_room(configuration: Configuration, octets: int) -> None:
    """UsageError where the node has no space for an upload of this size, or too much waits to be indexed."""
    limits, load = configuration.node.limits, load_of(configuration.node.data)
    refused = refusing_objects(replace(load, free_bytes=load.free_bytes - 2 * octets), limits)
    if refused:
        raise UsageError(f"this node takes no upload of this size now: {refused}")


def _unpacked(task: UploadTask, configuration: Configuration) -> tuple[UnpackedUpload, UploadReport]:
    report = UploadReport()
    try:
        upload = uploaded_files.unpacked(task.files, task.folder, configuration.node.limits.free_space)
    except UploadTooLargeError as error:
        report.stopped = str(error)
        return UnpackedUpload(), report
    _tell(report, upload.left_out)
    return upload, report


def _tell(report: UploadReport, fates: Sequence[tuple[str, str]]) -> None:
    """Count the files, and keep the reasons; an empty one is that of a file that was taken."""
    refused = [FileFate(name, taken=False, why=why) for name, why in fates if why]
    taken = [FileFate(name, taken=True) for name, why in fates if not why]
    report.refused += len(refused)
    report.taken += len(taken)
    report.fates = sorted([*report.fates, *refused, *taken], key=lambda each: each.taken)[:_TOLD]


def _explained(found: explain.StudyExplanation) -> UploadedStudy:
    facts = found.facts
    images = sum(len(series.instances) for series in facts.series)
    rules = [_verdict(each) for each in found.decisions]
    return UploadedStudy(facts.study_instance_uid, len(facts.series), images, rules, found.outside)


def _verdict(decision: Decision) -> RuleVerdict:
    lines = explaining.lines(decision.trace)[1:]
    return RuleVerdict(decision.rule.name, decision.matched, decision.why, decision.near_miss or "", lines)


class _FileTaker:
    """Takes files one by one, as a receiver takes objects of one association."""

    def __init__(self, task: UploadTask, configuration: Configuration) -> None:
        self.folder = DataFolder(configuration.node.data)
        self.association = f"upload-{secrets.token_hex(8)}"
        self.studies: dict[str, list[tuple[str, str]]] = {}
        """Study → its series and SOP instances that were taken."""
        self._task, self._configuration = task, configuration
        self._terms = header.sender_terms(configuration)
        self._serial_number = device.serial_number(configuration.node.data)

    def take(self, file: UploadedFile) -> str:
        """Why it is not taken; empty where it is on the disk."""
        load = load_of(self._configuration.node.data)
        if refused := refusing_objects(load, self._configuration.node.limits):
            return f"this node takes no further object now: {refused}"
        try:
            reading = header.read_file(file.path, self._task.at, self._terms)
            if why := next(self._refusals(reading), ""):
                return why
            self._write(file.path)
        except ValueError:
            return "is not a DICOM file with SOP class and transfer syntax in its header (PS3.10)"
        except OSError as error:
            return f"cannot be written: {error.strerror}"
        taken = (reading.series_instance_uid, reading.sop_instance_uid)
        self.studies.setdefault(reading.study_instance_uid, []).append(taken)
        return ""

    def _refusals(self, reading: HeaderReading) -> Iterator[str]:
        arrival = reading.arrival
        if reading.unreadable:
            yield f"cannot be read: {reading.unreadable}"
        uids = {
            "SOP Class UID": reading.sop_class_uid,
            "SOP Instance UID": reading.sop_instance_uid,
            "Study Instance UID": reading.study_instance_uid,
            "Series Instance UID": reading.series_instance_uid,
        }
        yield from (f"its {name} is not a UID" for name, uid in uids.items() if not is_acceptable_uid(uid))
        if (arrival.sop_class_uid, arrival.sop_instance_uid) != (reading.sop_class_uid, reading.sop_instance_uid):
            yield "its header and its data set name two different SOP instances"
        if not is_storage(reading.sop_class_uid):
            yield f"its SOP class is not one that this node stores: {named(reading.sop_class_uid)}"
        if arrival.transfer_syntax_uid not in ACCEPTED:
            yield f"its transfer syntax is not one that this node takes: {named(arrival.transfer_syntax_uid)}"
        if ourselves.is_ours(reading.makers, self._serial_number):
            yield "this node made it: results trigger nothing"

    def _write(self, path: Path) -> None:
        """Durable under its own name; the folder is synchronised once, after the last file."""
        arrived, offset = header.as_if_arrived(path, self._task.at)
        receipt = self.folder.new_receipt()
        part = PartFile(self.folder.part(receipt))
        try:
            part.write(file_header(self._arrival(arrived)))
            with path.open("rb") as source:
                source.seek(offset)
                while piece := source.read(_PIECE):
                    part.write(piece)
            part.sync()
            part.close()
            part.rename(self.folder.arrived(receipt))
        except OSError:
            part.discard()
            raise

    def _arrival(self, arrived: Arrival) -> Arrival:
        return replace(
            arrived,
            calling_ae_title=CALLING_AE_TITLE,
            called_ae_title=self._configuration.node.ae_title,
            peer_address=self._task.address,
            association=self.association,
            origin=ORIGIN,
            lossy_accepted=is_lossy(arrived.transfer_syntax_uid),
        )
