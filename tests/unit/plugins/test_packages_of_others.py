"""Manifests of MONAI application packages, models of MHub and algorithms of Grand Challenge."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins import manifest
from plugins.manifest_table import ManifestError

IMAGE = f"sha256:{'a' * 64}"
HEAD = """
schema = 1
outputs = ["{output}"]
[identity]
name = "x"
version = "1"
manufacturer = "ACME"
intended_use = "Plays a package."
[runtime]
kind = "{kind}"
exchange = "{exchange}"
{more}
"""
ALGORITHM = """
[[nifti.inputs]]
file = "images/ct/image.mha"
socket = "ct-image"
[nifti.labels]
file = "images/mask/output.mha"
[[nifti.segments]]
label = 1
name = "Mask"
type = {value = "1", scheme = "99TEST", meaning = "Thing"}
[parameters.patient-age]
default = 50
description = "A socket with a value."
"""


def load(folder: Path, exchange: str, rest: str = "", *, kind: str = "container") -> manifest.Manifest:
    output = "findings" if exchange == "grand-challenge" else "dicom"
    more = f'image = "{IMAGE}"' if kind == "container" else 'command = ["x"]'
    text = HEAD.format(kind=kind, exchange=exchange, more=more, output=output) + rest
    (folder / "plugin.toml").write_text(text, encoding="utf-8")
    return manifest.load(folder)


def test_an_algorithm_has_its_files_where_its_sockets_are(tmp_path: Path) -> None:
    loaded = load(tmp_path, "grand-challenge", ALGORITHM)
    assert loaded.nifti is not None
    assert loaded.nifti.output_files() == {"images/mask/output.mha"}
    assert loaded.parameters_for({}) == {"patient-age": 50}


@pytest.mark.parametrize("exchange", ["monai", "mhub"])
def test_a_package_needs_no_more_than_its_image(tmp_path: Path, exchange: str) -> None:
    assert load(tmp_path, exchange).nifti is None


@pytest.mark.parametrize("exchange", ["monai", "mhub", "mercure", "grand-challenge"])
def test_only_a_container_has_such_folders(tmp_path: Path, exchange: str) -> None:
    rest = ALGORITHM if exchange == "grand-challenge" else ""
    with pytest.raises(ManifestError, match=f'runtime.exchange: "{exchange}" is for kind = "container"'):
        load(tmp_path, exchange, rest, kind="command")


@pytest.mark.parametrize("exchange", ["monai", "mhub"])
def test_parameters_that_nobody_reads_are_refused(tmp_path: Path, exchange: str) -> None:
    with pytest.raises(ManifestError, match=r"parameters: a package with exchange = .* reads none"):
        load(tmp_path, exchange, '[parameters.x]\ndefault = 1\ndescription = "A number."\n')


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("images/ct/image.mha", "ct.nii.gz", "'ct.nii.gz' is not the place of an input"),
        ("images/ct/image.mha", "images/ct.mha", "'images/ct.mha' is not the place of an input"),
        ('"ct-image"', '"CT image"', "'CT image' is not a slug"),
        ("mask/output.mha", "mask/x.mha", "nifti.labels: 'images/mask/x.mha' is not the place of an output"),
        ("patient-age", "inputs", "parameters: 'inputs' is not the slug of a socket"),
        ("patient-age", '"../x"', "parameters: '../x' is not the slug of a socket"),
    ],
)
def test_what_is_no_interface_is_refused_with_its_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        load(tmp_path, "grand-challenge", ALGORITHM.replace(old, new))
