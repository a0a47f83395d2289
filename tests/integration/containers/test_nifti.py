"""A container that knows NIfTI alone: it gets a file in its own folders, and its label map comes back on the images."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from node.config.models import PluginUse
from node.ledger.job import Job, JobOutcome
from node.run.stage import RunStage
from tests.integration.run.test_nifti_programs import ROWS, kept_labels, receive
from tests.support.sites.container_site import ContainerSite
from tests.support.sites.nifti_site import FILE, MANIFEST

SCRIPT = """
set -e
[ "$(ls {in})" = "image.nii
pacsnode.json" ]
! touch {in}/x 2>/dev/null
voxels=$(( $(wc -c <{in}/image.nii) - 352 ))
{ head -c 352 {in}/image.nii; yes "$(printf '\\001')" | tr '\\012' '\\000' | head -c $voxels; } >{out}/seg.nii
"""
"""The header of what came, and 1 in each voxel."""


def test_a_label_map_of_a_container_lies_on_the_images(
    site: ContainerSite, start: Callable[..., RunStage], settle: Callable[..., Job]
) -> None:
    """Files, placeholders and mapping are those of any program with NIfTI; nothing of the container is left."""
    folder = site.folder / "plugins" / "labels"
    folder.mkdir(parents=True)
    inputs = FILE.replace("image.nii.gz", "image.nii")
    text = MANIFEST.format(name="labels", command=json.dumps(["-c", SCRIPT]), inputs=inputs)
    text = text.replace('"command"', f'"container"\nimage = "{site.podman.shell}"').replace("seg.nii.gz", "seg.nii")
    (folder / "plugin.toml").write_text(text)
    site.uses["labels"] = PluginUse(folder=folder, attempts=1)
    receipts = receive(site)
    site.complete()
    job = settle(start(), site.job("labels", receipts))
    assert job.outcome is JobOutcome.FINDINGS, (job.error, site.log(job))
    labels = kept_labels(site, job)
    assert labels.shape == (4, ROWS, ROWS)
    assert np.all(labels == 1)
    assert site.podman.left() == []
