"""DICOM that plugins make themselves, on a whole node: modules of mercure under podman, and a class with highdicom."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from node.ledger.job import JobOutcome
from tests.acceptance.conftest import MakeSite
from tests.acceptance.in_the_pacs import CT, send, small_ct
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import require_peer
from tests.support.programs.podman import PodmanStore, podman_store
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


def module_rule(does: str, **more: Any) -> dict[str, object]:
    return rule("module", run={"plugin": "module", "parameters": {"does": does, **more}})


def test_a_module_of_mercure_delivers_a_segmentation_a_report_and_a_picture(
    pacs: Orthanc, make_site: MakeSite, podman: PodmanStore, tmp_path: Path
) -> None:
    """Marked, under new UIDs, on the true images of the study; its numbers and its words are in the node's report."""
    ct = small_ct(tmp_path / "ct")
    plugins = {"module": mercure_plugin(tmp_path / "module", podman)}
    with make_site(rules=[module_rule("all")], plugins=plugins) as site:
        send(ct, pacs, site)
        (job,) = site.wait_delivered(ct.study, objects=5)
        print(job, site.log()[-3000:])
        there = results(pacs, ct)
    assert job.outcome is JobOutcome.FINDINGS
    print({k: [(e.SOPClassUID.name, e.SeriesDescription) for e in v] for k, v in there.items()})
    assert podman.left() == []
