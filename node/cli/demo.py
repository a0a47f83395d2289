"""`pacsnode demo`: the complete journey on one machine, with a small PACS in place of the hospital's.

A folder `demo/` in the current one holds all of it: the node's configuration and data, the PACS's files,
the pictures. The images go to the PACS and to the node, as a modality that sends twice does it; what is
shown in the end was read back from the PACS. A second run finds everything there already, and shows it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import node
from node.dicom.part10 import kind_of
from node.dimse.demo_pacs import DemoPACS
from node.dimse.scu import Peer
from node.dimse.storage_scu import dicom_files, send
from node.errors import PermanentError, TransientError
from node.ledger import commissionings, database, decisions, deliveries, events, instances, jobs, objects, studies
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.events import Event
from node.ledger.job import OPEN, Job, JobOutcome, JobStatus
from node.outcome import AnswerReading
from node.reading import reader, report
from node.serve.listening import LISTENING
from plugins import exchange
from plugins.phantoms import chest, chest_series
from rules import explain

FOLDER = Path("demo")
_DEADLINE_SECONDS = 900.0
_POLL_SECONDS = 0.2
_PACS = "DEMOPACS"
_ZONE = ZoneInfo("Asia/Seoul")
_CONFIGURATION = """\
# Written by `pacsnode demo`, again each time. config.example.yaml is the one to start from.
node:
  ae_title: PACSNODE
  time_zone: {zone}
  data: data
  listen: {{host: 127.0.0.1, port: 0}}
  accept: any
  completion: {{quiet: 5s, quiet_by_modality: {{}}}}
  limits: {{free_space: 200MiB}}
destinations:
  pacs: {{ae_title: {pacs}, host: 127.0.0.1, port: {port}}}
rules:
  - name: lung-density
    description: Emphysema figures from chest CT
    when: {{Modality: CT}}
    choose:
      where:
        Modality: CT
        not: {{ImageType: {{contains: LOCALIZER}}}}
      prefer:
        - SliceThickness: smallest
      take: one
    run: lung-density
    send: pacs
    mode: pilot
