"""DICOM that plugins make themselves, on a whole node: packages of others under podman, and a class with highdicom."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import SegmentationStorage

from node.ledger import deliveries, jobs
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import JobOutcome
from node.reading import reader
from tests.acceptance.conftest import MakeSite
from tests.acceptance.in_the_pacs import CT, send, small_ct
from tests.support.dimse.choosy_pacs import ChoosyPACS
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import require_peer
from tests.support.programs.podman import PodmanStore, podman_store
from tests.support.programs.validators import dciodvfy
from tests.support.results import by_highdicom
from tests.support.sites.mercure_site import mercure_plugin
from tests.support.sites.package_site import grand_challenge_algorithm, mhub_model, monai_package
from tests.support.sites.site import Site, destination, rule
from tests.support.wait import until

HIGHDICOM_CLASS = """
import numpy as np
from pydicom import dcmread
import by_highdicom
from plugins import Result, ResultStatus, ReturnedObject

class Bright:
    def analyse(self, study, parameters):
        images = [dcmread(path) for path in study.series[0].files]
        mask = np.stack([each.pixel_array for each in images]) > 500
        objects = []
        for number, made in enumerate((by_highdicom.segmented(images, mask), by_highdicom.reported(images[0], 7))):
            path = study.scratch / f"{number}.dcm"
            made.save_as(path, enforce_file_format=True)
            objects.append(ReturnedObject(path))
        return Result(ResultStatus.FINDINGS, "A segmentation and a report.", objects=tuple(objects))
