"""The main job: a study leaves the modality, and its AI result is in the PACS, in the right patient and study.

One node and one PACS serve all of them, as at a site: each test sends studies of patients of its own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.ledger.job import JobOutcome
from node.reading.report import ReadReport
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_series import KOREAN, SeriesHeader
from tests.acceptance.in_the_pacs import (
    CT,
    Hospital,
    assert_conformant,
    assert_in_the_right_study,
    assert_is_what_the_node_made,
    assert_reports_valid,
    computed,
    ct_of,
    held,
    numbers_in,
    numbers_of,
    opened_hospital,
    small_ct,
)
from tests.support.programs.peers import dcmtk
from tests.support.shared_data import shared_data
from tests.support.sites.site import rule

LUNG, FAILS = "LUNG", "FAILS"
"""Accession numbers of what goes to lung-density, and to a plugin that fails; mean-hu takes the others."""
_FAILING = [
    rule(
        name=how,
        when={"Modality": "CT", "AccessionNumber": FAILS},
        run={"plugin": "mean-hu", "parameters": {"answer": how}},
    )
    for how in ("raise", "crash")
]
RULES = [
    rule("lung-density", when={"Modality": "CT", "AccessionNumber": LUNG}),
    rule(when={"Modality": "CT", "not": {"AccessionNumber": [LUNG, FAILS]}}),
    *_FAILING,
]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with opened_hospital(tmp_path_factory.mktemp("hospital"), RULES, {"mean-hu": {"attempts": 1}}) as running:
        yield running


def assert_lung_density_arrives(
    ct: CT, hospital: Hospital, folder: Path, options: Sequence[str] = ("-R",), deadline_seconds: float = 600
) -> None:
    """SR, two pictures with their summary, SEG, KO: whole, valid, in the right study, with the plugin's own numbers."""
    site = hospital.site
    hospital.send(ct, options=options)
    (job,) = site.wait_delivered(ct.study, objects=7, deadline_seconds=deadline_seconds)
    results = held(hospital.pacs, ct.study)
    assert job.outcome is JobOutcome.FINDINGS
    assert results.counts() == {"sr": 1, "sc": 4, "seg": 1, "ko": 1}
    assert_is_what_the_node_made(site, job, results)
    assert_in_the_right_study(hospital.pacs, ct, results)
    result = computed(site, job)
    assert len(numbers_of(result)) == 15
    assert numbers_in(results.reports[0]) == numbers_of(result)
    assert results.reports[0].summary == result.summary
    assert_conformant(results, ct.files, folder)
    assert_reports_valid(results, folder)


def with_value_representations(source: Path, folder: Path) -> list[Path]:
    """The same values with their VRs: the data set was stored with UN throughout, which storescu cannot send."""
    folder.mkdir()
    for path in sorted(source.glob("*.dcm")):
        subprocess.run([dcmtk("dcmconv"), "--convert-un", path, folder / path.name], check=True)
    return sorted(folder.iterdir())


@pytest.mark.at_night("the phantom below, in the same way")
def test_a_real_chest_ct_ends_as_report_pages_and_segmentation(hospital: Hospital, tmp_path: Path) -> None:
    """A complete chest CT of 275 slices, JPEG-LS; patient and study as the data set has them, but for the order."""
    files = with_value_representations(shared_data("LIDC-IDRI-0314"), tmp_path / "ct")
    subprocess.run([dcmtk("dcmodify"), "-nb", "-i", f"AccessionNumber={LUNG}", *files], check=True)
    assert_lung_density_arrives(ct_of(files), hospital, tmp_path / "results", ("-R", "-xt"), 600)


def test_a_phantom_ends_as_report_pages_and_segmentation(hospital: Hospital, tmp_path: Path) -> None:
    """The same on any machine, with a chest that the code makes."""
    header = SeriesHeader(patient_id="PHANTOM", accession_number=LUNG)
    ct = ct_of(chest_series.write_series(Chest(), tmp_path / "ct", header))
    assert_lung_density_arrives(ct, hospital, tmp_path / "results")


