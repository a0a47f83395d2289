"""Boxes whose answers do not come here: into an archive that is asked for them, or straight to the PACS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.errors import TransientError
from node.index.children import HeaderReader
from node.ledger import studies
from node.ledger.job import JobOutcome, JobStatus
from tests.support.dimse.vendor_box import VendorBox
from tests.support.images.receipts import STUDY, arrive
from tests.support.sites.box_room import BoxRoom

Make = Callable[..., BoxRoom]
ELSEWHERE: dict[str, Any] = {"answers": "elsewhere", "identity": "full", "use": {"deadline": "20m"}}
FROM: dict[str, Any] = {"answers": {"from": "pacs"}, "identity": "full", "use": {"deadline": "20m"}}


@pytest.fixture
def make(tmp_path: Path, reader: HeaderReader, box: VendorBox) -> Iterator[Make]:
    made: list[BoxRoom] = []

    def room(**keys: Any) -> BoxRoom:
        made.append(BoxRoom(tmp_path, reader, box.port, **keys))
        made[-1].archive.add(f"{STUDY}.1", "CT", 3)
        made[-1].archive.add(f"{STUDY}.2", "SR", 1)  # somebody's report that was there before
        return made[-1]

    yield room
    for each in made:
        each.close()


def test_the_report_says_that_the_answer_is_in_the_pacs(make: Make, box: VendorBox) -> None:
    """Only what is new there since the images left is the box's; what was there before is not."""
    room = make(**ELSEWHERE, runtime="quiet_seconds = 30")
    job = room.study_with_job()
    room.send()
    room.passes(minutes=1)
    assert room.get(job).status is JobStatus.RUNNING
    room.archive.add("1.7.1", "SR", 1)
    room.passes(seconds=16)
    room.passes(seconds=31)
    assert room.get(job).outcome is JobOutcome.FINDINGS
    assert room.kept(job)["summary"] == (
        "cad delivered its answer to pacs: 1 series (SR). This report does not repeat it."
    )
    assert room.archive.moved == []


def test_nothing_came_to_the_pacs(make: Make) -> None:
    """As with a box that answers here: no silence."""
    room = make(**ELSEWHERE)
    job = room.study_with_job()
    room.send()
    room.passes(minutes=21)
    assert room.get(job).outcome is JobOutcome.FAILED
    assert room.kept(job)["summary"].startswith("No answer came from cad by 2026-03-01 12:30.")
    assert room.alerts() == ["box.silent"]


def test_a_part_of_the_answer_by_the_deadline(make: Make) -> None:
    """The report says what did not come."""
    room = make(**ELSEWHERE, runtime='expects = ["sr", "seg"]')
    job = room.study_with_job()
    room.send()
    room.archive.add("1.7.1", "SR", 1)
    room.passes(minutes=10)
    assert room.get(job).status is JobStatus.RUNNING
    room.passes(minutes=11)
    assert room.kept(job)["quality"] == ["cad did not deliver SEG by 2026-03-01 12:30."]


def test_an_answer_in_the_pacs_that_is_forwarded_here_is_no_image(make: Make, box: VendorBox) -> None:
    """By its series, whoever sends it: the study has no further revision."""
    room = make(**ELSEWHERE, runtime='expects = ["sr"]')
    room.study_with_job()
    room.send()
    report = box.report()
    room.archive.add(str(report.SeriesInstanceUID), "SR", 1)
    room.passes(seconds=16)
    room.passes(seconds=16)
    arrive(room.data_folder, report, calling="CT1")
    room.index.run_once()
    room.passes(minutes=10)
    room.index.run_once()
    assert room.statuses() == ["current"] * 3 + ["answer"]
    study = studies.get(room.ledger.database, STUDY)
    assert study is not None
    assert study.revision == 1


def test_an_answer_is_fetched_from_its_archive(make: Make, box: VendorBox) -> None:
    """By C-MOVE, series by series; what comes from there is the answer, and no image of the study."""
    room = make(**FROM, runtime='expects = ["sr"]')
    job = room.study_with_job()
    room.send()
    report = box.report()
    room.archive.add(str(report.SeriesInstanceUID), "SR", 1)
    room.passes(seconds=16)
    room.passes(seconds=16)
    assert room.archive.moved == [str(report.SeriesInstanceUID)]
    assert room.get(job).status is JobStatus.RUNNING
    room.arrives([report], calling="PACS")
    room.passes(seconds=16)
    assert room.get(job).outcome is JobOutcome.FINDINGS, room.get(job).error
    assert len(room.kept(job)["objects"]) == 1
    assert room.statuses() == ["current"] * 3 + ["answer"]


def test_an_archive_that_cannot_be_asked_costs_time_alone(make: Make, box: VendorBox) -> None:
    """Before the images leave, since nobody would know what is new; and while the answer is waited for."""
    room = make(**ELSEWHERE, runtime='expects = ["sr"]')
    job = room.study_with_job()
    room.archive.fails = TransientError("pacs: no connection")
    room.send()
    assert box.received == []
    room.archive.fails = None
    room.passes(seconds=16)
    assert len(box.received) == 3
    room.archive.fails = TransientError("pacs: no connection")
    room.passes(seconds=16)
    room.archive.fails = None
    room.archive.add("1.7.1", "SR", 1)
    room.passes(seconds=16)
    room.passes(seconds=16)
    assert room.get(job).outcome is JobOutcome.FINDINGS


def test_a_node_that_died_asks_again(make: Make, box: VendorBox) -> None:
    """What the archive had before is a row."""
    room = make(**ELSEWHERE, runtime='expects = ["sr"]')
    job = room.study_with_job()
    room.send()
    room.restart()
    room.passes(seconds=16)
    assert room.get(job).status is JobStatus.RUNNING
    room.archive.add("1.7.1", "SR", 1)
    room.passes(seconds=16)
    room.passes(seconds=16)
    assert room.get(job).outcome is JobOutcome.FINDINGS


def test_what_is_the_answer_of_one_job_is_not_that_of_another(make: Make, box: VendorBox) -> None:
    """Two jobs wait for the same archive: one series ends one of them."""
    room = make(answers="elsewhere", identity="full", use={"at_once": 2}, runtime='expects = ["sr"]')
    first = room.study_with_job()
    second = room.job("cad", first.inputs[0].receipts, study=STUDY, rule="another", parameters={})
    room.send()
    room.archive.add("1.7.1", "SR", 1)
    room.passes(seconds=16)
    room.passes(seconds=16)
    assert [room.get(each).outcome for each in (first, second)].count(JobOutcome.FINDINGS) == 1
    room.archive.add("1.7.2", "SR", 1)
    room.passes(seconds=16)
    room.passes(seconds=16)
    assert [room.get(each).outcome for each in (first, second)] == [JobOutcome.FINDINGS] * 2
