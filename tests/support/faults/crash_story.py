"""What has to hold after every run of the crash matrix, whatever was done to it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil
from pydicom import dcmread

from node.clock import SystemClock
from node.desk import backups
from node.desk.actor import who_types
from node.ledger import deliveries, events, instances, jobs, notifications, objects, purges, studies
from node.ledger.delivery import DeliveryStatus
from node.ledger.instances import InstanceStatus
from node.ledger.job import JobOutcome, JobStatus
from node.store import pulse
from node.store.layout import DataFolder
from tests.support.faults.crash_plan import Feature
from tests.support.faults.crash_rest import OBJECTS, Journey
from tests.support.faults.crash_site import SLICES
from tests.support.history import open_alerts
from tests.support.wait import until

_JOB = re.compile(r"queued( (started|running|failed|interrupted|postponed))* ended( encoding)+( reported)+")
"""The events of a job that was answered at last."""


def check_running(journey: Journey) -> None:
    """While the node runs: stored and indexed, ended, delivered once, told consistently, nothing left, status green."""
    _count(journey)
    assert (journey.lost, journey.twice) == (0, 0)
    for study in journey.studies:
        _check_study(journey, study)
    _check_archive(journey)
    until(lambda: not journey.site.left_over(), what="incoming/ and work/ to be empty")
    _check_files(journey)
    _check_told(journey)
    until(lambda: not [*_complaints(journey)], what="status to be green")
    _check_as_the_admin(journey)


def _check_as_the_admin(journey: Journey) -> None:
    """`verify` finds nothing, and `status --check` says that all is well."""
    report = backups.check(journey.site.data, quick=False)
    assert report.sound, list(backups.in_words(report))
    said = until(lambda: _checked(journey), 120, "status --check to be OK")
    assert said.startswith("PACSNODE OK"), said


def _checked(journey: Journey) -> str:
    """What it says; nothing while a stage is still to turn, or an alert to close."""
    done = journey.site.command("status", "--check", faulty=True)
    journey.said = done.stdout + done.stderr
    return done.stdout if done.returncode == 0 else ""


def _check_told(journey: Journey) -> None:
    """The person was told once of each study, whatever was repeated under the same identifier."""
    rows = journey.site.ledger.database
    keys = [each.key for study in journey.studies for each in notifications.of_study(rows, study)]
    assert sorted({str(each["id"]) for each in journey.told}) == sorted(keys)
    assert len(keys) == len(journey.studies) * journey.has(Feature.NOTIFY)


def check_gone(journey: Journey) -> None:
    """Of images and results nothing is left but their lines; these say what there was."""
    rows, data = journey.site.ledger.database, journey.site.data
    left = [path for name in ("store", "results", "incoming") for path in (data / name).rglob("*.dcm")]
    assert not left, left
    for study in journey.studies:
        assert not instances.of_study(rows, study, [*InstanceStatus])
        (purge,) = purges.of_study(rows, study)
        (line,) = purges.series_of(rows, purge.id)
        assert (line.counted, line.delivered.get("pacs", 0)) == (SLICES, SLICES * journey.has(Feature.FORWARD))
        told = [str(each.kind) for each in events.of_study(rows, study)]
        assert [told.count(kind) for kind in ("study.purging", "study.gone", "job.files-gone")] == [1, 1, 1], told
        sent = [each for each in deliveries.results_of_study(rows, study) if each.status is DeliveryStatus.DELIVERED]
        assert len(sent) == OBJECTS
    _check_archive_alone(journey)
    until(lambda: not [*_complaints(journey)], what="status to be green after retention")
    _check_as_the_admin(journey)


def check_backup(journey: Journey) -> None:
    """The backups that were made are sound, and a node starts from the newest."""
    report = backups.check_backup(journey.backups, "")
    assert report.sound, list(backups.in_words(report))
    second = journey.second
    backups.put_back(journey.backups, second.data, "", SystemClock(), who_types())
    with second:
        until(lambda: pulse.last(second.data), what="the second node to turn")
        left = [*_missing(journey)]
        assert not left, left
    report = backups.check(second.data, quick=False)
    assert report.sound, list(backups.in_words(report))
    _check_archive_alone(journey)


def _missing(journey: Journey) -> Iterator[str]:
    """Images that the ledger of the second node has, and its folder does not."""
    folder = DataFolder(journey.second.data)
    for study in journey.studies:
        for each in instances.of_study(journey.second.ledger.database, study, [*InstanceStatus]):
            if not folder.find(each.receipt).exists():
                yield each.receipt


def _check_archive_alone(journey: Journey) -> None:
    """Whatever was sent there since, it has nothing with two contents."""
    twice = [uid for uid, contents in _contents(journey).items() if len(contents) > 1]
    assert not twice, twice


def check_stopped(journey: Journey, before: set[int]) -> None:
    """Once it has stopped: no process is left, and nobody holds the data folder."""
    assert not journey.site.processes()
    data = str(journey.site.data)
    left = [each for each in psutil.process_iter(["pid"]) if each.pid not in before and _uses(each, data)]
    assert not left, left


def _uses(process: psutil.Process, folder: str) -> bool:
    try:
        return any(each.path.startswith(folder) for each in process.open_files())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _count(journey: Journey) -> None:
    """What is not there, and what is there twice."""
    rows = journey.site.ledger.database
    indexed = {
        each.sop_instance_uid
        for study in journey.studies
        for each in instances.of_study(rows, study, [InstanceStatus.CURRENT])
    }
    contents = _contents(journey)
    held = Counter(_uid(path) for path in (journey.archive / "held").glob("*.dcm"))
    made = _made(journey)
    journey.lost = len(journey.files.keys() - indexed) + len(made - contents.keys())
    journey.twice = sum(len(contents[uid]) > 1 or held[uid] > 1 for uid in contents)


def _contents(journey: Journey) -> dict[str, set[str]]:
    """Digests of the data sets that the archive kept, by SOP Instance UID."""
    contents: dict[str, set[str]] = defaultdict(set)
    for uid, digest in journey.kept():
        contents[uid].add(digest)
    return contents


def _made(journey: Journey) -> set[str]:
    """The results that the ledger knows, but those under a patient that the archive has not: they are never sent."""
    rows = journey.site.ledger.database
    work = [job for study in journey.studies for job in jobs.of_study(rows, study)]
    sent = [each for study in journey.studies for each in deliveries.results_of_study(rows, study)]
    outdated = {each.item for each in sent if each.status is DeliveryStatus.SUPERSEDED}
    return {each.sop_instance_uid for job in work for each in objects.of_job(rows, job.id)} - outdated


def _check_study(journey: Journey, study: str) -> None:
    rows, folder = journey.site.ledger.database, DataFolder(journey.site.data)
    current = {each.sop_instance_uid: each for each in instances.of_study(rows, study, [InstanceStatus.CURRENT])}
    for uid, path in journey.files.items():
        header = dcmread(path, stop_before_pixels=True)
        if str(header.StudyInstanceUID) == study:
            assert uid in current, f"{uid} was answered with success and is not in the ledger"
            assert dcmread(folder.find(current[uid].receipt)) == dcmread(path), f"{uid} is not what was sent"
    (job,) = jobs.of_study(rows, study)
    assert (job.status, job.outcome) == (JobStatus.REPORTED, JobOutcome.FINDINGS), job.error
    _check_story(journey, study, job.id)


def _check_story(journey: Journey, study: str, job: str) -> None:
    """The study's history: as many completions as revisions, each job and delivery from beginning to its one end."""
    history = events.of_study(journey.site.ledger.database, study)
    row = studies.get(journey.site.ledger.database, study)
    assert row is not None
    kinds = Counter(str(each.kind) for each in history)
    assert kinds["study.complete"] == row.revision
    assert kinds["study.first-received"] == 1
    of_job = [str(each.kind) for each in history if each.job == job and each.delivery is None]
    words = " ".join(kind.removeprefix("job.").removeprefix("attempt-") for kind in of_job if _is_of_job(kind))
    words = words.replace("attempt.running", "running")
    assert _JOB.fullmatch(words), words
    ends = defaultdict(list)
    for each in history:
        if each.delivery is not None:
            ends[each.delivery].append(str(each.kind))
    for sent in deliveries.results_of_study(journey.site.ledger.database, study):
        _check_delivery(journey, ends[sent.id], superseded=sent.status is DeliveryStatus.SUPERSEDED)


