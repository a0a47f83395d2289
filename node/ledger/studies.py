"""Studies and their series: what has arrived, whether it is complete, whether it is decided."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, events, study_words, tallies
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import moment, one, placeholders, query
from node.ledger.unreadable import readable


class StudyStatus(StrEnum):
    """Where a study stands."""

    RECEIVING = "receiving"
    """Instances arrive, or its quiet period has not passed."""
    COMPLETE = "complete"
    """Nothing is in flight and the quiet period has passed; `revision` says how often that has happened."""


class StudyImages(StrEnum):
    """Whether the received files of a study are here (`node.ledger.purges`)."""

    HERE = "here"
    """They are, or none has arrived yet."""
    PURGING = "purging"
    """They are being removed, and nothing may be made from them any more."""
    GONE = "gone"
    """They were removed. What arrives later is a new revision, and its files are here."""


@dataclass(frozen=True, slots=True)
class Study:
    """One row of `studies`."""

    study_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str
    accession_number: str
    status: StudyStatus
    revision: int
    """How often it has become complete; 0 before the first time."""
    decided_revision: int
    """The newest revision that the rules have decided on."""
    hold: str | None
    """Why nothing about it may be sent or run, where something is wrong with it."""
    first_received_at: datetime
    last_received_at: datetime
    last_association: str
    due_at: datetime
    """When it counts as quiet if nothing more arrives."""
    completed_at: datetime | None
    patient_name: str = ""
    """As decoded; for search and for pages that are allowed to show it, never for logs, events or `status`."""
    study_date: str = ""
    study_time: str = ""
    modalities: str = ""
    """Of its series, joined by backslashes."""
    description: str = ""
    images: StudyImages = StudyImages.HERE


@dataclass(frozen=True, slots=True)
class Description:
    """What the header of an instance says of its study; texts as decoded, "" where it does not say."""

    patient_name: str
    study_date: str
    study_time: str
    description: str
    modalities: frozenset[str]


@dataclass(frozen=True, slots=True)
class Series:
    """One row of `series`, and how many of its instances count."""

    series_instance_uid: str
    modality: str
    description: str
    last_received_at: datetime
    instances: int


@dataclass(frozen=True, slots=True)
class OpenSeries:
    """A series of which more is expected."""

    series_instance_uid: str
    due_at: datetime | None
    """When it is quiet if nothing more arrives; None where an earlier program did not say."""


def get(database: Database, study: str) -> Study | None:
    """The study of this UID."""
    row = one(database, "SELECT * FROM studies WHERE study_instance_uid=?", [study])
    return of_row(row) if row else None


_INSERT = (
    "INSERT INTO studies (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, status, revision,"
    " decided_revision, first_received_at, last_received_at, last_association, due_at) VALUES (:study_instance_uid,"
    " :patient_id, :issuer_of_patient_id, :accession_number, 'receiving', 0, 0, :first_received_at, :last_received_at,"
    " :last_association, :due_at)"
)


def received(
    database: Database,
    at: datetime,
    *,
    study: str,
    patient_id: str,
    issuer_of_patient_id: str,
    accession_number: str,
    association: str,
    received_at: datetime,
    due_at: datetime,
    by: str = events.NODE,
) -> None:
    """An instance that counts has arrived: the study is (again) being received, and due at `due_at`.

    `by`: the peer that sent it, as an actor.
    """
    existing = get(database, study)
    if existing is None:
        row = {
            "study_instance_uid": study,
            "patient_id": patient_id,
            "issuer_of_patient_id": issuer_of_patient_id,
            "accession_number": accession_number,
            "first_received_at": to_text(received_at),
            "last_received_at": to_text(received_at),
            "last_association": association,
            "due_at": to_text(due_at),
        }
        database.execute(_INSERT, row)
        study_words.write(database, study)
        events.record(database, at, EventKind.STUDY_FIRST_RECEIVED, study=study, actor=by, association=association)
        return
    database.execute(
        "UPDATE studies SET status=?, last_received_at=max(last_received_at, ?), last_association=?, due_at=?"
        " WHERE study_instance_uid=?",
        [StudyStatus.RECEIVING, to_text(received_at), association, to_text(due_at), study],
    )
    study_words.moved(database, study)
    if existing.status is StudyStatus.COMPLETE:
        _record_growth(database, at, existing, association, by)


def _record_growth(database: Database, at: datetime, study: Study, association: str, by: str) -> None:
    events.record(
        database,
        at,
        EventKind.STUDY_GROWS,
        study=study.study_instance_uid,
        actor=by,
        revision=study.revision,
        association=association,
    )


def series_received(
    database: Database,
    *,
    study: str,
    series: str,
    modality: str,
    description: str,
    received_at: datetime,
    due_at: datetime | None = None,
) -> None:
    """An instance of this series has arrived: it is (again) being received, and quiet at `due_at`."""
    database.execute(
        "INSERT INTO series (series_instance_uid, study_instance_uid, modality, description, last_received_at, due_at)"
        " VALUES (?,?,?,?,?,?)"
        " ON CONFLICT DO UPDATE SET last_received_at=max(last_received_at, excluded.last_received_at),"
        " due_at=excluded.due_at, completed_at=NULL",
        [series, study, modality, description, to_text(received_at), to_text(due_at) if due_at else None],
    )


def open_series(database: Database, study: str) -> list[OpenSeries]:
    """Series of the study of which more is expected."""
    sql = "SELECT series_instance_uid, due_at FROM series WHERE study_instance_uid=? AND completed_at IS NULL"
    return [OpenSeries(row["series_instance_uid"], moment(row["due_at"])) for row in query(database, sql, [study])]


def series_completed(database: Database, at: datetime, study: str, series: Sequence[str]) -> None:
    """Nothing more of these series is expected."""
    for uid in series:
        sql = "UPDATE series SET completed_at=? WHERE study_instance_uid=? AND series_instance_uid=?"
        database.execute(sql, [to_text(at), study, uid])
        events.record(database, at, EventKind.SERIES_COMPLETE, study=study, series=uid)


def complete(database: Database, at: datetime, study: str) -> int:
    """Nothing is in flight and the quiet period has passed: the next revision; returns its number."""
    database.execute(
        "UPDATE studies SET status=?, revision=revision+1, completed_at=? WHERE study_instance_uid=?",
        [StudyStatus.COMPLETE, to_text(at), study],
    )
    sql = "UPDATE series SET completed_at=? WHERE study_instance_uid=? AND completed_at IS NULL"
    database.execute(sql, [to_text(at), study])
    row = one(database, "SELECT revision FROM studies WHERE study_instance_uid=?", [study])
    assert row is not None, study
    revision = int(row["revision"])
    events.record(database, at, EventKind.STUDY_COMPLETE, study=study, revision=revision)
    return revision


def reopened(
    database: Database, at: datetime, study: str, due_at: datetime, reason: str, by: str = events.NODE
) -> None:
    """What counts of the study has changed without an instance that counts: it will be complete again."""
    database.execute(
        "UPDATE studies SET status=?, due_at=? WHERE study_instance_uid=?",
        [StudyStatus.RECEIVING, to_text(due_at), study],
    )
    events.record(database, at, EventKind.STUDY_REOPENED, study=study, actor=by, reason=reason)


def set_patient(
    database: Database, study: str, *, patient_id: str, issuer_of_patient_id: str, accession_number: str
) -> None:
    """Which patient the study belongs to, where the first instance did not say or a correction says otherwise."""
    database.execute(
        "UPDATE studies SET patient_id=?, issuer_of_patient_id=?, accession_number=? WHERE study_instance_uid=?",
        [patient_id, issuer_of_patient_id, accession_number, study],
    )
    study_words.write(database, study)


def described(database: Database, study: str, said: Description, *, newest: bool = False) -> None:
    """What an instance says of the study: it fills in what is not known yet; `newest`: it replaces that."""
    row = get(database, study)
    if row is None:
        return
    first, second = (said, row) if newest else (row, said)
    texts = [getattr(first, name) or getattr(second, name) for name in _DESCRIPTION]
    modalities = "\\".join(sorted((said.modalities | set(row.modalities.split("\\"))) - {""}))
    if (*texts, modalities) == (*(getattr(row, name) for name in _DESCRIPTION), row.modalities):
        return
    database.execute(
        "UPDATE studies SET patient_name=?, study_date=?, study_time=?, description=?, modalities=?"
        " WHERE study_instance_uid=?",
        [*texts, modalities, study],
    )
    study_words.write(database, study)


_DESCRIPTION = ("patient_name", "study_date", "study_time", "description")


def decided(database: Database, at: datetime, study: str, revision: int) -> None:
    """The rules have decided on this revision."""
    database.execute(
        "UPDATE studies SET decided_revision=max(decided_revision, ?) WHERE study_instance_uid=?", [revision, study]
    )
    events.record(database, at, EventKind.STUDY_DECIDED, study=study, revision=revision)


def hold(database: Database, at: datetime, study: str, reason: str, *, alert: bool = True) -> None:
    """Something is wrong with the study: nothing about it is run or sent until `unhold`.

    `alert`: False where one alert about many studies says it.
    """
    database.execute("UPDATE studies SET hold=? WHERE study_instance_uid=?", [reason, study])
    if alert:
        alerts.raised(database, at, AlertKind.STUDY_HELD, study, study=study, reason=reason)
    else:
        events.record(database, at, EventKind.STUDY_HELD, study=study, reason=reason)


def unhold(database: Database, at: datetime, study: str, by: str) -> None:
    """A person, `by`, has looked at it, or a rule says that the newest is right."""
    database.execute("UPDATE studies SET hold=NULL WHERE study_instance_uid=?", [study])
    events.record(database, at, EventKind.STUDY_RELEASED, study=study, actor=by)


def receiving(database: Database) -> list[Study]:
    """Studies whose completion has to be watched."""
    rows = query(database, "SELECT * FROM studies WHERE status=? ORDER BY due_at", [StudyStatus.RECEIVING])
    return readable(database, "studies", rows, of_row)


def undecided(database: Database) -> list[Study]:
    """Complete revisions that the rules have not decided on, oldest first."""
    # of this index because it has the few that wait, where SQLite would choose the one of all that were ever complete
    sql = (
        "SELECT * FROM studies INDEXED BY studies_undecided"
        " WHERE status='complete' AND decided_revision < revision ORDER BY completed_at"
    )
    return readable(database, "studies", query(database, sql), of_row)


def latest(database: Database, limit: int) -> list[Study]:
    """The studies that last received something, newest first."""
    rows = query(database, "SELECT * FROM studies ORDER BY last_received_at DESC LIMIT ?", [limit])
    return readable(database, "studies", rows, of_row)


def completed_since(database: Database, since: datetime) -> list[str]:
    """The studies that were (last) complete since then, oldest first."""
    sql = "SELECT study_instance_uid FROM studies WHERE completed_at>=? ORDER BY completed_at"
    return [row["study_instance_uid"] for row in query(database, sql, [to_text(since)])]


def matching(database: Database, text: str, limit: int = 20) -> list[Study]:
    """Studies whose UID begins or ends with `text`, or whose accession number is `text`; the whole UID alone wins."""
    whole = get(database, text)
    if whole is not None:
        return [whole]
    begin = "SELECT study_instance_uid AS uid FROM studies WHERE study_instance_uid>=? AND study_instance_uid<? LIMIT ?"
    order = "SELECT study_instance_uid AS uid FROM studies WHERE accession_number=? LIMIT ?"
    named = [
        *query(database, begin, [text, text + study_words.AFTER_ALL, limit]),
        *query(database, order, [text, limit]),
    ]
    uids = {*(row["uid"] for row in named), *study_words.ending(database, text, limit)}
    if not uids:
        return []
    sql = f"SELECT * FROM studies WHERE study_instance_uid IN ({placeholders(uids)})"  # noqa: S608 - only places
    found = readable(database, "studies", query(database, sql, [*uids]), of_row)
    return sorted(found, key=lambda study: study.last_received_at, reverse=True)[:limit]


def of_accession(database: Database, accession: str, limit: int = 20) -> list[Study]:
    """Studies that have exactly this accession number, the one that last received something first."""
    sql = "SELECT * FROM studies WHERE accession_number=? ORDER BY last_received_at DESC LIMIT ?"
    return readable(database, "studies", query(database, sql, [accession, limit]), of_row)


def held(database: Database) -> list[Study]:
    """Studies that a person has to look at before anything is run or sent, newest first."""
    rows = query(database, "SELECT * FROM studies WHERE hold IS NOT NULL ORDER BY last_received_at DESC")
    return readable(database, "studies", rows, of_row)


def labels(database: Database, uids: Collection[str]) -> dict[str, tuple[str, str, str]]:
    """Accession number, modalities (`MR+SR`) and study date (as DICOM writes it) of these studies, by UID."""
    among = f"study_instance_uid IN ({placeholders(uids)})"
    modalities: dict[str, list[str]] = {}
    for row in query(
        database,
        f"SELECT DISTINCT study_instance_uid AS uid, modality FROM series WHERE {among}",  # noqa: S608 - only places
        [*uids],
    ):
        modalities.setdefault(row["uid"], []).append(row["modality"])
    found = query(
        database,
        f"SELECT study_instance_uid AS uid, accession_number, study_date FROM studies WHERE {among}",  # noqa: S608 - only places
        [*uids],
    )
    return {
        row["uid"]: (row["accession_number"], "+".join(sorted(modalities.get(row["uid"], ()))), row["study_date"])
        for row in found
    }


def counts(database: Database) -> dict[StudyStatus, int]:
    """How many studies are in each state."""
    return {StudyStatus(status): n for status, n in tallies.of(database, "studies").items()}


def series_of(database: Database, study: str) -> list[Series]:
    """The study's series, by modality and UID."""
    rows = query(
        database,
        "SELECT series_instance_uid, modality, description, last_received_at, (SELECT count(*) FROM instances WHERE"
        " instances.study_instance_uid=series.study_instance_uid AND status='current'"
        " AND instances.series_instance_uid=series.series_instance_uid) AS instances"
        " FROM series WHERE study_instance_uid=? ORDER BY modality, series_instance_uid",
        [study],
    )
    return [Series(**{**row, "last_received_at": from_text(row["last_received_at"])}) for row in rows]


def of_row(row: dict[str, Any]) -> Study:
    """The study of a row; raises where an edited row is not one."""
    return Study(
        **{
            **{name: row[name] for name in Study.__slots__},
            "status": StudyStatus(row["status"]),
            "images": StudyImages(row["images"]),
            "first_received_at": from_text(row["first_received_at"]),
            "last_received_at": from_text(row["last_received_at"]),
            "due_at": from_text(row["due_at"]),
            "completed_at": moment(row["completed_at"]),
        }
    )
