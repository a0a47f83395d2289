"""What rules would see of DICOM files on this machine: read as the indexer reads what it receives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from node.config.models import Configuration
from node.index import header
from node.index.header import HeaderReading, sender_terms
from node.ledger.facts import InstanceRecord, SeriesRecord, columns_of
from node.ledger.instances import Arrivals, ArrivalSource
from node.ledger.studies import Study, StudyStatus
from node.route.facts import study_facts
from rules.facts import StudyFacts


@dataclass
class StudiesInFiles:
    """The studies in some files, and the files that rules see nothing of."""

    studies: list[StudyFacts] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    """Each with the reason."""


def studies_in(
    paths: Sequence[Path], now: datetime, configuration: Configuration, origin: str = "received"
) -> StudiesInFiles:
    """The studies in files and folders, complete, as if all of them had arrived at `now` by `origin`."""
    zone, terms = configuration.node.zone, sender_terms(configuration)
    found = StudiesInFiles()
    readings: dict[str, dict[str, HeaderReading]] = {}
    for path in _files(paths):
        try:
            reading = header.read_file(path, now, terms)
            reading = replace(reading, arrival=replace(reading.arrival, origin=origin))
        except ValueError:
            found.skipped.append((path, "no DICOM file"))
            continue
        except OSError as error:
            found.skipped.append((path, f"cannot be read: {error.strerror}"))
            continue
        of_study = readings.setdefault(reading.study_instance_uid, {})
        if reading.unreadable:
            found.skipped.append((path, reading.unreadable))
        elif reading.makers:
            found.skipped.append((path, "pacsnode made it: rules of the node that did do not see it"))
        elif reading.sop_instance_uid in of_study:
            found.skipped.append((path, "another file holds the same SOP instance"))
        else:
            of_study[reading.sop_instance_uid] = reading
    found.studies = [_facts(uid, list(each.values()), now, zone) for uid, each in readings.items() if each]
    return found


def _files(paths: Iterable[Path]) -> list[Path]:
    named = {
        file.resolve(): file
        for path in paths
        for file in (sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path])
    }
    return list(named.values())


def _facts(uid: str, readings: Sequence[HeaderReading], now: datetime, zone: ZoneInfo) -> StudyFacts:
    study = Study(
        study_instance_uid=uid,
        patient_id="",
        issuer_of_patient_id="",
        accession_number="",
        status=StudyStatus.COMPLETE,
        revision=1,
        decided_revision=0,
        hold=None,
        first_received_at=now,
        last_received_at=now,
        last_association="",
        due_at=now,
        completed_at=now,
    )
    series: dict[str, list[InstanceRecord]] = {}
    for reading in readings:
        series.setdefault(reading.series_instance_uid, []).append(_record(reading))
    records = [columns_of(SeriesRecord(name, tuple(each))) for name, each in sorted(series.items())]
    return study_facts(study, records, _arrivals(readings), now, zone)


def _record(reading: HeaderReading) -> InstanceRecord:
    return InstanceRecord(
        receipt=reading.sop_instance_uid,
        sop_instance_uid=reading.sop_instance_uid,
        sop_class_uid=reading.sop_class_uid,
        transfer_syntax_uid=reading.arrival.transfer_syntax_uid,
        frames=reading.frames,
        marks=tuple(sorted(reading.marks)),
        header=reading.header,
    )


def _arrivals(readings: Sequence[HeaderReading]) -> Arrivals:
    ways = [each.arrival for each in readings]
    return Arrivals(
        frozenset(each.sop_instance_uid for each in readings),
        frozenset(
            ArrivalSource(way.calling_ae_title, way.called_ae_title, way.peer_address, way.origin) for way in ways
        ),
        {each.sop_instance_uid: each.arrival.calling_ae_title for each in readings},
    )
