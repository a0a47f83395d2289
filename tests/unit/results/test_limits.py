"""Encoding within limits: what a giant result costs others, how it is ended, and what is said of it then."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless

from node.errors import PermanentError
from node.ledger import defects, encoding_queue, jobs
from node.ledger.job import Job, JobOutcome, JobStatus
from node.processes.pool import HEAVY
from node.results import encoder
from node.results.context import prepare
from node.results.encoded import EncodedObject
from node.results.encoder import Cost, EncoderTask
from node.results.pages.key_slice import decode, frame_pixels, key_slices
from node.results.pages.sheets import MOST_SLICES, draw_one, sheets
from node.results.source.images import read_sources
from plugins.contract import Ellipse, Finding, ImageReference, KeyImage, Result, ResultStatus
from tests.support.results import reports
from tests.support.sites.result_site import ResultSite
from tests.support.wait import until


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ResultSite]:
    site = ResultSite(tmp_path, encoder=encoder.Encoder)
    yield site
    site.results.close()


class Stuck:
    """In the encoder's process: one job's result never ends, or fills the memory; each beginning is noted in a file."""

    def __init__(self, job: Job, note: Path, *, fills: bool = False) -> None:
        self.job, self.note, self.fills = job.id, note, fills

    def __call__(self, order: EncoderTask) -> tuple[EncodedObject, ...]:
        if order.job != self.job or order.instead is not None:
            return encoder.carry_out(order)
        with self.note.open("a") as file:
            file.write("begun\n")
        if self.fills:
            bytearray(2**36)
        threading.Event().wait()
        raise AssertionError("never")


def _stuck(
    site: ResultSite, monkeypatch: pytest.MonkeyPatch, job: Job, *, fills: bool = False, deadline: float = 600.0
) -> Path:
    """A heavy job that is stuck; the file that says how often it was begun."""
    note, cost_of = site.folder / "begun", site.results._maker.cost
    stuck = Stuck(job, note, fills=fills)
    monkeypatch.setattr(encoder, "carry_out", stuck)

    def cost(each: Job) -> Cost:
        return Cost(HEAVY, deadline, 2**30) if each.id == job.id else cost_of(each)

    monkeypatch.setattr(site.results._maker, "cost", cost)
    return note


def _run_until(site: ResultSite, job: Job, *statuses: JobStatus) -> Job:
    def over() -> bool:
        site.results.run_once()
        return site.get(job).status in statuses

    until(over, what=f"the job to be {statuses}")
    return site.get(job)


def test_finding_x2_other_reports_leave_while_a_giant_is_encoded(
    site: ResultSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second result is reported before the first ends, and `status` says what is being encoded since when."""
    giant = site.ended(reports.measured())
    note = _stuck(site, monkeypatch, giant)
    site.results.run_once()
    until(note.exists, what="the giant to be begun")
    other = site.ended(reports.no_findings(), rule="another")
    assert _run_until(site, other, JobStatus.REPORTED).outcome is JobOutcome.NO_FINDINGS
    assert site.get(giant).status is JobStatus.ENDED
    ((job, since),) = encoding_queue.being_encoded(site.ledger.database)
    assert (job.id, since) == (giant.id, site.clock.now())


