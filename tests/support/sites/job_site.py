"""A data folder with a ledger, studies and plugins, for tests of the stages route and run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from node.clock import Clock
from node.config.models import PluginUse
from node.ledger import decisions, events, facts, instances, jobs, studies
from node.ledger.database import FILE, Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.facts import InstanceRecord, SeriesRecord
from node.ledger.instances import Instance, InstanceStatus
from node.ledger.job import Job, JobInput, NewJob
from node.run import catalogue
from node.run.catalogue import Catalogue
from node.run.sandbox import Isolation
from node.stage import Node
from node.store.arrival import Arrival, file_header
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support.clocks import HandClock

STUDY = "1.2.3"
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
NOT_ISOLATED = Isolation(None, "the test wants it so")

MANIFEST = """
schema = 1
outputs = ["findings", "segmentation"]
[identity]
name = "{name}"
version = "1"
manufacturer = "tests"
intended_use = "Plays a plugin."
[runtime]
identity = "{identity}"
{runtime}
[[concepts]]
value = "1"
scheme = "99TEST"
meaning = "Thing"
[parameters.level]
default = 5
description = "A number."
"""

PLUGIN = """
import ctypes, json, os, socket, sys, time
from pathlib import Path
import numpy as np
from plugins.contract import *
CODE = Code("1", "99TEST", "Thing")
CATEGORY = Code("2", "99TEST", "Category")
def nothing(summary="Looked, found nothing."):
    return Result(ResultStatus.NO_FINDINGS, summary, (Finding(CODE, present=False),))
class Plugin:
    def analyse(self, study, parameters):
        FILES = study.series[0].files
        OUT = study.scratch.parent / "out"
{body}
        return nothing()
