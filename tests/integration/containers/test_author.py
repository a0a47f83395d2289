"""`plugin run` and `plugin check` on a container that returns DICOM, as its author uses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread

from node.kit import checking, chosen, running, sample_images
from node.kit.examples import EXPECTED, FOLDER
from node.kit.receiving import GivenImages
from tests.support.programs.podman import PodmanStore
from tests.support.results import by_highdicom
from tests.support.sites.mercure_site import mercure_plugin


def test_a_module_of_mercure_is_run_and_checked(podman: PodmanStore, tmp_path: Path) -> None:
    """Its objects are written as they would be sent; the same answer twice is found to be the same."""
    folder = tmp_path / "module"
    images = tmp_path / "images"
    sample_images.write_ct(images)
    files = sorted(images.iterdir())
    source = dcmread(files[0])
    mercure_plugin(folder, podman, by_highdicom.segmented([source], np.ones((1, source.Rows, source.Columns), bool)))
    choice = chosen.choose(str(folder), None)
    answer = running.run(choice, GivenImages(tuple(files), {}, None), {}, tmp_path / "out")
    assert answer.worked, answer
    assert [dcmread(path).Modality for path in sorted((tmp_path / "out").glob("dicom-*.dcm"))] == ["SEG"]
    example = folder / FOLDER / "known"
    example.mkdir(parents=True)
    images.rename(example / "images")
    (example / EXPECTED).write_text('status = "findings"\n')
    found = {each.what: each for each in checking.check(choice)}
    assert found["start"].passed
    assert found["example known"].passed, found["example known"]
    assert found["determinism"].passed, found["determinism"]
    assert found["encoding"].passed, found["encoding"]
    assert "pixels" in found["returned DICOM"].detail.lower()
    assert podman.left() == []