def test_finding_d3_what_waits_for_its_next_try_is_not_shown_as_being_encoded(
    site: ResultSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed for a reason nobody foresaw: `status` has it there, and not as under way since then."""
    job = site.ended(reports.measured())

    def fail(*_: object) -> None:
        raise KeyError("Hong^Gildong")

    monkeypatch.setattr(site.results._maker, "whole_set", fail)
    site.results.run_once()
    (defect,) = defects.of_stage(site.ledger.database, "results")
    assert defect.job == job.id
    assert encoding_queue.being_encoded(site.ledger.database) == []


def test_finding_d3_what_nobody_foresaw_in_the_encoder_is_told_without_its_text(
    site: ResultSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of an exception may hold a patient's name, and the reason goes into alerts and `status`."""

    def fail(*_: object) -> None:
        raise KeyError("Hong^Gildong")

    monkeypatch.setattr("node.results.encode.encode", fail)
    request = reports.request([Path("image.dcm")], reports.measured())
    job = site.ended(reports.measured())
    with pytest.raises(
        PermanentError, match=r"could not be encoded: an error in the program \(test_limits.py, line \d+\)"
    ):
        encoder.carry_out(EncoderTask(job.id, Path(), site.folder, request, Cost(1.0, 1.0, 1), reports.no_findings()))


def test_finding_x2_cancel_ends_an_encoding_under_way(site: ResultSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process writes to the ledger: the encoder's child ends within seconds, and nothing of the job leaves."""
    giant = site.ended(reports.measured())
    note = _stuck(site, monkeypatch, giant)
    site.results.run_once()
    until(note.exists, what="the giant to be begun")
    with site.ledger.transaction() as database:
        jobs.cancel(database, site.clock.now(), giant.id, "a test")
    until(lambda: not site.results._maker._encoder._pool._busy, what="the child to end")
    site.results.run_once()
    assert site.get(giant).status is JobStatus.CANCELLED
    assert site.objects(giant) == []
    assert note.read_text() == "begun\n"
    assert encoding_queue.being_encoded(site.ledger.database) == []


def test_finding_x2_a_job_that_was_cancelled_before_its_turn_is_not_encoded(
    site: ResultSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of a job is looked at before it is encoded, not only afterwards."""
    job = site.ended(reports.measured())
    note = _stuck(site, monkeypatch, job)
    found = encoding_queue.unreported(site.ledger.database)
    with site.ledger.transaction() as database:
        jobs.cancel(database, site.clock.now(), job.id, "a test")
    monkeypatch.setattr(encoding_queue, "unreported", lambda _: found)
    site.results.run_once()
    until(lambda: not site.results._lanes._threads._work_queue.qsize(), what="the job to be looked at")
    site.results.close()
    assert not note.exists()


@pytest.mark.parametrize(("fills", "deadline", "reason"), [(False, 15.0, "took too long"), (True, 600.0, "of memory")])
def test_finding_x2_a_result_beyond_its_limits_is_reported_as_not_reportable_at_once(
    site: ResultSite, monkeypatch: pytest.MonkeyPatch, fills: bool, deadline: float, reason: str
) -> None:
    """Too long or too large: one try, a reason in plain words, and a report and a page that say so."""
    job = site.ended(reports.measured())
    note = _stuck(site, monkeypatch, job, fills=fills, deadline=deadline)
    reported = _run_until(site, job, JobStatus.REPORTED)
    assert reported.outcome is JobOutcome.FAILED
    assert reason in str(reported.error)
    assert note.read_text() == "begun\n"
    assert sorted(kind for kind, _ in site.objects(job)) == ["sc", "sr"]


def test_finding_x2_closing_ends_an_encoding_and_leaves_it_to_the_next_start(
    site: ResultSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node does not wait for a giant when it stops."""
    giant = site.ended(reports.measured())
    note = _stuck(site, monkeypatch, giant)
    site.results.run_once()
    until(note.exists, what="the giant to be begun")
    site.results.close()
    assert site.get(giant).status is JobStatus.ENDED


def test_finding_x2_the_cost_follows_from_the_size_of_result_and_images(tmp_path: Path) -> None:
    """What is small gets a short deadline and little memory; more JSON, arrays and images get more."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text(json.dumps({}))
    small = Cost.of(tmp_path, 3)
    assert small.seconds < 1
    assert small.deadline < 120
    (out / "result.json").write_text("x" * 2_000_000)
    (out / "labels-1.npy").write_bytes(bytes(10**6))
    large = Cost.of(tmp_path, 300)
    assert large.seconds > HEAVY
    assert large.deadline > 2 * small.deadline
    assert large.memory > small.memory


def _large(folder: Path, side: int) -> Path:
    """A CT image of so many rows and columns, RLE."""
    path = reports.write(reports.ct(), folder / "large.dcm")
    image = dcmread(path)
    pixels = np.zeros((side, side), np.int16)
    pixels[: side // 2] = 300
    image.Rows = image.Columns = side
    image.compress(RLELossless, pixels, generate_instance_uid=False)
    image.save_as(path)
    return path


def test_finding_x2_a_slice_is_no_larger_in_memory_than_on_a_page(tmp_path: Path) -> None:
    """Of a frame of 16 million pixels a page-sized picture is kept, shown as before; time passes, memory does not."""
    image = read_sources((_large(tmp_path, 4096),)).images[0]
    pixels, window = frame_pixels(image, 1, (150.0, 300.0))
    assert window == (150.0, 300.0)
    assert max(pixels.shape[:2]) <= 1280
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[-1, -1].tolist() == [0, 0, 0]


def test_finding_x2_regions_lie_where_they_are_on_a_large_slice(tmp_path: Path) -> None:
    """A region is drawn by the columns of the image, not by those of the smaller picture that is kept of it."""
    path = _large(tmp_path, 4096)
    uid = ImageReference(str(dcmread(path).SOPInstanceUID))
    ends = np.array([[2000.0, 3000], [2400, 3000], [2200, 2900], [2200, 3100]])
    finding = Finding(reports.NODULE, present=True, regions=(Ellipse(ends, uid),))
    result = Result(ResultStatus.FINDINGS, "x", (finding,), key_images=(KeyImage(uid, "x", (150.0, 300.0)),))
    context = prepare(reports.request([path], result))
    drawn = decode(context, key_slices(context)[0]).draw((1024, 1024)).astype(int)
    yellow = (drawn[:, :, 0] > 200) & (drawn[:, :, 1] > 150) & (drawn[:, :, 2] < 80)
    rows, columns = np.nonzero(yellow[700:800])
    assert 490 <= columns.min() <= 505
    assert 715 <= rows.min() + 700 <= 730


def test_finding_x2_many_slices_share_pages_and_the_summary_says_how_many_there_are(tmp_path: Path) -> None:
    """Of 23 frames with something on them 20 are shown, on three pages; one says so, nothing is silently left out."""
    image = reports.us()
    image.NumberOfFrames = MOST_SLICES + 3
    image.Rows = image.Columns = 8
    image.PixelData = bytes((MOST_SLICES + 3) * 8 * 8 * 3)
    path = reports.write(image, tmp_path / "us.dcm")
    frames = [ImageReference(str(image.SOPInstanceUID), number) for number in range(1, MOST_SLICES + 4)]
    result = Result(
        ResultStatus.FINDINGS,
        "x",
        tuple(
            Finding(
                reports.NODULE, present=True, regions=(Ellipse(np.array([[1.0, 4], [7, 4], [4, 2], [4, 6]]), each),)
            )
            for each in frames
        ),
    )
    context = prepare(reports.request([path], result))
    made = sheets(context)
    assert len(made) == 3
    first = [placed.text for number in (1, 2, 3) for placed in draw_one(context, made, number).placed]
    assert any("20 of 23 images" in text for text in first)
