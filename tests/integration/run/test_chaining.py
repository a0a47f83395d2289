"""A step that takes an earlier step's segmentation: what it gets, when it runs again, and when it does not run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from node.index.children import HeaderReader
from node.ledger import attempts, events, job_files, jobs, needed
from node.ledger.event_kinds import EventKind
from node.ledger.job import JobOutcome, JobStatus
from node.ledger.needed import NeedKind
from tests.support.images.receipts import SERIES, STUDY
from tests.support.sites.chained_site import ChainedSite
from tests.support.wait import until


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path, reader: HeaderReader) -> Iterator[ChainedSite]:
    made = ChainedSite(tmp_path, reader)
    yield made
    made.close()


def _items(item: Dataset, value_type: str) -> list[Dataset]:
    found = [item] if item.get("ValueType") == value_type else []
    return found + [one for child in item.get("ContentSequence", ()) for one in _items(child, value_type)]


def _references(item: Dataset) -> set[str]:
    return {str(one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for one in _items(item, "IMAGE")}


def test_the_second_step_gets_the_mask_on_the_grid_of_its_own_images(site: ChainedSite) -> None:
    """10 rows × 5 columns on two of three slices are 100 voxels; the mask has the pseudonyms of the images."""
    site.send()
    (first,), (second,) = site.of_step("first"), site.of_step("volume")
    assert (first.outcome, second.outcome) == (JobOutcome.FINDINGS, JobOutcome.FINDINGS), second.error
    assert site.counted(second) == 100
    assert site.source_of(second) == first.id
    log = site.log(second)
    assert "slices: [False  True  True]" in log
    assert "earlier: True 7" in log
    assert SERIES not in log
    assert "2.25." in log


def test_the_report_names_the_segmentation_that_its_numbers_were_computed_from(site: ChainedSite) -> None:
    """The SEG that the PACS has is in the tree, as Source of Measurement of the number, and in the evidence."""
    site.send()
    (first,), (second,) = site.of_step("first"), site.of_step("volume")
    (segmentation,), (report,) = site.objects(first, "seg"), site.objects(second, "sr")
    uid = str(segmentation.SOPInstanceUID)
    assert site.pacs.received.index(uid) < site.pacs.received.index(str(report.SOPInstanceUID))
    (number,) = _items(report, "NUM")
    assert number.MeasuredValueSequence[0].NumericValue == 100
    source = _items(number, "IMAGE")
    assert [one.ConceptNameCodeSequence[0].CodeValue for one in source] == ["121112"]
    assert _references(number) == {uid}
    evidence = [
        str(one.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]
    assert uid in evidence
    said = [one.TextValue for one in _items(report, "TEXT")]
    assert "Computed from the result of the step first (first 1), which is an AI result, too" in said


def test_a_destination_without_segmentations_is_told_in_words_alone(tmp_path: Path, reader: HeaderReader) -> None:
    """No reference dangles: where no SEG goes, the report has the sentence and no image but the CT."""
    site = ChainedSite(tmp_path, reader)
    try:
        pacs = site.configuration.destinations["pacs"]
        fewer = pacs.model_copy(update={"kinds": frozenset({"sr", "sc"})})
        site.configuration = site.configuration.model_copy(update={"destinations": {"pacs": fewer}})
        site.results.use(site.configuration)
        site.send()
        (report,) = site.objects(site.of_step("volume")[0], "sr")
        assert _references(report) == {f"{SERIES}.{number}" for number in (1, 2, 3)}
        assert any("Computed from the result" in one.TextValue for one in _items(report, "TEXT"))
    finally:
        site.close()


def test_a_changed_first_result_runs_the_second_again_and_an_equal_one_does_not(site: ChainedSite) -> None:
    """The summary, which holds the time, is not handed on; what goes back to what it was is run again, too."""
    site.send()
    site.again(site.of_step("first")[-1])
    assert len(site.of_step("volume")) == 1
    site.finds(6)
    site.again(site.of_step("first")[-1])
    site.finds(5)
    site.again(site.of_step("first")[-1])
    found = site.of_step("volume")
    assert [site.counted(job) for job in found] == [100, 120, 100]
    assert [job.supersedes for job in found] == [None, found[0].id, found[1].id]
    assert [site.source_of(job) for job in found[1:]] == [job.id for job in site.of_step("first")[2:]]
    (last,) = site.objects(found[-1], "sr")
    (segmentation,) = site.objects(site.of_step("first")[-1], "seg")
    assert str(segmentation.SOPInstanceUID) in _references(last)
    assert last.PredecessorDocumentsSequence


@pytest.mark.parametrize(
    ("columns", "outcome", "why"),
    [
        (0, JobOutcome.FAILED, "not run: the step first, whose result it needs, failed"),
        (-1, JobOutcome.NOT_APPLICABLE, "not run: the step first, whose result it needs, is not for these images"),
    ],
)
def test_without_a_first_result_the_second_says_that_it_was_not_run(
    site: ChainedSite, columns: int, outcome: JobOutcome, why: str
) -> None:
    """Its plugin is never started, and its report says why, not that nothing was found."""
    site.finds(columns)
    site.send()
    (second,) = site.of_step("volume")
    assert (second.outcome, second.error) == (outcome, why)
    assert not (site.data_folder.results / second.id / "log.txt").exists()
    (report,) = site.objects(second, "sr")
    assert any(one.TextValue.startswith("Not run: the step first") for one in _items(report, "TEXT"))
    site.finds(5)
    site.again(site.of_step("first")[-1])
    assert [job.outcome for job in site.of_step("volume")] == [outcome, JobOutcome.FINDINGS]


def test_what_retention_has_deleted_is_not_worked_on(site: ChainedSite) -> None:
    """The files of the first step are gone: the second, done again, says so; done after the first again, it works."""
    site.send()
    (first,), (second,) = site.of_step("first"), site.of_step("volume")
    with site.ledger.transaction() as database:
        job_files.begin(database, first.id)
        job_files.end(database, site.clock.now(), first.id, files=1, octets=1)
    site.again(second)
    last = site.of_step("volume")[-1]
    assert last.outcome is JobOutcome.FAILED
    assert last.error == "not run: the result of the step first was deleted by retention; run that step again"
    site.again(first)
    assert site.counted(site.of_step("volume")[-1]) == 100
    assert len(site.of_step("volume")) == 3


def test_a_waiting_step_keeps_the_files_that_it_needs(site: ChainedSite) -> None:
    """Retention asks `why_needed_job`: while the second waits it names that, afterwards no more."""
    site.send()
    (first,), (second,) = site.of_step("first"), site.of_step("volume")

    def why() -> list[NeedKind]:
        return [each.kind for each in needed.why_needed_job(site.ledger.database, first.id, site.clock.now())]

    assert NeedKind.LATER_STEP not in why()
    with site.ledger.transaction() as database:
        jobs.again(database, site.clock.now(), second.id, "os:hong")
    assert NeedKind.LATER_STEP in why()
    site.go_on()
    assert NeedKind.LATER_STEP not in why()


def test_a_cancelled_first_result_is_not_worked_on(site: ChainedSite) -> None:
    """The second waits while a person cancels the first: it says so, and is not run."""
    site.send_images()
    until(lambda: _first_has_ended(site))
    site.route.run_once()
    (first,), (second,) = site.of_step("first"), site.of_step("volume")
    with site.ledger.transaction() as database:
        jobs.cancel(database, site.clock.now(), first.id, "wrong patient", "os:hong")
    until(lambda: _is_over(site, second.id))
    assert site.get(second).error == "not run: the result of the step first was cancelled (wrong patient)"
    assert not (site.data_folder.results / second.id / "log.txt").exists()


def _first_has_ended(site: ChainedSite) -> bool:
    site.runs.run_once()
    return all(job.outcome is not None for job in site.of_step("first"))


def _is_over(site: ChainedSite, job: str) -> bool:
    site.runs.run_once()
    return jobs.get(site.ledger.database, job).status not in (JobStatus.QUEUED, JobStatus.RUNNING)


def test_a_node_that_dies_between_the_two_goes_on_with_the_second(tmp_path: Path, reader: HeaderReader) -> None:
    """The first result is in the ledger, the second job is not: the next life makes it, and once."""
    site = ChainedSite(tmp_path, reader)
    site.send_images()
    until(lambda: _first_has_ended(site))
    assert site.of_step("volume") == []
    site.close()
    site.ledger.close()
    later = ChainedSite(tmp_path, reader, site.pacs)
    try:
        later.go_on()
        later.deliver()
        assert [later.counted(job) for job in later.of_step("volume")] == [100]
        later.go_on()
        assert len(later.of_step("volume")) == 1
    finally:
        later.close()


def test_the_history_says_on_what_the_second_step_was_run(site: ChainedSite) -> None:
    """An event names both steps; a restart or a second look makes no second job."""
    site.send()
    found = [
        each.detail
        for each in events.of_study(site.ledger.database, STUDY)
        if each.kind == EventKind.DECISION_FOLLOW_UP and each.detail["step"] == "volume"
    ]
    assert [(each["after"], each["runs"], each["why"]) for each in found] == [
        ("first", True, "the result of first asks for it")
    ]
    (second,) = site.of_step("volume")
    assert len(attempts.of_job(site.ledger.database, second.id)) == 1


COMMAND = """\
#!/usr/bin/env python3
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
request = json.loads((folder / "request.json").read_text())
(given,) = request["results"]
handed = json.loads((folder / "in" / "results" / given["name"] / "result.json").read_text())
names = {file["sop_instance_uid"] for series in request["series"] for file in series["files"]}
frames = {frame["sop_instance_uid"] for frame in handed["segmentation"]["frames"]}
array = folder / "in" / "results" / given["name"] / handed["segmentation"]["labels"]["array"]
code = {"value": "1", "scheme": "99TEST", "meaning": "Thing"}
size = array.stat().st_size
print(json.dumps([given, sorted(names - frames) == [], len(frames), frames <= names, size]))
finding = {"code": code, "present": False}
said = {"schema": 1, "status": "no_findings", "summary": "Looked.", "findings": [finding]}
(folder / "out" / "result.json").write_text(json.dumps(said))
"""


def test_a_command_gets_the_same_as_files(tmp_path: Path, reader: HeaderReader) -> None:
    """request.json names the result; its files are below in/, with the pseudonyms that the images have."""

    class Site(ChainedSite):
        def make_plugins(self) -> None:
            super().make_plugins()
            self.command_plugin("counts", COMMAND, identity="pseudonym", attempts=1)

    run: list[Any] = ["first", {"plugin": "counts", "inputs": {"mask": "first"}}]
    site = Site(tmp_path, reader, run=run)
    try:
        site.send()
        (second,) = site.of_step("counts")
        assert second.outcome is JobOutcome.NO_FINDINGS, site.log(second)
        line = next(each for each in site.log(second).splitlines() if each.startswith("["))
        given, covers, count, are_inputs, size = json.loads(line)
        assert given == {"name": "mask", "step": "first", "plugin": "first", "version": "1"}
        assert (covers, count, are_inputs) == (False, 2, True)
        assert size == 128 + 2 * 64 * 64
    finally:
        site.close()
