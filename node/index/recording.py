"""One batch of judged receipts → rows and events, within one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from node.config.models import Completion, Configuration, Modality
from node.index import corrections, rejecting
from node.index.describing import description
from node.index.header import HeaderReading
from node.index.judging import Judgement
from node.ledger import alerts, box_answers, events, facts, gone_images, instances, purges, said, studies
from node.ledger.alert_kinds import AlertKind
from node.ledger.box_answers import AnswerStatus, BoxAnswer
from node.ledger.database import Database
from node.ledger.event_kinds import EventKind
from node.ledger.instances import Instance, InstanceStatus
from node.ledger.studies import StudyStatus
from rules.facts import BAD_UID, LOSSY, MISSING_PATIENT_ID

_COUNTS = (InstanceStatus.CURRENT, InstanceStatus.REJECTED)
_ARRIVES = (*_COUNTS, InstanceStatus.DUPLICATE, InstanceStatus.CORRECTION, InstanceStatus.CONFLICT)
"""What shows that a study is still being sent."""
_OUT_OF_THE_ORDINARY = {
    InstanceStatus.DUPLICATE: EventKind.INSTANCE_DUPLICATE,
    InstanceStatus.OWN: EventKind.INSTANCE_OWN,
    InstanceStatus.ANSWER: EventKind.INSTANCE_ANSWER,
    InstanceStatus.REJECTED: EventKind.INSTANCE_REJECTED,
    InstanceStatus.CORRECTION: EventKind.INSTANCE_CORRECTION,
    InstanceStatus.CONFLICT: EventKind.INSTANCE_CONFLICT,
    InstanceStatus.UNREADABLE: EventKind.INSTANCE_UNREADABLE,
}
_ALERTS = (EventKind.INSTANCE_CORRECTION, EventKind.INSTANCE_CONFLICT, EventKind.INSTANCE_UNREADABLE)
_MOST_NAMED = 20
RETRIEVED = "retrieved"


@dataclass
class BatchChanges:
    """What a batch changed."""

    arrivals: dict[str, timedelta] = field(default_factory=dict)
    """Studies of which something arrived, or that changed, and are being received now: their quiet period."""
    series: dict[tuple[str, str], timedelta] = field(default_factory=dict)
    """Series of which something that counts arrived: their quiet period."""
    stopped: bool = False
    """Jobs were cancelled or results held."""
    answers: bool = False
    """Objects of a vendor's box came."""


def quiet_period(configuration: Configuration, calling_ae_title: str, modality: str) -> timedelta:
    """The quiet period of a source: its own, else that of its modality, else the general one."""
    own = [each for each in configuration.modalities.values() if each.ae_title == calling_ae_title.strip()]
    stated = [each.quiet for each in own if isinstance(each, Modality) and each.quiet is not None]
    if stated:
        return max(stated)
    completion: Completion = configuration.node.completion
    return completion.quiet_by_modality.get(modality, completion.quiet)


def study_quiet(
    database: Database, study: str, configuration: Configuration, more: Sequence[HeaderReading] = ()
) -> timedelta:
    """The longest quiet period of all that the study came from, `more` included."""
    sources = {(title, modality) for title, modality, _ in instances.sources(database, study)}
    sources |= {(reading.arrival.calling_ae_title, reading.text("Modality")) for reading in more}
    periods = [quiet_period(configuration, title, modality) for title, modality in sources]
    return max(periods, default=configuration.node.completion.quiet)


def record(database: Database, at: datetime, judged: Sequence[Judgement], configuration: Configuration) -> BatchChanges:
    """Rows, facts and events of one batch; runs in the caller's transaction."""
    final = [_with_rejections(database, judgement) for judgement in judged]
    done = BatchChanges()
    by_study: dict[str, list[Judgement]] = {}
    for judgement in final:
        by_study.setdefault(judgement.reading.study_instance_uid, []).append(judgement)
    for study, those in by_study.items():
        if study:
            _study(database, at, study, those, configuration, done)
    _make_way(database, by_study)
    for judgement in final:
        _instance(database, at, judgement, configuration, done)
    for study, those in by_study.items():
        gone_images.came_again(database, at, study, _sender(those[0].reading))
    _events(database, at, by_study)
    _tell_of_senders(database, at, final)
    for study, those in by_study.items():
        _consequences(database, at, study, those, configuration, done)
    return done


def _make_way(database: Database, by_study: Mapping[str, Sequence[Judgement]]) -> None:
    """What comes again while its study is being removed counts, and what goes does not any more."""
    for purge in purges.under_way(database):
        those = by_study.get(purge.study_instance_uid, ())
        uids = [one.reading.sop_instance_uid for one in those if one.status in _COUNTS]
        purges.make_way(database, purge.study_instance_uid, uids)


def _with_rejections(database: Database, judgement: Judgement) -> Judgement:
    if judgement.status is InstanceStatus.CURRENT and rejecting.is_rejected(database, judgement.reading):
        return Judgement(judgement.reading, InstanceStatus.REJECTED)
    return judgement