def test_two_modalities_send_at_once_one_of_them_compressed(hospital: Hospital, tmp_path: Path) -> None:
    """Each study ends with its own result: patients, orders and numbers are not mixed."""
    one = small_ct(tmp_path / "one", SeriesHeader(patient_id="ONE", accession_number="A1"))
    other_header = SeriesHeader(patient_id="OTHER", accession_number="A2", station_name="CT2", jpeg_ls=True)
    other = small_ct(tmp_path / "other", other_header, emphysema=(0.5, 0.4))
    pacs, site = hospital.pacs, hospital.site
    with ThreadPoolExecutor(2) as senders:
        for sent in (
            senders.submit(hospital.send, one, "CT1"),
            senders.submit(hospital.send, other, "CT2", ("-R", "-xt")),
        ):
            sent.result()
    for ct, emphysema in ((one, (0.1, 0.1)), (other, (0.5, 0.4))):
        (job,) = site.wait_delivered(ct.study, objects=3)
        results = held(pacs, ct.study)
        assert_is_what_the_node_made(site, job, results)
        assert_in_the_right_study(hospital.pacs, ct, results)
        patients = {each["PatientID"] for each in results.shown}
        assert patients == {ct.header.PatientID}
        assert {each["AccessionNumber"] for each in results.shown} == {ct.header.AccessionNumber}
        ((_, _, mean),) = numbers_in(results.reports[0])
        truth = Chest(size=64, slice_mm=23.0, emphysema=emphysema).array.mean()
        assert mean == pytest.approx(truth, abs=0.001)


def test_korean_names_are_shown_right_by_the_pacs(hospital: Hospital, tmp_path: Path) -> None:
    """Images in ISO 2022 IR 149; report and pages show the same name in Latin, Hanja and Hangul (case 38)."""
    name = "Hong^Gildong=洪^吉洞=홍^길동"
    ct = small_ct(tmp_path / "ct", SeriesHeader(patient_name=name, patient_id="HONG", character_set=KOREAN))
    assert b"\x1b$)C" in ct.files[0].read_bytes()
    hospital.send(ct)
    hospital.site.wait_delivered(ct.study, objects=3)
    results = held(hospital.pacs, ct.study)
    assert results.counts() == {"sr": 1, "sc": 2}
    assert [each["PatientName"] for each in results.shown] == [name] * 3
    assert_in_the_right_study(hospital.pacs, ct, results)
    # dcentvfy compares bytes, and the images have another character set
    assert_conformant(results, [], tmp_path / "results")


def test_not_applicable_is_a_report_alone_that_says_so(hospital: Hospital, tmp_path: Path) -> None:
    """Slices too thick for lung density: no pages, no number and no answer; the SR names the reason."""
    header = SeriesHeader(patient_id="PHANTOM-0008", accession_number=LUNG)
    ct = ct_of(chest_series.write_series(Chest(slice_mm=8.0), tmp_path / "ct", header))
    hospital.send(ct)
    (job,) = hospital.site.wait_delivered(ct.study, objects=1)
    results = held(hospital.pacs, ct.study)
    assert_is_what_the_node_made(hospital.site, job, results)
    assert job.outcome is JobOutcome.NOT_APPLICABLE
    assert results.counts() == {"sr": 1}
    (report,) = results.reports
    assert "8 mm thick" in report.summary
    assert_says_no_negative(report, "not analysed: these images are not suitable")
    assert_conformant(results, ct.files, tmp_path / "results")


def test_a_failure_is_reported_in_words_that_are_no_negative(hospital: Hospital, tmp_path: Path) -> None:
    """A plugin that stops with an error, and one whose process dies: report and page of each say that it failed."""
    ct = small_ct(tmp_path / "ct", SeriesHeader(patient_id="PHANTOM-0007", accession_number=FAILS))
    hospital.send(ct)
    work = hospital.site.wait_delivered(ct.study, objects=4)
    assert [job.outcome for job in work] == [JobOutcome.FAILED] * 2
    results = held(hospital.pacs, ct.study)
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
