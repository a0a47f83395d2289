"""A ledger of recorded CT studies and sets of rules, for the benches of deciding and of replaying.

Each study has 363 instances in four series. One is made as the index makes it; the others are copies of it by SQL, each
with UIDs, patient, description, protocol, station and age of its own, so that what is remembered from one study to the
next helps no more than in a hospital.
"""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydicom import dcmread
from pydicom.data import get_testdata_file

from node.clock import SystemClock, to_text
from node.config.dictionary import DataDictionary
from node.dicom.elements import parse
from node.dicom.values import Converter
from node.ledger import facts, instances, studies
from node.ledger.database import Database, Ledger
from node.ledger.facts import InstanceRecord, SeriesRecord
from node.ledger.instances import Instance, InstanceStatus
from rules.model import DICTIONARY, Rule
from tests.support.sites.job_site import CT

SERIES = {"localizer": (2, 5.0), "thin": (240, 1.0), "thick": (60, 5.0), "sharp": (61, 1.0)}
ZONE = ZoneInfo("Asia/Seoul")
DAYS = 7
"""The studies were complete at even intervals over so many days until now."""
_PARTS = ("CHEST", "ABDOMEN", "HEAD", "NECK", "PELVIS", "SPINE", "KNEE", "FOOT", "HAND", "HIP")
_KINDS = ("routine", "low dose", "follow-up", "with contrast", "trauma", "post-op", "screening", "biopsy plan")
_STATIONS = ("CT1", "CT2", "CT3", "ED-CT1", "ED-CT2", "ONC-CT")
_FIRST = "1.2.826.0.1.9"


def record(ledger: Ledger, count: int) -> list[str]:
    """So many complete studies; returns their UIDs, oldest first."""
    now = SystemClock().now()
    with ledger.transaction() as database:
        _example(database, now)
    uids = [f"1.2.826.0.1.1.{number}" for number in range(1, count + 1)]
    for start in range(0, count, 100):
        with ledger.transaction() as database:
            for number, uid in enumerate(uids[start : start + 100], start):
                _copy(database, uid, number, now - timedelta(days=DAYS) * (count - number) / count * 0.999)
    with ledger.transaction() as database:
        for table in ("series_facts", "instances", "study_words", "studies"):
            database.execute(f"DELETE FROM {table} WHERE study_instance_uid=?", [_FIRST])
    return uids


def _example(database: Database, now: datetime) -> None:
    template = _header()
    studies.received(
        database,
        now,
        study=_FIRST,
        patient_id="P",
        issuer_of_patient_id="",
        accession_number="A",
        association="a",
        received_at=now,
        due_at=now,
    )
    revision = studies.complete(database, now, _FIRST)
    for number, name in enumerate(SERIES, 1):
        series = _series(number, name, template)
        facts.save(database, _FIRST, revision, facts.packed(series))
        for one in series.instances:
            instances.insert(database, _row(series.series_instance_uid, one, now))


def _header() -> dict[str, Any]:
    """The header of a real CT slice, as the indexer keeps it."""
    path = Path(str(get_testdata_file("CT_small.dcm")))
    length = dcmread(path).file_meta.FileMetaInformationGroupLength
    contents = parse(memoryview(path.read_bytes())[144 + length :], implicit=False, little=True)
    return Converter(little=True).header(contents.elements)


def _series(number: int, name: str, template: dict[str, Any]) -> SeriesRecord:
    count, thickness = SERIES[name]
    kind = "LOCALIZER" if name == "localizer" else "AXIAL"
    shared = template | {
        "SeriesNumber": ["IS", [number]],
        "SeriesDescription": ["LO", [name]],
        "StudyDescription": ["LO", ["its description"]],
        "ProtocolName": ["LO", ["its protocol"]],
        "StationName": ["SH", ["its station"]],
        "ImageType": ["CS", ["ORIGINAL", "PRIMARY", kind]],
        "SliceThickness": ["DS", [thickness]],
        "ConvolutionKernel": ["SH", ["B70f" if name == "sharp" else "B30f"]],
        "PatientAge": ["AS", ["its age"]],
    }
    uid = f"{_FIRST}.{number}"
    return SeriesRecord(
        uid,
        tuple(
            InstanceRecord(
                f"{uid}.{slice_}",
                f"{uid}.{slice_}",
                CT,
                "1.2.840.10008.1.2.1",
                1,
                (),
                shared
                | {
                    "SOPInstanceUID": ["UI", [f"{uid}.{slice_}"]],
                    "InstanceNumber": ["IS", [slice_]],
                    "ImagePositionPatient": ["DS", [-120.5, -130.5, slice_ * thickness]],
                    "SliceLocation": ["DS", [slice_ * thickness]],
                    "ContentTime": ["TM", [f"1015{slice_ % 60:02}.{slice_:06}"]],
                },
            )
            for slice_ in range(1, count + 1)
        ),
    )