"""
MANIFEST = """
schema = 1
outputs = ["dicom"]
[identity]
name = "Bright"
version = "2.1"
manufacturer = "ACME Imaging"
intended_use = "Makes its DICOM with highdicom."
[runtime]
kind = "python"
entry = "bright:Bright"
"""
_PATIENCE = 600
"""Seconds, as `Site.wait_delivered` has them."""
OURS = "AI-INV"
"""How the series descriptions of what is marked begin."""


@pytest.fixture
def podman(monkeypatch: pytest.MonkeyPatch) -> Iterator[PodmanStore]:
    require_peer("podman")
    with podman_store() as store:
        for name, value in store.variables.items():
            monkeypatch.setenv(name, value)
        yield store


def results(pacs: Orthanc, ct: CT) -> dict[str, list[Dataset]]:
    """All that the PACS has of the study besides its images, by modality; none belongs to another patient."""
    found: dict[str, list[Dataset]] = {}
    for each in (dcmread(BytesIO(content)) for content in pacs.files(StudyInstanceUID=ct.study)):
        assert (each.PatientID, each.AccessionNumber) == (ct.header.PatientID, ct.header.AccessionNumber)
        if each.Modality != "CT" or each.SOPClassUID != ct.header.SOPClassUID:
            found.setdefault(each.Modality, []).append(each)
    assert len(pacs.rest("/patients")) == len(pacs.rest("/studies")) == 1
    return found


def test_modules_of_mercure_deliver_what_they_made_of_their_own_patient(
    pacs: Orthanc, make_site: MakeSite, podman: PodmanStore, tmp_path: Path
) -> None:
    """Segmentation, report and picture are in the PACS, marked, under new UIDs; what is of another patient is not.

    A destination in Korean reads why in Korean. A module that leaves only `result.json` is not applicable.
    """
    ct = small_ct(tmp_path / "ct")
    images = [dcmread(path) for path in ct.files]
    mask = np.stack([each.pixel_array for each in images]) > 500
    made = [by_highdicom.segmented(images, mask), by_highdicom.reported(images[0], 7), by_highdicom.pictured(images[0])]
    foreign = by_highdicom.pictured(images[0])
    foreign.PatientID = "SOMEBODY ELSE"
    plugins = {"module": mercure_plugin(tmp_path / "module", podman, *made, foreign)}
    says_only = {"plugin": "module", "parameters": {"does": "says only"}}
    rules = [rule("module"), rule("module", name="says", run=says_only)]
    with make_site(rules=rules, plugins=plugins, language="ko") as site:
        send(ct, pacs, site)
        jobs = {job.rule: job for job in site.wait_delivered(ct.study, objects=6)}
        there = results(pacs, ct)
    assert jobs["module"].outcome is JobOutcome.FINDINGS
    assert jobs["says"].outcome is JobOutcome.NOT_APPLICABLE
    assert podman.left() == []
    own = {each.SOPInstanceUID: each for each in made}
    marked = [each for found in there.values() for each in found if str(each.get("Manufacturer")) == "ACME Imaging"]
    assert sorted(str(each.SOPClassUID) for each in marked) == sorted(str(each.SOPClassUID) for each in made)
    for each in marked:
        assert each.SOPInstanceUID not in own
        assert each.SeriesDescription.startswith(OURS)
    (segmentation,) = there["SEG"]
    assert np.array_equal(segmentation.pixel_array, made[0].pixel_array)
    referenced = {
        str(each.ReferencedSOPInstanceUID)
        for each in segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced <= {str(each.SOPInstanceUID) for each in images}
    said = ["\n".join(reader.read_sr(each).lines()) for each in there["SR"] if each not in marked]
    assert any("Bright voxels." in each for each in said)
    assert any("프로그램의 객체 4: 다른 환자의 객체임" in each for each in said), said


def highdicom_plugin(folder: Path) -> dict[str, object]:
    """A class that needs nothing of the tests."""
    folder.mkdir()
    shutil.copy(by_highdicom.__file__, folder / "by_highdicom.py")
    (folder / "bright.py").write_text(HIGHDICOM_CLASS)
    (folder / "plugin.toml").write_text(MANIFEST)
    return {"folder": str(folder)}


def test_what_a_class_makes_with_highdicom_is_in_the_pacs_and_another_one_may_refuse_its_class(
    pacs: Orthanc, tmp_path: Path
) -> None:
    """Segmentation and report are marked, on the true images, and sound to dciodvfy.

    An archive that takes no segmentations gets all else; the segmentation is a dead letter that says why, and is never
    made into something else: it is not ours to re-encode.
    """
    ct = small_ct(tmp_path / "ct")
    with ChoosyPACS(tmp_path / "choosy", {SegmentationStorage}) as choosy:
        choosy.put(ct.files)
        targets = {
            "pacs": destination(pacs.ae_title, pacs.dicom_port),
            "choosy": destination("PACS", choosy.port),
        }
        plugins = {"bright": highdicom_plugin(tmp_path / "bright")}
        rules = [rule("bright", send=["pacs", "choosy"])]
        with Site(tmp_path / "node", targets, rules, plugins) as site:
            send(ct, pacs, site)
            until(lambda: _settled(site, ct.study), _PATIENCE, "every object to be delivered or refused")
            sent = deliveries.results_of_study(site.ledger.database, ct.study)
            there = results(pacs, ct)
    (refused,) = [each for each in sent if each.status is DeliveryStatus.DEAD]
    assert (refused.destination, refused.sop_class_uid) == ("choosy", SegmentationStorage)
    assert "Segmentation" in (refused.error or "")
    assert SegmentationStorage not in choosy.classes()
    at_both = {each.item for each in sent if each.destination == "pacs"} - {refused.item}
    assert {str(each.SOPInstanceUID) for each in choosy.results()} == at_both
    (segmentation,) = there["SEG"]
    (report,) = [each for each in there["SR"] if each.Manufacturer == "ACME Imaging"]
    truth = np.stack([dcmread(path).pixel_array for path in ct.files]) > 500
    assert int(segmentation.pixel_array.sum()) == int(truth.sum())
    for each in (segmentation, report):
        assert each.SeriesDescription.startswith(OURS)
        each.save_as(tmp_path / "sent.dcm", enforce_file_format=True)
        assert dciodvfy(tmp_path / "sent.dcm") == []


def _settled(site: Site, study: str) -> bool:
    sent = deliveries.results_of_study(site.ledger.database, study)
    over = (DeliveryStatus.DELIVERED, DeliveryStatus.DEAD)
    return bool(sent) and all(each.status in over for each in sent)


def test_packages_of_others_deliver_what_they_found(
    pacs: Orthanc, make_site: MakeSite, podman: PodmanStore, tmp_path: Path
) -> None:
    """A MONAI application package, a model of MHub and an algorithm of Grand Challenge: from images to SEG and SR."""
    ct = small_ct(tmp_path / "ct")
    images = [dcmread(path) for path in ct.files]
    mask = np.stack([each.pixel_array for each in images]) > 500
    plugins = {
        "monai": monai_package(tmp_path / "monai", podman, by_highdicom.reported(images[0], 7)),
        "mhub": mhub_model(tmp_path / "mhub", podman, by_highdicom.segmented(images, mask)),
        "challenge": grand_challenge_algorithm(tmp_path / "challenge", podman),
    }
    with make_site(rules=[rule(name) for name in plugins], plugins=plugins) as site:
        send(ct, pacs, site)
        until(lambda: _all_answered(site, ct.study, len(plugins)), _PATIENCE, "the jobs to be answered")
        until(lambda: _settled(site, ct.study), _PATIENCE, "every object to be delivered")
        found = {job.rule: job.outcome for job in jobs.of_study(site.ledger.database, ct.study)}
        there = results(pacs, ct)
    assert found == dict.fromkeys(plugins, JobOutcome.FINDINGS)
    assert podman.left() == []
    voxels = sorted(int((each.pixel_array != 0).sum()) for each in there["SEG"])
    assert voxels == [int(mask.sum()), mask.size]
    said = ["\n".join(reader.read_sr(each).lines()) for each in there["SR"]]
    assert any("Bright region" in each and "0.83" in each for each in said), said
    assert sum("The package returned 1 DICOM object." in each for each in said) == 2


def _all_answered(site: Site, study: str, count: int) -> bool:
    found = jobs.of_study(site.ledger.database, study)
    made = {each.job for each in deliveries.results_of_study(site.ledger.database, study)}
    return len(found) == count and all(job.outcome is not None and job.id in made for job in found)