def _check_delivery(journey: Journey, told: list[str], *, superseded: bool) -> None:
    """Once to its end; again only where the archive said that it has lost it."""
    times = 0 if superseded else 1 + told.count("delivery.not-kept")
    assert told.count("delivery.delivered") == times, told
    assert told[0] == "delivery.enqueued" or "delivery.enqueued" not in told, told
    committed = "delivery.committed" if journey.has(Feature.COMMIT) else "delivery.delivered"
    assert told[-1] == ("delivery.superseded" if superseded else committed), told


def _is_of_job(kind: str) -> bool:
    known = ("queued", "started", "attempt-failed", "interrupted", "postponed", "ended", "encoding", "reported")
    return kind == "attempt.running" or kind.removeprefix("job.") in known


def _check_archive(journey: Journey) -> None:
    """It has what was made and forwarded, and nothing else."""
    contents, made = _contents(journey), _made(journey)
    assert len(made) == OBJECTS * len(journey.studies)
    assert contents.keys() - made <= journey.files.keys(), "an object that nobody made is in the archive"


def _uid(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def _check_files(journey: Journey) -> None:
    """The store has the files of rows and no other; results and what is on its way likewise."""
    rows, data = journey.site.ledger.database, journey.site.data
    receipts = {
        each.receipt for study in journey.studies for each in instances.of_study(rows, study, [*InstanceStatus])
    }
    assert {path.stem for path in (data / "store").rglob("*.dcm")} == receipts
    assert {str(path.relative_to(data)) for path in (data / "results").rglob("*.dcm")} == set(objects.files(rows))
    for name in ("outgoing", "journal", "associations"):  # a report of the archive may be coming in just now
        until(lambda name=name: not [*_files(data / name)], what=f"{name}/ to be empty")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _complaints(journey: Journey) -> Iterator[str]:
    """What keeps `status` from being green."""
    yield from (str(alert.kind) for alert in open_alerts(journey.site.ledger.database))
    for name in ("trouble.json", "failing.json"):
        if (journey.site.data / name).exists():
            yield name
