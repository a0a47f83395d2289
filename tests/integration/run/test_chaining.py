"""A step that takes an earlier step's segmentation: what it gets, when it runs again, and when it does not run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from node.index.children import HeaderReader
from node.ledger import jobs
from node.ledger.job import JobOutcome
from tests.support.images.receipts import SERIES
from tests.support.sites.chained_site import ChainedSite
from tests.support.wait import until


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory, reader: HeaderReader) -> Iterator[ChainedSite]:
    """A study has come, both steps have worked on it, and the PACS has what was made; tests of it only look."""
    made = ChainedSite(tmp_path_factory.mktemp("site"), reader)
    made.send()
    yield made
    made.close()


def _items(item: Dataset, value_type: str) -> list[Dataset]:
    found = [item] if item.get("ValueType") == value_type else []
    return found + [one for child in item.get("ContentSequence", ()) for one in _items(child, value_type)]


def _references(item: Dataset) -> set[str]:
    return {str(one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for one in _items(item, "IMAGE")}


def test_the_second_step_gets_the_mask_on_the_grid_of_its_own_images(sent: ChainedSite) -> None:
    """10 rows × 5 columns on two of three slices are 100 voxels; the mask has the pseudonyms of the images."""
    (first,), (second,) = sent.of_step("first"), sent.of_step("volume")
    assert (first.outcome, second.outcome) == (JobOutcome.FINDINGS, JobOutcome.FINDINGS), second.error
    assert sent.counted(second) == 100
    assert sent.source_of(second) == first.id
    log = sent.log(second)
    assert "slices: [False  True  True]" in log
    assert "earlier: True 7" in log
    assert SERIES not in log
    assert "2.25." in log


def test_the_report_names_the_segmentation_that_its_numbers_were_computed_from(sent: ChainedSite) -> None:
    """The SEG that the PACS has is in the tree, as Source of Measurement of the number, and in the evidence."""
    (first,), (second,) = sent.of_step("first"), sent.of_step("volume")
    (segmentation,), (report,) = sent.objects(first, "seg"), sent.objects(second, "sr")
    uid = str(segmentation.SOPInstanceUID)
    assert sent.pacs.received.index(uid) < sent.pacs.received.index(str(report.SOPInstanceUID))
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


def test_both_are_done_again_after_each_other_and_without_the_first_the_second_is_not_run(
    tmp_path: Path, reader: HeaderReader
) -> None:
    """The first fails: the second's plugin is never started. It finds more: the second works on that."""
    site = ChainedSite(tmp_path, reader)
    try:
        site.finds(0)
        site.send_images()
        until(lambda: _is_over(site))
        (second,) = site.of_step("volume")
        assert second.outcome is JobOutcome.FAILED
        assert second.error == "not run: the step first, whose result it needs, failed"
        assert not (site.data_folder.results / second.id / "log.txt").exists()
        site.finds(6)
        with site.ledger.transaction() as database:
            for job in (*site.of_step("first"), second):
                jobs.reported(database, site.clock.now(), job.id, 0)
            jobs.again(database, site.clock.now(), site.of_step("first")[-1].id, "os:hong")
        until(lambda: _is_over(site, count=2))
        last = site.of_step("volume")[-1]
        assert (last.supersedes, site.counted(last)) == (second.id, 120)
        assert site.source_of(last) == site.of_step("first")[-1].id
    finally:
        site.close()


def _is_over(site: ChainedSite, count: int = 1) -> bool:
    """Whether so many jobs of the second step have a result; what is ready is done."""
    site.runs.run_once()
    site.route.run_once()
    found = site.of_step("volume")
    return len(found) == count and all(job.outcome is not None for job in found)


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
        site.send_images()
        until(lambda: _has_counted(site))
        (second,) = site.of_step("counts")
        assert second.outcome is JobOutcome.NO_FINDINGS, site.log(second)
        line = next(each for each in site.log(second).splitlines() if each.startswith("["))
        given, covers, count, are_inputs, size = json.loads(line)
        assert given == {"name": "mask", "step": "first", "plugin": "first", "version": "1"}
        assert (covers, count, are_inputs) == (False, 2, True)
        assert size == 128 + 2 * 64 * 64
    finally:
        site.close()


def _has_counted(site: ChainedSite) -> bool:
    site.runs.run_once()
    site.route.run_once()
    return any(job.outcome is not None for job in site.of_step("counts"))
