"""Packages of others under podman, as their specifications say: what they find, and what becomes of what is left."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from node.config.models import PluginUse
from node.ledger.job import Job, JobOutcome
from node.run.executor import ExitKind
from node.run.stage import RunStage
from tests.integration.run.test_nifti_programs import ROWS, kept_labels, receive
from tests.support.sites.container_room import ContainerRoom
from tests.support.sites.container_site import ContainerSite
from tests.support.sites.package_site import grand_challenge_algorithm

MONAI = "cd $HOLOSCAN_OUTPUT_PATH"
MHUB = "cd /app/data/output_data"


@pytest.mark.parametrize(("exchange", "begin"), [("monai", MONAI), ("mhub", MHUB)])
def test_dicom_files_in_any_folder_are_taken(room: ContainerRoom, exchange: str, begin: str) -> None:
    """All else is said in the log: what is no DICOM by its name, and links, which are never followed."""
    script = f"""
    set -e
    {begin}
    mkdir -p 1.2/seg 1.3
    touch b.dcm 1.2/seg/a.dcm 1.3/c.dcm 1.3/notes.json
    ln -s /etc/passwd 1.3/link.dcm
    ln -s / 1.3/root
    mkfifo pipe.dcm
    """
    done = room.shell(script, exchange=exchange)
    assert (done.ended.ending, done.ended.code) == (ExitKind.EXITED, 0), done
    result = json.loads((done.out / "result.json").read_text())
    assert (result["status"], result["summary"]) == ("findings", "The package returned 3 DICOM objects.")
    assert all((done.out / each["file"]).is_file() for each in result["objects"])
    assert "4 other files that it left are not DICOM files" in done.log


def test_an_algorithm_of_grand_challenge_reads_and_writes_metaimage(
    site: ContainerSite, start: Callable[..., RunStage], settle: Callable[..., Job]
) -> None:
    """Image and parameter are sockets; mask and likelihood come back by the mapping, whatever the file is called."""
    folder = site.folder / "plugins" / "algorithm"
    grand_challenge_algorithm(folder, site.podman)
    site.uses["algorithm"] = PluginUse(folder=folder, attempts=1)
    receipts = receive(site)
    site.complete()
    job = settle(start(), site.job("algorithm", receipts))
    assert job.outcome is JobOutcome.FINDINGS, (job.error, site.log(job))
    labels = kept_labels(site, job)
    assert labels.shape == (4, ROWS, ROWS)
    assert np.all(labels == 1)
    (finding,) = site.kept(job)["findings"]
    assert (finding["present"], finding["score"]["value"]) == (True, 0.83)
    assert site.podman.left() == []
