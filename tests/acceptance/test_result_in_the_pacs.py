"""The main job: a study leaves the modality, and its AI result is in the PACS, in the right patient and study."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.ledger.jobs import JobOutcome
from plugins import phantom_series
from plugins.phantom import Chest
from plugins.phantom_series import KOREAN, SeriesHeader
from tests.acceptance.in_the_pacs import (
    CT,
    assert_in_the_right_study,
    assert_is_what_the_node_made,
    assert_valid,
    computed,
    ct_of,
    held,
    numbers_in,
    numbers_of,
    send,
    small_ct,
)
from tests.support.orthanc import Orthanc
from tests.support.shared_data import shared_data
from tests.support.site import Site, destination, rule
from tests.support.validators import dciodvfy


def site_of(tmp_path: Path, pacs: Orthanc, run: str = "mean-hu", **parameters: object) -> Site:
    """A node with one rule, whose results go to the PACS."""
    asked = {"plugin": run, "parameters": parameters} if parameters else run
    return Site(tmp_path / "node", {"pacs": destination(pacs.ae_title, pacs.dicom_port)}, [rule(run) | {"run": asked}])


def assert_lung_density_arrives(
    ct: CT, pacs: Orthanc, tmp_path: Path, options: tuple[str, ...], deadline_seconds: float
) -> None:
    """SR, two pictures with their summary, SEG, KO: whole, valid, in the right study, with the plugin's own numbers."""
    with site_of(tmp_path, pacs, "lung-density") as site:
        send(ct, pacs, site, options=options)
        (job,) = site.wait_delivered(ct.study, objects=7, deadline_seconds=deadline_seconds)
        results = held(pacs, ct.study)
        assert job.outcome is JobOutcome.FINDINGS
        assert results.counts() == {"sr": 1, "sc": 4, "seg": 1, "ko": 1}
        assert_is_what_the_node_made(site, job, results)
        assert_in_the_right_study(pacs, ct, results)
        result = computed(site, job)
        assert len(numbers_of(result)) == 15
        assert numbers_in(results.report) == numbers_of(result)
        assert results.report.summary == result.summary
        assert_valid(results, ct.files, tmp_path / "results")


def test_a_real_chest_ct_ends_as_report_pages_and_segmentation(orthanc: Orthanc, tmp_path: Path) -> None:
    """A complete chest CT of 275 slices, JPEG-LS, as the data set has it."""
    ct = ct_of(sorted(shared_data("LIDC-IDRI-0314").glob("*.dcm")))
    assert_lung_density_arrives(ct, orthanc, tmp_path, ("-R", "-xt"), 600)


def test_a_phantom_ends_as_report_pages_and_segmentation(orthanc: Orthanc, tmp_path: Path) -> None:
    """The same on any machine, with a chest that the code makes."""
    ct = ct_of(phantom_series.write_series(Chest(), tmp_path / "ct"))
    assert_lung_density_arrives(ct, orthanc, tmp_path, ("-R",), 180)


def test_two_modalities_send_at_once_one_of_them_compressed(orthanc: Orthanc, tmp_path: Path) -> None:
    """Each study ends with its own result: patients, orders and numbers are not mixed."""
    one = small_ct(tmp_path / "one", SeriesHeader(patient_id="ONE", accession_number="A1"))
    other_header = SeriesHeader(patient_id="OTHER", accession_number="A2", station_name="CT2", jpeg_ls=True)
    other = small_ct(tmp_path / "other", other_header, emphysema=(0.5, 0.4))
    with site_of(tmp_path, orthanc) as site, ThreadPoolExecutor(2) as senders:
        for sent in (
            senders.submit(send, one, orthanc, site, calling="CT1"),
            senders.submit(send, other, orthanc, site, calling="CT2", options=("-R", "-xt")),
        ):
            sent.result()
        for ct, emphysema in ((one, (0.1, 0.1)), (other, (0.5, 0.4))):
            (job,) = site.wait_delivered(ct.study, objects=3)
            results = held(orthanc, ct.study)
            assert_is_what_the_node_made(site, job, results)
            patients = {each["PatientID"] for each in results.shown}
            assert patients == {ct.header.PatientID}
            assert {each["AccessionNumber"] for each in results.shown} == {ct.header.AccessionNumber}
            ((_, _, mean),) = numbers_in(results.report)
            truth = Chest(size=64, slice_mm=23.0, emphysema=emphysema).array.mean()
            assert mean == pytest.approx(truth, abs=0.001)
        assert len(orthanc.rest("/patients")) == len(orthanc.rest("/studies")) == 2


