"""The main job: a study leaves the modality, and its AI result is in the PACS, in the right patient and study."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.ledger.job import JobOutcome
from node.reading.report import ReadReport
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_series import KOREAN, SeriesHeader
from tests.acceptance.conftest import MakeSite
from tests.acceptance.in_the_pacs import (
    CT,
    assert_conformant,
    assert_in_the_right_study,
    assert_is_what_the_node_made,
    assert_reports_valid,
    computed,
    ct_of,
    held,
    numbers_in,
    numbers_of,
    send,
    small_ct,
)
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import dcmtk
from tests.support.shared_data import shared_data
from tests.support.sites.site import Site, rule


def assert_lung_density_arrives(
    ct: CT, pacs: Orthanc, site: Site, folder: Path, options: Sequence[str] = ("-R",), deadline_seconds: float = 600
) -> None:
    """SR, two pictures with their summary, SEG, KO: whole, valid, in the right study, with the plugin's own numbers."""
    with site:
        send(ct, pacs, site, options=options)
        (job,) = site.wait_delivered(ct.study, objects=7, deadline_seconds=deadline_seconds)
        results = held(pacs, ct.study)
        assert job.outcome is JobOutcome.FINDINGS
        assert results.counts() == {"sr": 1, "sc": 4, "seg": 1, "ko": 1}
        assert_is_what_the_node_made(site, job, results)
        assert_in_the_right_study(pacs, ct, results)
        result = computed(site, job)
        assert len(numbers_of(result)) == 15
        assert numbers_in(results.reports[0]) == numbers_of(result)
        assert results.reports[0].summary == result.summary
        assert_conformant(results, ct.files, folder)
        assert_reports_valid(results, folder)


def with_value_representations(source: Path, folder: Path) -> CT:
    """The same values with their VRs: the data set was stored with UN throughout, which storescu cannot send."""
    folder.mkdir()
    for path in sorted(source.glob("*.dcm")):
        subprocess.run([dcmtk("dcmconv"), "--convert-un", path, folder / path.name], check=True)
    return ct_of(sorted(folder.iterdir()))


@pytest.mark.at_night("the phantom below, in the same way")
def test_a_real_chest_ct_ends_as_report_pages_and_segmentation(
    pacs: Orthanc, make_site: MakeSite, tmp_path: Path
) -> None:
    """A complete chest CT of 275 slices, JPEG-LS; patient and study as the data set has them."""
    ct = with_value_representations(shared_data("LIDC-IDRI-0314"), tmp_path / "ct")
    assert_lung_density_arrives(ct, pacs, make_site("lung-density"), tmp_path / "results", ("-R", "-xt"), 600)


def test_a_phantom_ends_as_report_pages_and_segmentation(pacs: Orthanc, make_site: MakeSite, tmp_path: Path) -> None:
    """The same on any machine, with a chest that the code makes."""
    ct = ct_of(chest_series.write_series(Chest(), tmp_path / "ct"))
    assert_lung_density_arrives(ct, pacs, make_site("lung-density"), tmp_path / "results")


def test_two_modalities_send_at_once_one_of_them_compressed(pacs: Orthanc, make_site: MakeSite, tmp_path: Path) -> None:
    """Each study ends with its own result: patients, orders and numbers are not mixed."""
    one = small_ct(tmp_path / "one", SeriesHeader(patient_id="ONE", accession_number="A1"))
    other_header = SeriesHeader(patient_id="OTHER", accession_number="A2", station_name="CT2", jpeg_ls=True)
    other = small_ct(tmp_path / "other", other_header, emphysema=(0.5, 0.4))
    with make_site() as site, ThreadPoolExecutor(2) as senders:
        for sent in (
            senders.submit(send, one, pacs, site, calling="CT1"),
            senders.submit(send, other, pacs, site, calling="CT2", options=("-R", "-xt")),
        ):
            sent.result()
        for ct, emphysema in ((one, (0.1, 0.1)), (other, (0.5, 0.4))):
            (job,) = site.wait_delivered(ct.study, objects=3)
            results = held(pacs, ct.study)
            assert_is_what_the_node_made(site, job, results)
            patients = {each["PatientID"] for each in results.shown}
            assert patients == {ct.header.PatientID}
            assert {each["AccessionNumber"] for each in results.shown} == {ct.header.AccessionNumber}
            ((_, _, mean),) = numbers_in(results.reports[0])
            truth = Chest(size=64, slice_mm=23.0, emphysema=emphysema).array.mean()
            assert mean == pytest.approx(truth, abs=0.001)
        assert len(pacs.rest("/patients")) == len(pacs.rest("/studies")) == 2