"""


class Site:
    """What the stages work on."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.folder = folder
        self.data_folder = DataFolder(folder / "data")
        self.ledger = Ledger(self.data_folder.data / FILE)
        self.clock = clock or HandClock()
        self.signal = Wakes()
        self.uses: dict[str, PluginUse] = {}

    @property
    def node(self) -> Node:
        """What the stages share, with the clock that the site has now."""
        return Node(self.ledger, self.data_folder, self.clock, self.signal)

    def receive(self, count: int = 2, *, study: str = STUDY, series: str = "1", **options: Any) -> list[str]:
        """Instances of one series of a study, indexed; returns their receipts. See `_header` for `options`.

        `contents` makes the data set of each number; without it there is none, only bytes.
        """
        marks, origin = options.pop("marks", {}), options.pop("origin", "received")
        contents = options.pop("contents", lambda number: f"instance {number}".encode())
        receipts = []
        now = self.clock.now()
        with self.ledger.transaction() as database:
            studies.received(
                database,
                now,
                study=study,
                patient_id=options.get("PatientID", ("LO", "P1"))[1],
                issuer_of_patient_id="",
                accession_number=options.get("AccessionNumber", ("SH", "A1"))[1],
                association="a",
                received_at=now,
                due_at=now,
            )
            studies.series_received(
                database, study=study, series=f"{study}.{series}", modality="CT", description="", received_at=now
            )
            known = len(instances.of_study(database, study, list(InstanceStatus)))
            for number in range(known + 1, known + count + 1):
                receipt = self.data_folder.new_receipt()
                path = self.data_folder.stored(receipt)
                path.parent.mkdir(exist_ok=True)
                uid = f"{study}.{series}.{number}"
                digest = self.write(receipt, uid, contents(number))
                instances.insert(
                    database,
                    Instance(
                        receipt,
                        uid,
                        CT,
                        study,
                        f"{study}.{series}",
                        EXPLICIT,
                        InstanceStatus.CURRENT,
                        digest,
                        {},
                        marks,
                        1,
                        10,
                        "SCANNER",
                        "PACSNODE",
                        "127.0.0.1",
                        "a",
                        origin,
                        now,
                    ),
                )
                facts.add_header(database, receipt, study, _header(number, options))
                receipts.append(receipt)
        return receipts

    def write(self, receipt: str, uid: str, content: bytes) -> str:
        """The stored file of a receipt, `content` its data set; returns the digest that the ledger keeps of it."""
        arrival = Arrival(CT, uid, EXPLICIT, "SCANNER", "PACSNODE", "127.0.0.1", "a", self.clock.now())
        self.data_folder.stored(receipt).write_bytes(file_header(arrival) + content)
        return hashlib.sha256(content).hexdigest()

    def complete(self, study: str = STUDY) -> int:
        """The study's next revision; returns its number."""
        with self.ledger.transaction() as database:
            revision = studies.complete(database, self.clock.now(), study)
            headers = facts.headers_of(database, study)
            earlier = {one.receipt: one for each in facts.of_study(database, study, revision) for one in each.instances}
            by_series: dict[str, list[InstanceRecord]] = {}
            for row in instances.of_study(database, study):
                header = headers.get(row.receipt) or earlier[row.receipt].header
                assert row.series_instance_uid is not None
                by_series.setdefault(row.series_instance_uid, []).append(
                    InstanceRecord(
                        row.receipt, row.sop_instance_uid, CT, row.transfer_syntax_uid, 1, tuple(row.marks), header
                    )
                )
            for uid, records in by_series.items():
                facts.save(database, study, revision, facts.packed(SeriesRecord(uid, tuple(records))))
        return revision

    def job(self, plugin: str, receipts: Sequence[str], *, study: str = STUDY, **fields: Any) -> Job:
        """Queue a job on these receipts of a complete study."""
        now = self.clock.now()
        row = studies.get(self.ledger.database, study)
        assert row is not None
        new: dict[str, Any] = {
            "study_instance_uid": study,
            "revision": row.revision,
            "rule": f"rule of {plugin}",
            "step": plugin,
            "subject": "study",
            "plugin": plugin,
            "parameters": {"level": 5},
            "inputs": (JobInput("", f"{study}.1", tuple(receipts)),),
            "inputs_digest": "digest",
            "destinations": ("pacs",),
            "mode": "pilot",
            "priority": 0,
            "on_correction": "hold",
            "images_complete_at": now,
        } | fields
        with self.ledger.transaction() as database:
            decisions.keep_rule_set(database, now, "rules", "[]")
            decision = decisions.record(
                database,
                now,
                study=study,
                revision=row.revision,
                rule=new["rule"],
                rule_set="rules",
                outcome=DecisionOutcome.MATCHED,
                trace={},
            )
            job = jobs.enqueue(database, now, decision, NewJob(**new))
        assert job is not None
        return job

    def python_plugin(self, name: str, body: str = "pass", **use: Any) -> None:
        """A Python plugin whose `analyse` does `body` and, unless that returns, answers "nothing found".

        It gets the images as received unless `identity="pseudonym"`: what these sites store is no data set.
        """
        folder = self._plugin_folder(name, 'kind = "python"\nentry = "the_plugin:Plugin"', use)
        text = PLUGIN.format(body=textwrap.indent(textwrap.dedent(body), " " * 8))
        (folder / "the_plugin.py").write_text(text, encoding="utf-8")

    def command_plugin(self, name: str, script: str, **use: Any) -> None:
        """A plugin that is a program: `script` begins with `#!`, its only argument is the job's folder."""
        folder = self._plugin_folder(name, 'kind = "command"\ncommand = ["program", "{folder}"]', use)
        (folder / "program").write_text(textwrap.dedent(script).lstrip(), encoding="utf-8")
        (folder / "program").chmod(0o755)

    def _plugin_folder(self, name: str, runtime: str, use: dict[str, Any]) -> Path:
        identity = use.pop("identity", "full")
        folder = self.folder / "plugins" / name
        folder.mkdir(parents=True)
        (folder / "plugin.toml").write_text(
            MANIFEST.replace("{name}", name).replace("{identity}", identity).replace("{runtime}", runtime),
            encoding="utf-8",
        )
        self.uses[name] = PluginUse(folder=folder, **{"memory": "400MiB", "deadline": "60s"} | use)
        return folder

    def catalogue(self, isolation: Isolation | None = None) -> Catalogue:
        """All plugins of the site."""
        return catalogue.load(self.uses, self.data_folder.data, isolation)

    def get(self, job: Job) -> Job:
        """The job as it stands."""
        return jobs.get(self.ledger.database, job.id)

    def kept(self, job: Job) -> dict[str, Any]:
        """The job's kept result.json."""
        folder = self.get(job).result
        assert folder is not None
        text = (self.data_folder.data / folder / "out" / "result.json").read_text(encoding="utf-8")
        content: dict[str, Any] = json.loads(text)
        return content

    def log(self, job: Job) -> str:
        """What the job's attempts printed."""
        return (self.data_folder.results / job.id / "log.txt").read_text(encoding="utf-8", errors="replace")

    def kinds(self, study: str = STUDY) -> list[str]:
        """Kinds of the events of a study, oldest first."""
        return [event.kind for event in events.of_study(self.ledger.database, study)]


def logs_of(site: Site) -> dict[Path, str]:
    """What plugins at work have printed so far, by file."""
    found = {}
    for path in site.data_folder.work.glob("*/*/log.txt"):
        with contextlib.suppress(FileNotFoundError):  # moved meanwhile
            found[path] = path.read_text(errors="replace")
    return found


def processes_of(site: Site) -> list[str]:
    """Command lines of the living processes that were started on a job of the site."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if str(site.data_folder.work) in line:
            found.append(line)
    return found


def _header(number: int, options: dict[str, Any]) -> dict[str, Any]:
    """A CT header; `options` are further elements as `Keyword=(VR, value)`."""
    plain = {
        "Modality": ("CS", "CT"),
        "SeriesDescription": ("LO", "Thorax"),
        "Rows": ("US", 4),
        "Columns": ("US", 6),
        "InstanceNumber": ("IS", number),
        "PatientAge": ("AS", "045Y"),
        "PatientSex": ("CS", "F"),
        "StudyDate": ("DA", "20260301"),
        "FrameOfReferenceUID": ("UI", "1.2.9"),
    } | options
    return {keyword: [vr, [value]] for keyword, (vr, value) in plain.items()}