def _study(
    database: Database,
    at: datetime,
    study: str,
    those: list[Judgement],
    configuration: Configuration,
    done: BatchChanges,
) -> None:
    """The study's own row: it is there, and being received where what came makes it so."""
    arrived = [one.reading for one in those if one.status in _ARRIVES]
    counting = [one.reading for one in those if one.status in _COUNTS]
    row = studies.get(database, study)
    if not arrived or (row is None and not counting):
        return
    if row is not None and row.status is StudyStatus.COMPLETE and not _reopens(database, study, those):
        return
    quiet = study_quiet(database, study, configuration, counting)
    for one in arrived[:1] + arrived[1:][-1:]:  # the first says when it began, the last on which association it goes on
        studies.received(
            database,
            at,
            study=study,
            patient_id=one.text("PatientID"),
            issuer_of_patient_id=one.text("IssuerOfPatientID"),
            accession_number=one.text("AccessionNumber"),
            association=one.arrival.association,
            received_at=one.arrival.received_at,
            due_at=at + quiet,
            by=_sender(one),
        )
    _fill_in_patient(database, study, counting)
    if counting:
        modalities = frozenset(each.text("Modality") for each in counting)
        studies.described(database, study, description(counting[0].header, modalities))
    done.arrivals[study] = quiet


def _reopens(database: Database, study: str, those: Sequence[Judgement]) -> bool:
    """Whether something counts that the last revision did not have; what this node fetched triggers nothing.

    But images that it had fetched again after they were removed: the revision has to have them.
    """
    current = [one.reading.arrival for one in those if one.status is InstanceStatus.CURRENT]
    if any(arrival.origin != RETRIEVED for arrival in current):
        return True
    retrieved = all(origin == RETRIEVED for _, _, origin in instances.sources(database, study))
    return bool(current) and (retrieved or bool(gone_images.receipts(database, study)))


def _fill_in_patient(database: Database, study: str, counting: Sequence[HeaderReading]) -> None:
    """The first instance may have come without Patient ID: the first that has one decides."""
    row = studies.get(database, study)
    known = next((one for one in counting if one.text("PatientID")), None)
    if row is not None and known is not None and not row.patient_id:
        studies.set_patient(
            database,
            study,
            patient_id=known.text("PatientID"),
            issuer_of_patient_id=known.text("IssuerOfPatientID"),
            accession_number=row.accession_number or known.text("AccessionNumber"),
        )


def _instance(
    database: Database, at: datetime, judgement: Judgement, configuration: Configuration, done: BatchChanges
) -> None:
    reading, arrival = judgement.reading, judgement.reading.arrival
    row = Instance(
        receipt=reading.receipt,
        sop_instance_uid=reading.sop_instance_uid,
        sop_class_uid=reading.sop_class_uid,
        study_instance_uid=reading.study_instance_uid or None,
        series_instance_uid=reading.series_instance_uid or None,
        transfer_syntax_uid=arrival.transfer_syntax_uid,
        status=judgement.status,
        digest=reading.digest,
        comparison=reading.comparison,
        marks=reading.marks,
        frames=reading.frames,
        bytes=reading.bytes,
        calling_ae_title=arrival.calling_ae_title,
        called_ae_title=arrival.called_ae_title,
        peer_address=arrival.peer_address,
        association=arrival.association,
        origin=arrival.origin,
        received_at=arrival.received_at,
    )
    done.answers |= _keep(database, judgement, row)
    if judgement.status in (InstanceStatus.CURRENT, InstanceStatus.CORRECTION):
        facts.add_header(database, reading.receipt, reading.study_instance_uid, reading.header)
    if judgement.status in (*_COUNTS, InstanceStatus.CORRECTION):
        quiet = quiet_period(configuration, arrival.calling_ae_title, reading.text("Modality"))
        done.series[reading.study_instance_uid, reading.series_instance_uid] = quiet
        studies.series_received(
            database,
            study=reading.study_instance_uid,
            series=reading.series_instance_uid,
            modality=reading.text("Modality"),
            description=reading.text("SeriesDescription"),
            received_at=arrival.received_at,
            due_at=at + quiet,
        )


def _keep(database: Database, judgement: Judgement, row: Instance) -> bool:
    """Insert the row, and note that it is an answer where a box sent it; whether it is."""
    instances.insert(database, row)
    box = judgement.reading.from_box
    if judgement.status is not InstanceStatus.ANSWER or not box:
        return False
    answer = BoxAnswer(
        receipt=row.receipt,
        box=box,
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        study_instance_uid=row.study_instance_uid or "",
        called_ae_title=row.called_ae_title,
        association=row.association,
        received_at=row.received_at,
        status=AnswerStatus.NEW,
        attempt=None,
        why=None,
        by=None,
    )
    box_answers.received(database, answer)
    return True