def test_korean_names_are_shown_right_by_the_pacs(orthanc: Orthanc, tmp_path: Path) -> None:
    """Images in ISO 2022 IR 149; report and pages show the same name in Latin, Hanja and Hangul (faults.md 38)."""
    name = "Hong^Gildong=洪^吉洞=홍^길동"
    ct = small_ct(tmp_path / "ct", SeriesHeader(patient_name=name, character_set=KOREAN))
    assert b"\x1b$)C" in ct.files[0].read_bytes()
    with site_of(tmp_path, orthanc) as site:
        send(ct, orthanc, site)
        (job,) = site.wait_delivered(ct.study, objects=3)
        results = held(orthanc, ct.study)
        assert results.counts() == {"sr": 1, "sc": 2}
        assert [each["PatientName"] for each in results.shown] == [name] * 3
        assert_in_the_right_study(orthanc, ct, results)
        for uid, content in results.files.items():
            path = tmp_path / f"{uid}.dcm"
            path.write_bytes(content)
            assert dciodvfy(path) == []


@pytest.mark.parametrize("case", ["the_plugin_says_so", "slices_too_thick"])
def test_not_applicable_is_a_report_alone_that_says_so(case: str, orthanc: Orthanc, tmp_path: Path) -> None:
    """No pages, no number and no answer: the SR names the reason."""
    if case == "slices_too_thick":
        ct = ct_of(phantom_series.write_series(Chest(slice_mm=8.0), tmp_path / "ct"))
        site, reason = site_of(tmp_path, orthanc, "lung-density"), "8 mm thick"
    else:
        ct = small_ct(tmp_path / "ct")
        site, reason = site_of(tmp_path, orthanc, answer="not_applicable"), "these images are not what it is for"
    with site:
        send(ct, orthanc, site)
        (job,) = site.wait_delivered(ct.study, objects=1)
        results = held(orthanc, ct.study)
    assert job.outcome is JobOutcome.NOT_APPLICABLE
    assert results.counts() == {"sr": 1}
    assert reason in results.report.summary
    assert results.report.findings == ()
    said = "\n".join(results.report.lines()).lower()
    assert "not applicable" in said
    assert "absent" not in said
    assert_valid(results, ct.files, tmp_path / "results")


@pytest.mark.parametrize("answer", ["raise", "crash"])
def test_a_failure_is_reported_in_words_that_are_no_negative(answer: str, orthanc: Orthanc, tmp_path: Path) -> None:
    """A plugin that stops with an error, or whose process dies each time: report and page say that it failed."""
    ct = small_ct(tmp_path / "ct")
    pacs = {"pacs": destination(orthanc.ae_title, orthanc.dicom_port)}
    failing = rule(run={"plugin": "mean-hu", "parameters": {"answer": answer}}, name="mean-hu")
    with Site(tmp_path / "node", pacs, [failing], plugins={"mean-hu": {"attempts": 1}}) as site:
        send(ct, orthanc, site)
        (job,) = site.wait_delivered(ct.study, objects=2)
        results = held(orthanc, ct.study)
        assert job.outcome is JobOutcome.FAILED
        assert_is_what_the_node_made(site, job, results)
    assert results.counts() == {"sr": 1, "sc": 1}
    report = results.report
    assert report.findings == ()
    said = "\n".join(report.lines()).lower()
    assert "failed" in said or "could not" in said
    assert "absent" not in said
    assert "no finding" not in said
    assert_valid(results, ct.files, tmp_path / "results")
