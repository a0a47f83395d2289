"""What acceptance tests ask of the PACS and of what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import (
    ComprehensiveSRStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from node.ledger import objects
from node.ledger.job import Job
from node.reading import reader
from node.reading.report import ReadReport
from plugins import exchange
from plugins.contract import Result
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_series import SeriesHeader
from tests.support.ports import free_port
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import storescu
from tests.support.programs.validators import dcentvfy, dciodvfy, dicom_sr_validator
from tests.support.sites.site import Site, destination

_KINDS = {
    ComprehensiveSRStorage: "sr",
    SecondaryCaptureImageStorage: "sc",
    SegmentationStorage: "seg",
    KeyObjectSelectionDocumentStorage: "ko",
}


@dataclass(frozen=True)
class CT:
    """One CT series on disk, and whose it is."""

    files: list[Path]
    header: Dataset

    @property
    def study(self) -> str:
        return str(self.header.StudyInstanceUID)


def ct_of(files: Sequence[Path]) -> CT:
    return CT(list(files), dcmread(files[0], stop_before_pixels=True))


def small_ct(folder: Path, header: SeriesHeader | None = None, **chest: Any) -> CT:
    """A phantom of twelve small slices: enough for every question but the lungs."""
    return ct_of(chest_series.write_series(Chest(**{"size": 64, "slice_mm": 23.0, **chest}), folder, header))


def send(
    ct: CT,
    *targets: Site | Orthanc,
    calling: str = "CT1",
    options: Sequence[str] = ("-R", "-ta", "300"),
    files: Sequence[Path] = (),
) -> None:
    """C-STORE the series, or these files of it, to each target by dcmtk's storescu; all of it is accepted."""
    for target in targets:
        port, called = (target.port, "PACSNODE") if isinstance(target, Site) else (target.dicom_port, target.ae_title)
        done = storescu(port, files or ct.files, called=called, calling=calling, options=options)
        assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Hospital:
    """A PACS, and a node that sends to it; shared by tests that each send patients of their own."""

    pacs: Orthanc
    site: Site

    def send(self, ct: CT, calling: str = "CT1", options: Sequence[str] = ("-R", "-ta", "300")) -> None:
        """First to the PACS, then to the node."""
        send(ct, self.pacs, self.site, calling=calling, options=options)


@contextmanager
def opened_hospital(
    folder: Path, rules: Sequence[Mapping[str, object]], plugins: Mapping[str, Mapping[str, object]], **more: object
) -> Iterator[Hospital]:
    """Both of them, running, in a folder; `more`: of the PACS as a destination."""
    port = free_port()
    with Orthanc(folder / "orthanc", modalities={"PACSNODE": port}) as pacs:
        target = destination(pacs.ae_title, pacs.dicom_port, **more)
        listen = {"listen": {"host": "127.0.0.1", "port": port}}
        with Site(folder / "node", {"pacs": target}, rules, plugins, listen) as site:
            yield Hospital(pacs, site)


@dataclass(frozen=True)
class Held:
    """The results of one study as the PACS gives them back, by kind."""

    datasets: dict[str, list[Dataset]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    """By SOP Instance UID."""
    shown: list[Mapping[str, Any]] = field(default_factory=list)
    """The tags that the PACS shows of each, by keyword."""

    def counts(self) -> dict[str, int]:
        return {kind: len(found) for kind, found in self.datasets.items()}

    @property
    def reports(self) -> list[ReadReport]:
        """The SRs, read."""
        return [reader.read_sr(dataset) for dataset in self.datasets["sr"]]


def held(pacs: Orthanc, study: str) -> Held:
    """All that the PACS holds of a study besides the CT images, found by REST."""
    (found,) = pacs.find("Study", StudyInstanceUID=study)
    result = Held()
    for identifier in found["Series"]:
        series = pacs.rest(f"/series/{identifier}")
        if _modality(series) == "CT":
            continue
        for instance in series["Instances"]:
            content = pacs.rest_bytes(f"/instances/{instance}/file")
            dataset = dcmread(BytesIO(content))
            result.datasets.setdefault(_KINDS[dataset.SOPClassUID], []).append(dataset)
            result.files[str(dataset.SOPInstanceUID)] = content
            result.shown.append(pacs.rest(f"/instances/{instance}/simplified-tags"))
    return result


def assert_is_what_the_node_made(site: Site, job: Job, results: Held) -> None:
    """Each object of the job is in the PACS, once and unchanged, and there is no other."""
    made = {each.sop_instance_uid: each for each in objects.of_job(site.ledger.database, job.id)}
    assert made.keys() == results.files.keys()
    for dataset in (each for found in results.datasets.values() for each in found):
        assert dataset == dcmread(site.data / made[str(dataset.SOPInstanceUID)].file)
        if "PixelData" in dataset:
            assert dataset.pixel_array.size


def assert_in_the_right_study(pacs: Orthanc, ct: CT, results: Held) -> None:
    """Every result names patient and study as the images do; the PACS has made no study, and no patient, for it."""
    with_images = {each["ParentStudy"] for each in pacs.rest("/series?expand") if _modality(each) == "CT"}
    assert len(pacs.rest("/patients")) == len(pacs.rest("/studies")) == len(with_images)
    for dataset in (each for found in results.datasets.values() for each in found):
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber"):
            assert str(dataset[keyword].value or "") == str(ct.header.get(keyword) or ""), keyword


def _modality(series: Mapping[str, Any]) -> str:
    return str(series["MainDicomTags"]["Modality"])


def computed(site: Site, job: Job) -> Result:
    """What the plugin itself returned, as the node keeps it."""
    assert job.result is not None
    folder = site.data / job.result
    return exchange.read_result(folder, exchange.read_request(folder))


def numbers_of(result: Result) -> list[tuple[str, str, float | None]]:
    """(side, concept, value) of every measurement of a plugin's result."""
    return sorted(
        (finding.site.laterality.meaning if finding.site and finding.site.laterality else "", m.concept.value, m.value)
        for finding in result.findings
        for m in finding.measurements
    )


def numbers_in(report: ReadReport) -> list[tuple[str, str, float | None]]:
    """The same of a report as it was read back."""
    return sorted(
        (finding.site.side if finding.site else "", m.concept.value, m.value)
        for finding in report.findings
        for m in finding.measurements
    )


def save(results: Held, folder: Path) -> dict[str, Path]:
    """The files as the PACS gave them, by SOP Instance UID."""
    folder.mkdir()
    paths = {uid: folder / f"{uid}.dcm" for uid in results.files}
    for uid, path in paths.items():
        path.write_bytes(results.files[uid])
    return paths


def assert_conformant(results: Held, sources: Sequence[Path], folder: Path) -> None:
    """No error from dciodvfy in any object, none from dcentvfy over sources and results; saves them in `folder`."""
    paths = save(results, folder).values()
    assert {path.name: dciodvfy(path) for path in paths} == {path.name: [] for path in paths}
    assert dcentvfy([*sources, *paths]) == dcentvfy(sources)


def assert_reports_valid(results: Held, folder: Path) -> None:
    """No error from PixelMed's DicomSRValidator in the SRs, which `assert_conformant` has saved."""
    reports = [folder / f"{dataset.SOPInstanceUID}.dcm" for dataset in results.datasets["sr"]]
    assert dicom_sr_validator(reports) == {path: [] for path in reports}