def _row(series: str, one: InstanceRecord, now: datetime) -> Instance:
    return Instance(
        one.receipt,
        one.sop_instance_uid,
        CT,
        _FIRST,
        series,
        one.transfer_syntax_uid,
        InstanceStatus.CURRENT,
        "digest",
        {},
        {},
        1,
        10,
        "SCANNER",
        "PACSNODE",
        "127.0.0.1",
        "a",
        "received",
        now,
    )


def _copy(database: Database, uid: str, number: int, completed_at: datetime) -> None:
    at, patient = to_text(completed_at), f"P{number // 3}"
    database.execute(
        "INSERT INTO studies (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, status, revision,"
        " decided_revision, first_received_at, last_received_at, last_association, due_at, completed_at)"
        " SELECT ?, ?, '', ?, status, revision, revision, ?, ?, last_association, ?, ? FROM studies"
        " WHERE study_instance_uid=?",
        [uid, patient, f"A{number}", at, at, at, at, _FIRST],
    )
    own = ("receipt", "sop_instance_uid", "study_instance_uid", "series_instance_uid")
    rest = ",".join(name for name in Instance.__slots__ if name not in own)
    database.execute(
        f"INSERT INTO instances ({','.join(own)},{rest})"
        f" SELECT {','.join(f'replace({name}, :first, :uid)' for name in own)},{rest}"
        " FROM instances WHERE study_instance_uid=:first",
        {"first": _FIRST, "uid": uid},
    )
    part, kind = _PARTS[number % 10], _KINDS[number // 10 % 8]
    values = {
        _FIRST: uid,
        "its description": f"CT {part} {kind}",
        "its protocol": f"{number % 31} {part.lower()} {kind}",
        "its station": _STATIONS[number * 7 % 6],
        "its age": f"{1 + number * 37 % 95:03}Y",
    }
    rows = database.execute(
        "SELECT series_instance_uid, look, facts FROM series_facts WHERE study_instance_uid=?", [_FIRST]
    )
    for series, look, blob in rows.fetchall():
        text = zlib.decompress(blob).decode()
        for old, new in values.items():
            text = text.replace(old, new)
        packed = zlib.compress(text.encode(), 6)
        database.execute(
            "INSERT INTO series_facts (study_instance_uid, series_instance_uid, revision, look, facts)"
            " VALUES (?,?,1,?,?)",
            [uid, series.replace(_FIRST, uid), look, packed],
        )


def rules_of(count: int) -> list[Rule]:
    """So many rules, no two alike: a tenth of them ask for one part of the body and get as far as choosing."""
    return [Rule.model_validate(_rule(number), context={DICTIONARY: DataDictionary()}) for number in range(count)]


def draft_of(rules: list[Rule]) -> list[Rule]:
    """Every tenth rule asks for another age; of the first one, which matches, the day's studies are limited."""
    return [_changed(rule, number) if number % 10 == 5 or number == 0 else rule for number, rule in enumerate(rules)]


def _changed(rule: Rule, number: int) -> Rule:
    plain = rule.model_dump(mode="json", exclude_none=True)
    plain["when"]["all"].append({"patient_age": {"below": 90}})
    if number == 0:
        plain["limits"] = {"per_day": 5}
    return Rule.model_validate(plain, context={DICTIONARY: DataDictionary()})


def _rule(number: int) -> dict[str, Any]:
    part = _PARTS[number // 10 % 10].lower() if number % 10 == 0 else f"part{number}"
    thinnest = 1.5 + number / 1000 if number % 100 == 0 else 0.5 + number / 10000
    return {
        "name": f"rule-{number}",
        "when": {
            "all": [
                {"Modality": ["CT", "PT"]},
                {"any": [{"StudyDescription": {"matches": f"*{part}*"}}, {"ProtocolName": {"matches": f"{part} *"}}]},
                {"patient_age": {"at_least": 18 + number % 7}},
                {"not": {"StationName": f"ROOM-{number}"}},
            ]
        },
        "choose": {
            "only_images": {"not": {"ImageType": {"contains": "LOCALIZER"}}},
            "where": {
                "Modality": "CT",
                "ImageType": {"contains": ["ORIGINAL", "PRIMARY"]},
                "SliceThickness": {"at_most": thinnest},
                "image_count": {"at_least": 60},
                "slice_plane": "axial",
            },
            "prefer": [{"SliceThickness": "smallest"}, {"ConvolutionKernel": ["B3*", "Br3*", "STANDARD"]}],
        },
        "run": "lung-density",
        "mode": "shadow",
    }
