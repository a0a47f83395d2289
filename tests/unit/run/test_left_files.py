"""What packages of others leave in a container's folder, made a result: names, links and depths are a stranger's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from node.run import nested
from node.run.containers import grand_challenge, packages
from node.run.containers.left_files import LEFT


@pytest.fixture
def left(tmp_path: Path) -> Path:
    (tmp_path / LEFT).mkdir(parents=True)
    return tmp_path / LEFT


def objects(folder: Path) -> list[str]:
    document = json.loads((folder / "out" / "result.json").read_text())
    return [(folder / "out" / each["file"]).read_text() for each in document["objects"]]


def test_files_are_taken_in_the_order_of_their_folders_and_names(tmp_path: Path, left: Path) -> None:
    """So a second attempt that leaves the same has the same objects in the same order."""
    for name in ("b.dcm", "2/d.dcm", "1/c.dcm", "a.dcm", "1/x/e.dcm"):
        (left / name).parent.mkdir(parents=True, exist_ok=True)
        (left / name).write_text(name)
    assert packages.collect(tmp_path) == ""
    assert objects(tmp_path) == ["a.dcm", "b.dcm", "1/c.dcm", "1/x/e.dcm", "2/d.dcm"]


def test_folders_deeper_than_any_path_are_gone_through(tmp_path: Path, left: Path) -> None:
    """Python recurses less deep, and no path reaches as far."""
    here = os.open(left, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=here)
        there = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(os.open("x.dcm", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        assert packages.collect(tmp_path) == ""
        assert objects(tmp_path) == [""]
    finally:
        nested.remove(left)  # others recurse


def test_a_package_that_leaves_no_dicom_has_no_result(tmp_path: Path, left: Path) -> None:
    """It is never taken for one that found nothing; links and hard links are no files of its own."""
    (left / "seg.nii").touch()
    (left / "link.dcm").symlink_to("/etc/passwd")
    os.link(left / "seg.nii", left / "hard.dcm")
    assert packages.collect(tmp_path) == (
        "it left no DICOM files (*.dcm); 3 other files that it left are not DICOM files (*.dcm), and are not used"
    )
    assert not (tmp_path / "out" / "result.json").exists()


def test_the_one_image_of_a_folder_gets_the_name_that_the_manifest_has(tmp_path: Path) -> None:
    """Two are none: which one is meant, nobody knows. What is no folder is left alone."""
    images = tmp_path / "out" / "images"
    for name in ("mask/8a0c.mha", "mask/notes.txt", "two/1.mha", "two/2.mha", "none/x.tif"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).touch()
    (images / "link").symlink_to(tmp_path)
    assert grand_challenge.collect(tmp_path) == "a folder of /output/images has 2 images (*.mha), expected one"
    found = sorted(str(path.relative_to(images)) for path in images.rglob("*.mha"))
    assert found == ["mask/output.mha", "two/1.mha", "two/2.mha"]


@pytest.mark.parametrize("is_link", [False, True])
def test_an_algorithm_without_images_is_left_to_its_mapping(tmp_path: Path, is_link: bool) -> None:
    """A link in the place of the folder is not followed."""
    (tmp_path / "out").mkdir()
    if is_link:
        (tmp_path / "out" / "images").symlink_to("/")
    assert grand_challenge.collect(tmp_path) == ""
