"""A container as its author makes and tries it: `plugin new`, its build, `plugin run` and `plugin check`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from pydicom import dcmread

from node.kit import checking, chosen, running, sample_images, writing
from node.kit.examples import EXPECTED, FOLDER
from node.kit.receiving import GivenImages
from plugins.runtime import RuntimeKind
from tests.support.programs.podman import PodmanStore
from tests.support.results import by_highdicom
from tests.support.sites.mercure_site import mercure_plugin


def test_a_new_container_is_built_without_a_network_and_says_what_is_known(podman: PodmanStore, tmp_path: Path) -> None:
    """Of the Python that is here; `build` pins what it built, and the plugin measures its example."""
    folder = tmp_path / "boxed"
    writing.write(folder, RuntimeKind.CONTAINER, writing.PluginPurpose.VOLUME)
    built = subprocess.run([folder / writing.BUILD], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    files = tuple(sorted((folder / writing.EXAMPLE_IMAGES).iterdir()))
    answer = running.run(chosen.choose(str(folder), None), GivenImages(files, {}, None), {}, tmp_path / "out")
    assert answer.worked, answer
    assert "32.4 mL" in (tmp_path / "out" / "report.txt").read_text()
    assert podman.left() == []


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
