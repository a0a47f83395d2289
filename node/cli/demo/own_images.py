"""A person's own images: sent to the node, and what the PACS received of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from rich.console import Console

from node.cli.demo import progress, report
from node.cli.demo.console import leave_open
from node.cli.demo.interruption import Interruption
from node.cli.demo.sending import counted
from node.cli.demo.site import DemoError, DemoFolder, DemoSite, running
from node.dicom.part10 import kind_of
from node.dimse.storage_scu import dicom_files
from node.errors import PermanentError
from node.ledger import decisions, jobs
from node.ledger.job import JobOutcome, JobStatus
from rules import explain

_RULES = """\
rules:
  - name: lung-density
    description: Emphysema figures from chest CT
    when: {Modality: CT}
    choose:
      where:
        Modality: CT
        not: {ImageType: {contains: LOCALIZER}}
      prefer:
        - SliceThickness: smallest
      take: one
    run: lung-density
    send: pacs
    mode: pilot
"""


@dataclass
class _SentFiles:
    """What was sent: the files, and the SOP Instance UIDs of each study."""

    files: list[Path] = field(default_factory=list)
    studies: dict[str, set[str]] = field(default_factory=dict)


def show(paths: Sequence[Path], folder: DemoFolder, interruption: Interruption, console: Console) -> int:
    """The journey of these files or folders; 0, or DemoError."""
    sent = _images(paths, console)
    with running(folder, _RULES, "5s", interruption) as site:
        for _ in counted(
            site.send(sent.files, "CT1"), 2 * len(sent.files), "C-STORE to the PACS and to pacsnode", console
        ):
            pass
        progress.wait(sent.studies, site, console)
        for study in sent.studies:
            _show(study, site, console)
        if folder.has_console:
            leave_open(site, console)
    return 0


def _images(paths: Sequence[Path], console: Console) -> _SentFiles:
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


def _show(study: str, site: DemoSite, console: Console) -> None:
    rows = site.ledger.database
    if stopped := progress.problem(study, rows):
        raise DemoError(stopped)
    done = [job for job in jobs.of_study(rows, study) if job.status is JobStatus.REPORTED]
    if not done:
        for decision in decisions.of_study(rows, study):
            console.print("\n".join(explain.lines(decision.trace)), markup=False)
        raise DemoError("no rule wanted this study; each clause stands above")
    if failed := [job for job in done if job.outcome is JobOutcome.FAILED]:
        raise DemoError(f"the analysis failed: {failed[0].error}; the PACS has a report that says so")
    for job in done:
        report.show(job, site, console)
    report.show_timeline(study, site, console)