def test_korean_names_are_shown_right_by_the_pacs(pacs: Orthanc, make_site: MakeSite, tmp_path: Path) -> None:
    """Images in ISO 2022 IR 149; report and pages show the same name in Latin, Hanja and Hangul (case 38)."""
    name = "Hong^Gildong=洪^吉洞=홍^길동"
    ct = small_ct(tmp_path / "ct", SeriesHeader(patient_name=name, character_set=KOREAN))
    assert b"\x1b$)C" in ct.files[0].read_bytes()
    with make_site() as site:
        send(ct, pacs, site)
        site.wait_delivered(ct.study, objects=3)
        results = held(pacs, ct.study)
        assert results.counts() == {"sr": 1, "sc": 2}
        assert [each["PatientName"] for each in results.shown] == [name] * 3
        assert_in_the_right_study(pacs, ct, results)
        # dcentvfy compares bytes, and the images have another character set
        assert_conformant(results, [], tmp_path / "results")


def test_not_applicable_is_a_report_alone_that_says_so(pacs: Orthanc, make_site: MakeSite, tmp_path: Path) -> None:
    """Slices too thick for lung density: no pages, no number and no answer; the SR names the reason."""
    ct = ct_of(chest_series.write_series(Chest(slice_mm=8.0), tmp_path / "ct"))
    with make_site("lung-density") as site:
        send(ct, pacs, site)
        (job,) = site.wait_delivered(ct.study, objects=1)
        results = held(pacs, ct.study)
        assert_is_what_the_node_made(site, job, results)
    assert job.outcome is JobOutcome.NOT_APPLICABLE
    assert results.counts() == {"sr": 1}
    (report,) = results.reports
    assert "8 mm thick" in report.summary
    assert_says_no_negative(report, "not analysed: these images are not suitable")
    assert_conformant(results, ct.files, tmp_path / "results")


def test_a_failure_is_reported_in_words_that_are_no_negative(
    pacs: Orthanc, make_site: MakeSite, tmp_path: Path
) -> None:
    """A plugin that stops with an error, and one whose process dies: report and page of each say that it failed."""
    ct = small_ct(tmp_path / "ct")
    failing = [rule(name=how, run={"plugin": "mean-hu", "parameters": {"answer": how}}) for how in ("raise", "crash")]
    with make_site(rules=failing, plugins={"mean-hu": {"attempts": 1}}) as site:
        send(ct, pacs, site)
        work = site.wait_delivered(ct.study, objects=4)
        assert [job.outcome for job in work] == [JobOutcome.FAILED] * 2
        results = held(pacs, ct.study)
    assert results.counts() == {"sr": 2, "sc": 2}
    for report in results.reports:
        assert_says_no_negative(report, "not analysed: the analysis failed")
        said = "\n".join(report.lines())  # where the error was is for the admin, with the job
        assert [word for word in ("Error", ".py", "line ", "SIG") if word in said] == []
    assert {"RuntimeError, mean_hu.py line" in str(job.error) for job in work} == {True, False}
    assert_conformant(results, ct.files, tmp_path / "results")


def assert_says_no_negative(report: ReadReport, words: str) -> None:
    """It says `words` and that this is no negative, and nothing in it could be read as one."""
    assert report.findings == ()
    said = "\n".join(report.lines()).lower()
    assert words in said
    assert "this is not a negative result" in said
    assert "absent" not in said
    assert "no finding" not in said
