"""What a study waits for, in words, until it is through or a person has to look."""

from __future__ import annotations

import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from rich.console import Console

from node.cli.demo.site import POLL_SECONDS, DemoError, DemoSite
from node.ledger import commissionings, deliveries, instances, jobs, studies
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import OPEN, JobStatus

_DEADLINE_SECONDS = 900.0


def wait(sent: Mapping[str, AbstractSet[str]], site: DemoSite, console: Console) -> None:
    """Until every study is through, or can get no further; DemoError where that takes too long.

    `sent`: Study Instance UID → SOP Instance UIDs.
    """
    end = time.monotonic() + _DEADLINE_SECONDS
    with console.status("") as status:
        while True:
            left = [stage for study, uids in sent.items() if (stage := _stage(study, uids, site))]
            if not left:
                return
            if time.monotonic() > end:
                raise DemoError(f"after {_DEADLINE_SECONDS:.0f} s it is still: {left[0]}")
            through = f"{len(sent) - len(left)} of {len(sent)} studies are through; " if len(sent) > 1 else ""
            status.update(through + left[0])
            time.sleep(POLL_SECONDS)


def problem(study: str, rows: Database) -> str:
    """Why a study gets no further without a person; empty where nothing stops it."""
    found = studies.get(rows, study)
    if found is not None and found.hold:
        return f"the study is held: {found.hold}"
    for job in jobs.of_study(rows, study):
        if job.status is JobStatus.UNREPORTABLE:
            return f"job {job.id} could not be reported: {job.error}"
    for letter in deliveries.of_study(rows, study):
        if letter.status in (DeliveryStatus.DEAD, DeliveryStatus.HELD):
            return f"delivery {letter.id} is {letter.status}: {letter.hold or letter.error}"
    return ""


def _stage(study: str, uids: AbstractSet[str], site: DemoSite) -> str:
    """What the study waits for, in words; empty when it is through, or gets no further."""
    rows = site.ledger.database
    if problem(study, rows):
        return ""
    return _receiving(study, uids, site.ledger) or _working(study, rows)


def _receiving(study: str, uids: AbstractSet[str], ledger: Ledger) -> str:
    rows = ledger.database
    if unseen := len(list((ledger.path.parent / "incoming").glob("*.dcm"))):
        return f"received; {unseen} images are still to be indexed"
    found = studies.get(rows, study)
    indexed = {instance.sop_instance_uid for instance in instances.of_study(rows, study)}
    if found is None or not uids <= indexed:
        return f"received; indexed {len(uids & indexed)} of {len(uids)} images"
    if found.decided_revision < max(1, found.revision) or found.status is not studies.StudyStatus.COMPLETE:
        return "waiting for a study to be complete: nothing more may come for some seconds"
    return ""


def _working(study: str, rows: Database) -> str:
    if open_jobs := [job for job in jobs.of_study(rows, study) if job.status in OPEN]:
        if open_jobs[0].status is JobStatus.QUEUED and commissionings.last(rows, open_jobs[0].plugin) is None:
            return f"{open_jobs[0].plugin} is queued: its examples are run first, once (some seconds)"
        return f"{open_jobs[0].plugin} is {open_jobs[0].status}"
    letters = [each for each in deliveries.of_study(rows, study) if each.status is not DeliveryStatus.REPLACED]
    if waiting := [letter for letter in letters if letter.status is not DeliveryStatus.DELIVERED]:
        return f"delivering: {len(waiting)} of {len(letters)} objects are still to be sent"
    return ""
