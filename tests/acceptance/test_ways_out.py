"""Ways out beside DIMSE, through a whole node: images and results by STOW-RS, results into a folder, and back again."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from node.ledger import objects
from tests.acceptance.in_the_pacs import (
    assert_in_the_right_study,
    assert_is_what_the_node_made,
    held,
    send,
    small_ct,
)
from tests.support.programs.orthanc import Orthanc
from tests.support.sites.site import Site, rule
from tests.support.wait import until

RETRY = {"first": "500ms", "factor": 1, "longest": "500ms"}


@pytest.mark.at_night("tests/peers/test_dicomweb.py, tests/unit/deliver/test_folder.py")
def test_a_study_goes_to_a_web_archive_and_its_results_into_a_folder_too(tmp_path: Path) -> None:
    """The archive gets the images, then, once QIDO-RS has the study, the results; what is withdrawn is taken back by
    the way that it went."""
    ct, out = small_ct(tmp_path / "ct"), tmp_path / "out"
    out.mkdir()
    with Orthanc(tmp_path / "pacs", dicomweb=True) as pacs:
        destinations = {
            "web": {"kind": "dicomweb", "url": f"{pacs.url}/dicom-web", "retry": RETRY, "rejection_notes": True},
            "drop": {
                "kind": "folder",
                "folder": str(out),
                "names": "{patient_id}/{modality}-{sop_instance_uid}.dcm",
                "rejection_notes": True,
            },
        }
        copies = {"name": "copies", "when": {"Modality": "CT"}, "mode": "clinical", "forward": {"to": "web"}}
        with Site(tmp_path / "node", destinations, [rule(send=["web", "drop"]), copies]) as site:
            send(ct, site)
            (job,) = site.wait_delivered(ct.study, objects=6)
            results = held(pacs, ct.study)
            assert results.counts() == {"sr": 1, "sc": 2}
            assert_is_what_the_node_made(site, job, results)
            assert_in_the_right_study(pacs, ct, results)
            made = {(site.data / each.file).read_bytes() for each in objects.of_job(site.ledger.database, job.id)}
            assert {path.read_bytes() for path in out.rglob("*.dcm")} == made
            status = site.command("status")
            assert "results are sent without an identity check" not in status.stdout
            version = str(site.ledger.database.execute("SELECT version FROM plugin_versions").fetchone()[0])
            withdrawn = site.command("plugin", "withdraw", "mean-hu", version, "--reason", "safety", "--json")
            assert withdrawn.returncode == 0, withdrawn.stderr
            until(lambda: len(list(out.rglob("KO-*.dcm"))) == 1, what="the rejection note in the folder")
            until(lambda: held(pacs, ct.study).counts().get("ko") == 1, what="the rejection note in the archive")
            (note,) = out.rglob("KO-*.dcm")
            assert dcmread(note).ConceptNameCodeSequence[0].CodeValue == "113037"