"""


_CHEST = chest.Chest(size=384, slice_mm=1.5, noise_hu=12.0, vessels=True, emphysema=(0.18, 0.06))


class DemoError(PermanentError):
    """The demonstration did not show what it promises; the text says what is missing, and where to look."""


@dataclass
class _SentFiles:
    """What was sent: the files, and the SOP Instance UIDs of each study."""

    files: list[Path] = field(default_factory=list)
    studies: dict[str, set[str]] = field(default_factory=dict)


def run(paths: Sequence[Path]) -> int:
    """Show the complete journey of these files or folders, or of a phantom; 0 only if all arrived as it should."""
    console = Console(highlight=False)
    folder = FOLDER.resolve()
    folder.mkdir(exist_ok=True)
    try:
        sent = _images(paths, folder, console)
        with DemoPACS(folder / "pacs", _PACS) as pacs, _running_node(folder, pacs) as port:
            _send_all(sent, pacs, port, console)
            ledger = _wait_for_ledger(folder)
            _wait(sent, ledger, console)
            for study in sent.studies:
                _show(study, ledger, pacs, folder, console)
    except (PermanentError, TransientError) as error:
        console.print(f"\n[bold red]The demo did not work:[/] {error}")
        console.print(f"The node's log is {_shown(folder / 'node.log')}.")
        return 1
    return 0


# --- images, PACS and node --------------------------------------------------------------------------


def _images(paths: Sequence[Path], folder: Path, console: Console) -> _SentFiles:
    if not paths:
        target = folder / "phantom"
        if not (whole := target.with_suffix(".whole")).exists():
            console.print("Making a chest CT: a phantom with two lungs of known volume and known emphysema …")
            chest_series.write_series(_CHEST, target)
            whole.touch()
        paths = [target]
    sent = _SentFiles()
    for path in dicom_files(paths):
        try:
            kind_of(path)
            header = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "SOPInstanceUID"])
            sent.studies.setdefault(str(header.StudyInstanceUID), set()).add(str(header.SOPInstanceUID))
        except (PermanentError, InvalidDicomError, AttributeError) as error:
            console.print(f"passed over: {path.name}: {error}", markup=False)
            continue
        sent.files.append(path)
    if not sent.files:
        raise DemoError(f"there is no DICOM image in {', '.join(map(str, paths))}")
    return sent


@contextmanager
def _running_node(folder: Path, pacs: DemoPACS) -> Iterator[int]:
    """The real `pacsnode serve` on a configuration of its own; yields the port that it listens on."""
    config, listening = folder / "config.yaml", folder / "data" / LISTENING
    config.write_text(_CONFIGURATION.format(zone=_ZONE, pacs=_PACS, port=pacs.port))
    listening.unlink(missing_ok=True)
    packages = str(Path(node.__file__).resolve().parents[1])
    with (folder / "node.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "node.cli", "serve", "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": packages},
        )
        try:
            end = time.monotonic() + 60.0
            while not listening.exists():
                if process.poll() is not None or time.monotonic() > end:
                    raise DemoError("the node did not start")
                time.sleep(_POLL_SECONDS)
            yield int(json.loads(listening.read_text())["port"])
        finally:
            process.terminate()
            process.wait()


def _send_all(sent: _SentFiles, pacs: DemoPACS, port: int, console: Console) -> None:
    """To the PACS and to the node, as a modality that sends twice."""
    targets = {
        "the PACS": Peer("127.0.0.1", pacs.port, _PACS, "CT1"),
        "pacsnode": Peer("127.0.0.1", port, "PACSNODE", "CT1"),
    }
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for name, peer in targets.items():
            task = progress.add_task(f"C-STORE to {name}", total=len(sent.files))
            for path, outcome in send(peer, sent.files):
                if outcome.reading not in (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING, AnswerReading.ASK):
                    raise DemoError(f"{name} did not take {path.name}: {outcome.text}")
                progress.advance(task)


# --- waiting ----------------------------------------------------------------------------------------


def _wait_for_ledger(folder: Path) -> Ledger:
    return Ledger.existing(folder / "data" / database.FILE)


def _wait(sent: _SentFiles, ledger: Ledger, console: Console) -> None:
    """Until every study is through, or something needs a person."""
    end = time.monotonic() + _DEADLINE_SECONDS
    with console.status("") as status:
        while True:
            stages = {study: _stage(study, uids, ledger) for study, uids in sent.studies.items()}
            left = [stage for stage in stages.values() if stage]
            if not left:
                return
            if time.monotonic() > end:
                raise DemoError(f"after {_DEADLINE_SECONDS:.0f} s it is still: {left[0]}")
            status.update(left[0])
            time.sleep(_POLL_SECONDS)


def _stage(study: str, uids: set[str], ledger: Ledger) -> str:
    """What the study waits for, in words; empty when it is through."""
    rows = ledger.database
    if unseen := len(list((ledger.path.parent / "incoming").glob("*.dcm"))):
        return f"received; {unseen} images are still to be indexed"
    found = studies.get(rows, study)
    indexed = {instance.sop_instance_uid for instance in instances.of_study(rows, study)}
    if found is None or not uids <= indexed:
        return f"received; indexed {len(uids & indexed)} of {len(uids)} images"
    if found.hold:
        raise DemoError(f"the study is held: {found.hold}")
    if found.decided_revision < max(1, found.revision) or found.status is not studies.StudyStatus.COMPLETE:
        return "waiting for the study to be complete: nothing more may come for 5 s"
    work = jobs.of_study(rows, study)
    for job in work:
        if job.status is JobStatus.UNREPORTABLE:
            raise DemoError(f"job {job.id} could not be reported: {job.error}")
    if open_jobs := [job for job in work if job.status in OPEN]:
        if open_jobs[0].status is JobStatus.QUEUED and commissionings.last(rows, open_jobs[0].plugin) is None:
            return f"{open_jobs[0].plugin} is queued: its examples are run first, once (some seconds)"
        return f"{open_jobs[0].plugin} is {open_jobs[0].status}"
    letters = [each for each in deliveries.of_study(rows, study) if each.status is not DeliveryStatus.REPLACED]
    for letter in letters:
        if letter.status in (DeliveryStatus.DEAD, DeliveryStatus.HELD):
            raise DemoError(f"delivery {letter.id} is {letter.status}: {letter.hold or letter.error}")
    if waiting := [letter for letter in letters if letter.status is not DeliveryStatus.DELIVERED]:
        return f"delivering: {len(waiting)} of {len(letters)} objects are still to be sent"
    return ""


# --- showing ----------------------------------------------------------------------------------------


def _show(study: str, ledger: Ledger, pacs: DemoPACS, folder: Path, console: Console) -> None:
    done = [job for job in jobs.of_study(ledger.database, study) if job.status is JobStatus.REPORTED]
    if not done:
        for decision in decisions.of_study(ledger.database, study):
            console.print("\n".join(explain.lines(decision.trace)), markup=False)
        raise DemoError("no rule wanted this study; each clause stands above")
    if failed := [job for job in done if job.outcome is JobOutcome.FAILED]:
        raise DemoError(f"the analysis failed: {failed[0].error}; the PACS has a report that says so")
    for job in done:
        _show_job(job, ledger, pacs, folder, console)
    console.print()
    console.print(_timeline(events.of_study(ledger.database, study)))


def _show_job(job: Job, ledger: Ledger, pacs: DemoPACS, folder: Path, console: Console) -> None:
    held = {path.stem: path for path in pacs.files()}
    made = objects.of_job(ledger.database, job.id)
    missing = [each.sop_instance_uid for each in made if each.sop_instance_uid not in held]
    if missing:
        raise DemoError(f"the PACS does not hold {missing[0]}")
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    console.rule("The report, as it was read back from the PACS")
    files = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for each in made:
        path = held[each.sop_instance_uid]
        files.add_row(each.kind.upper(), _shown(path))
        if each.kind == "sr":
            report = reader.read_sr(path)
            console.print("\n".join(report.lines()), markup=False)
            _compare(job, report, folder)
        elif each.kind == "sc":
            picture = pictures / f"{path.stem}.png"
            reader.sc_png(path, picture)
            files.add_row("", _shown(picture))
    console.rule("Files")
    console.print(files)


def _compare(job: Job, report: report.ReadReport, folder: Path) -> None:
    """The numbers in the PACS have to be those that the plugin computed."""
    assert job.result is not None, job.id
    kept = folder / "data" / job.result
    result = exchange.read_result(kept, exchange.read_request(kept))
    computed = Counter(
        (m.concept.value, m.value) for each in result.findings for m in each.measurements if m.value is not None
    )
    arrived = Counter(
        (m.concept.value, m.value) for each in report.findings for m in each.measurements if m.value is not None
    )
    if missing := computed - arrived:
        raise DemoError(f"{missing.total()} of {computed.total()} numbers that were computed are not in the SR")


_TIMELINE = {
    "study.first-received": "first image received",
    "study.complete": "complete: nothing more came",
    "study.decided": "rules decided",
    "job.started": "plugin started",
    "job.ended": "plugin ended",
    "job.reported": "encoded as DICOM",
    "delivery.delivered": "delivered to the PACS",
}


def _timeline(history: Sequence[Event]) -> Table:
    """The last time that each thing happened, and the seconds since the one before."""
    last = {event.kind: event for event in history if event.kind in _TIMELINE}
    table = Table(title="Timeline", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("When", "What", "Seconds"):
        table.add_column(column, justify="right" if column == "Seconds" else "left")
    before = None
    for event in sorted(last.values(), key=lambda each: each.at):
        seconds = "" if before is None else f"{(event.at - before).total_seconds():.1f}"
        table.add_row(event.at.astimezone(_ZONE).strftime("%H:%M:%S"), _TIMELINE[event.kind], seconds)
        before = event.at
    return table


def _shown(path: Path) -> str:
    """Relative to where the person stands, where that is shorter."""
    return os.path.relpath(path)
