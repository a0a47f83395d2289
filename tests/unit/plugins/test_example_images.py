"""The images of the examples that come with the plugins are those that `plugins.phantoms.example_images` makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from plugins import manifest
from plugins.phantoms.example_images import IMAGES

PLUGINS = Path(manifest.__file__).parent


@pytest.mark.parametrize("name", IMAGES)
def test_the_images_of_an_example_are_made_again_byte_for_byte(name: str, tmp_path: Path) -> None:
    """Every element of every file, pixel data included; only the file meta information may name another pydicom."""
    IMAGES[name](tmp_path)
    kept = sorted((PLUGINS / name).iterdir())
    assert [path.name for path in sorted(tmp_path.iterdir())] == [path.name for path in kept]
    assert [path.name for path in kept if dcmread(tmp_path / path.name) != dcmread(path)] == []
    assert {dcmread(tmp_path / path.name).file_meta.TransferSyntaxUID for path in kept} == {
        dcmread(path).file_meta.TransferSyntaxUID for path in kept
    }


def test_no_example_has_images_of_unknown_origin() -> None:
    """Each folder of images below the plugins that come with the node has its entry."""
    found = {str(path.parent.relative_to(PLUGINS)) for path in PLUGINS.glob("**/examples/*/*/*.dcm")}
    assert found == set(IMAGES)
