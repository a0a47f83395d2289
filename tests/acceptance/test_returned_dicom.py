"""DICOM that plugins make themselves, on a whole node: modules of mercure under podman, and a class with highdicom."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from node.ledger.job import JobOutcome
from node.reading import reader
from tests.acceptance.conftest import MakeSite
from tests.acceptance.in_the_pacs import CT, send, small_ct
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import require_peer
from tests.support.programs.podman import PodmanStore, podman_store
from tests.support.results import by_highdicom
from tests.support.sites.mercure_site import mercure_plugin
from tests.support.sites.site import rule

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