def _events(database: Database, at: datetime, by_study: dict[str, list[Judgement]]) -> None:
    """What is out of the ordinary, once for a study and an association: never one event a slice.

    The count is that of the batch in which it was first seen; each receipt's row says what it counts as.
    """
    for study, those in by_study.items():
        for status, kind in _OUT_OF_THE_ORDINARY.items():
            of_kind = [one for one in those if one.status is status]
            if of_kind:
                _tell_what_came(database, at, study, kind, of_kind)
        marks = Counter(mark for one in those if one.status in _COUNTS for mark in one.reading.marks if mark != LOSSY)
        for mark, count in sorted(marks.items()):
            why = sorted({one.reading.marks[mark] for one in those if mark in one.reading.marks})[:_MOST_NAMED]
            if _is_new(database, study, EventKind.INSTANCE_MARKED, [mark, *(f"{mark}: {each}" for each in why)]):
                sender = _sender(those[0].reading)
                detail: dict[str, Any] = {"mark": mark, "instances": count, "reasons": why}
                events.record(database, at, EventKind.INSTANCE_MARKED, study=study, actor=sender, **detail)
                if mark == MISSING_PATIENT_ID:
                    alerts.met(database, at, AlertKind.INSTANCE_MARKED, study, study=study, **detail)


def _tell_what_came(database: Database, at: datetime, study: str, kind: EventKind, those: Sequence[Judgement]) -> None:
    differences = sorted({keyword for one in those for keyword in one.differences})
    associations = sorted({one.reading.arrival.association for one in those})
    if study and not _is_new(database, study, kind, [*associations, *differences]):
        return
    detail: dict[str, Any] = {
        "instances": len(those),
        "associations": associations,
        "differences": differences,
        "sop_instance_uids": [one.reading.sop_instance_uid for one in those[:_MOST_NAMED]],
        "reasons": sorted({one.reading.unreadable for one in those} - {""})[:_MOST_NAMED],
    }
    sender = _sender(those[0].reading)
    events.record(database, at, kind, study=study or None, actor=sender, **detail)
    if kind in _ALERTS:
        alerts.met(database, at, AlertKind(kind), study, study=study or None, **detail)


def _sender(reading: HeaderReading) -> str:
    return events.ae(reading.arrival.calling_ae_title, reading.arrival.peer_address)


def _is_new(database: Database, study: str, kind: EventKind, what: Sequence[str]) -> bool:
    """Whether any of this was not said of the study yet: each batch brings more of the same."""
    return bool([each for each in what if said.once(database, kind, study, each)])


def _tell_of_senders(database: Database, at: datetime, judged: Sequence[Judgement]) -> None:
    """One alert a sender, not one a study: whoever writes such UIDs writes them into everything.

    An event a day says it again. It is over when the sender sends sound objects alone on a later day.
    """
    counted = [one.reading for one in judged if one.status in _COUNTS]
    day = at.date().isoformat()
    for sender in sorted({each.arrival.calling_ae_title.strip() for each in counted}):
        theirs = [each for each in counted if each.arrival.calling_ae_title.strip() == sender]
        place, bad = f"sender:{sender}", [each for each in theirs if BAD_UID in each.marks]
        if not bad:
            said.forget(database, place, unless=day)
            continue
        detail: dict[str, Any] = {
            "calling_ae_title": sender,
            "day": day,
            "reasons": sorted({each.marks[BAD_UID] for each in bad}),
            "studies": sorted({each.study_instance_uid for each in bad})[:_MOST_NAMED],
        }
        if said.instead(database, EventKind.SENDER_BAD_UIDS, place, day):
            events.record(database, at, EventKind.SENDER_BAD_UIDS, actor=_sender(bad[0]), **detail)
        alerts.met(database, at, AlertKind.SENDER_BAD_UIDS, sender, **detail)


def _consequences(
    database: Database,
    at: datetime,
    study: str,
    those: list[Judgement],
    configuration: Configuration,
    done: BatchChanges,
) -> None:
    corrected = [one for one in those if one.status is InstanceStatus.CORRECTION]
    if corrected:
        newest = corrections.takes_newest(database, study, configuration)
        differences = {keyword for one in corrected for keyword in one.differences}
        comparing = corrections.arrived(database, at, study, differences, newest=newest)
        for each in comparing:
            _reopen(database, at, each, configuration, done, "an earlier study of it was corrected")
        done.stopped = True
        if newest:
            _reopen(database, at, study, configuration, done, "corrected instances have arrived")
    for note in those:
        if note.status is InstanceStatus.CURRENT and note.reading.rejection is not None:
            done.stopped = True
            for concerned in rejecting.apply(database, at, note.reading):
                _reopen(database, at, concerned, configuration, done, "instances were rejected")


def _reopen(
    database: Database, at: datetime, study: str, configuration: Configuration, done: BatchChanges, reason: str
) -> None:
    row = studies.get(database, study)
    if row is not None and row.status is StudyStatus.COMPLETE:
        quiet = study_quiet(database, study, configuration)
        studies.reopened(database, at, study, at + quiet, reason)
        done.arrivals[study] = quiet
