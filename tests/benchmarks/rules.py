"""Decisions per second over recorded studies: from the ledger's rows to decisions, as the node and replay make them.

    python -m tests.benchmarks.rules [--studies 200]

One decision is one study held against one rule. The studies are CT studies of 363 instances in four
series, in a ledger on disk; each is read, unpacked and decided anew. The rules differ in what they ask,
a tenth of them get as far as choosing among the series, and one in a hundred matches.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydicom import dcmread
from pydicom.data import get_testdata_file

from node.config.dictionary import DataDictionary
from node.index.elements import parse
from node.index.values import Converter
from node.ledger import facts, instances, studies
from node.ledger.facts import InstanceRecord, SeriesRecord
from node.ledger.instances import Instance, InstanceStatus
from node.route.facts import study_facts
from rules.engine import decide
from rules.model import DICTIONARY, Rule
from tests.support.job_site import CT, Site

SERIES = {"localizer": (2, 5.0), "thin": (240, 1.0), "thick": (60, 5.0), "sharp": (61, 1.0)}
ZONE = ZoneInfo("Asia/Seoul")


@dataclass(frozen=True)
class Rate:
    """What was measured."""

    rules: int
    studies: int
    with_traces: bool
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Decisions per second."""
        return self.rules * self.studies / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """The same on a machine that nobody else uses."""
        return self.rules * self.studies / self.cpu_seconds


def _header() -> dict[str, Any]:
    """The header of a real CT slice, as the indexer keeps it."""
    path = Path(str(get_testdata_file("CT_small.dcm")))
    length = dcmread(path).file_meta.FileMetaInformationGroupLength
    contents = parse(memoryview(path.read_bytes())[144 + length :], implicit=False, little=True)
    return Converter(little=True).header(contents.elements)


def _series(study: str, number: int, name: str, template: dict[str, Any]) -> SeriesRecord:
    count, thickness = SERIES[name]
    kind = "LOCALIZER" if name == "localizer" else "AXIAL"
    shared = template | {
        "SeriesNumber": ["IS", [number]],
        "SeriesDescription": ["LO", [name]],
        "StudyDescription": ["LO", ["CT CHEST routine"]],
        "ImageType": ["CS", ["ORIGINAL", "PRIMARY", kind]],
        "SliceThickness": ["DS", [thickness]],
        "ConvolutionKernel": ["SH", ["B70f" if name == "sharp" else "B30f"]],
        "PatientAge": ["AS", ["055Y"]],
    }
    uid = f"{study}.{number}"
    return SeriesRecord(
        uid,
        tuple(
            InstanceRecord(
                f"{uid}.{slice_}", f"{uid}.{slice_}", CT, "1.2.840.10008.1.2.1", 1, (),
                shared | {
                    "SOPInstanceUID": ["UI", [f"{uid}.{slice_}"]],
                    "InstanceNumber": ["IS", [slice_]],
                    "ImagePositionPatient": ["DS", [-120.5, -130.5, slice_ * thickness]],
                    "SliceLocation": ["DS", [slice_ * thickness]],
                    "ContentTime": ["TM", [f"1015{slice_ % 60:02}.{slice_:06}"]],
                },
            )
            for slice_ in range(1, count + 1)
        ),
    )  # fmt: skip


def record(site: Site, count: int) -> list[str]:
    """So many complete studies in the site's ledger; returns their UIDs."""
    template = _header()
    uids = [f"1.2.826.0.1.{number}" for number in range(1, count + 1)]
    now = site.clock.now()
    for uid in uids:
        records = [_series(uid, number, name, template) for number, name in enumerate(SERIES, 1)]
        with site.ledger.transaction() as database:
            studies.received(
                database, now, study=uid, patient_id="P1", issuer_of_patient_id="", accession_number="A1",
                association="a", received_at=now, due_at=now,
            )  # fmt: skip
            revision = studies.complete(database, now, uid)
            for series in records:
                facts.save(database, uid, revision, series)
                for one in series.instances:
                    instances.insert(database, _row(uid, series.series_instance_uid, one, now))
    return uids


def _row(study: str, series: str, one: InstanceRecord, now: Any) -> Instance:
    return Instance(
        one.receipt, one.sop_instance_uid, CT, study, series, one.transfer_syntax_uid, InstanceStatus.CURRENT, "digest",
        {}, {}, 1, 10, "SCANNER", "PACSNODE", "127.0.0.1", "a", "received", now,
    )  # fmt: skip


def rules_of(count: int) -> list[Rule]:
    """So many rules, no two alike."""
    return [Rule.model_validate(_rule(number), context={DICTIONARY: DataDictionary()}) for number in range(count)]


def _rule(number: int) -> dict[str, Any]:
    part = "chest" if number % 10 == 0 else f"part{number}"
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


def measure(site: Site, uids: list[str], rules: list[Rule], *, with_traces: bool) -> Rate:
    """Decide on every study, from its rows on."""
    begin, cpu = time.perf_counter(), time.process_time()
    for uid in uids:
        database = site.ledger.database
        study = studies.get(database, uid)
        assert study is not None
        kept = facts.columns_of_study(database, uid, study.revision)
        current = instances.arrivals(database, uid)
        decisions = decide(rules, study_facts(study, kept, current, site.clock.now(), ZONE))
        if with_traces:
            assert all(each.trace for each in decisions)
    return Rate(len(rules), len(uids), with_traces, time.perf_counter() - begin, time.process_time() - cpu)


def main(count: int = 100) -> list[Rate]:
    """Measure and print; `make bench` calls it."""
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        uids = record(site, count)
        for number in (10, 100, 1000):
            rules = rules_of(number)
            for with_traces in (False, True):
                rate = measure(site, uids, rules, with_traces=with_traces)
                what = "with every trace" if with_traces else "decisions alone "
                print(
                    f"{number:5} rules, {count} studies, {what}: {rate.per_second:9,.0f} decisions/s"
                    f" ({rate.per_cpu_second:9,.0f} per CPU-second)"
                )
                rates.append(rate)
    return rates


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100)
    main(parser.parse_args().studies)
