"""Images that behave as packages of others do: MONAI Deploy, MHub, Grand Challenge. Each is a shell and some files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.support.programs.podman import PodmanStore

_MANIFEST = """
schema = 1
outputs = {outputs}
[identity]
name = "{name}"
version = "2.1"
manufacturer = "ACME Imaging"
intended_use = "Plays a package."
[runtime]
kind = "container"
exchange = "{exchange}"
image = "{image}"
deadline_seconds = 300
{more}
"""
_MONAI_TOOLS = """
[ $# = 0 ] || exit 64
command=$(sed -n 's/.*"command": "\\(.*\\)".*/\\1/p' $HOLOSCAN_APP_MANIFEST_PATH)
test -f $HOLOSCAN_PKG_MANIFEST_PATH
cd $HOLOSCAN_WORKDIR
exec sh -c "$command"
"""
"""The entry point that MONAI Deploy's packager makes: without arguments, the command of the manifest."""
_MONAI_APP = """
set -e
find $HOLOSCAN_INPUT_PATH -name '*.dcm' | grep -q .
cmp $HOLOSCAN_INPUT_PATH/*/00001.dcm $MONAI_INPUTPATH/*/00001.dcm
! touch $HOLOSCAN_INPUT_PATH/x 2>/dev/null
mkdir -p $HOLOSCAN_OUTPUT_PATH/saved_images
cp /opt/holoscan/app/*.dcm $HOLOSCAN_OUTPUT_PATH
echo voxels >$HOLOSCAN_OUTPUT_PATH/saved_images/seg.nii
echo ran >$HOLOSCAN_LOGS_PATH/app.log
"""
_APP_JSON = {
    "apiVersion": "1.0.0",
    "command": "/bin/sh /opt/holoscan/app/run",
    "environment": {},
    "input": {"path": "input/", "formats": ["file"]},
    "output": {"path": "output/", "format": "file"},
    "sdk": "monai-deploy-app-sdk",
    "version": "2.1.0",
    "workingDirectory": "/var/holoscan/",
}
_MHUB_RUN = """
set -e
[ "$1 $2" = "--workflow default" ]
mkdir -p /app/data/sorted_data/1/dicom /app/data/_global /app/tmp/4711
find /app/data/input_data -name '*.dcm' -exec cp {} /app/data/sorted_data/1/dicom ';'
ls /app/data/sorted_data/1/dicom/*.dcm >/app/tmp/4711/list
! touch /app/data/input_data/x 2>/dev/null
mkdir -p /app/data/output_data/1.2.3
cp /app/models/bright/*.dcm /app/data/output_data/1.2.3
echo '{}' >/app/data/output_data/1.2.3/report.json
"""
_ALGORITHM = """
set -e
grep -q '"slug": "ct-image"' /input/inputs.json
grep -q '"relative_path": "images/ct"' /input/inputs.json
[ "$(cat /input/level.json)" = 5 ]
image=$(ls /input/images/ct/*.mha)
! touch /input/images/ct/x 2>/dev/null
set -- $(head -n 12 $image | sed -n 's/^DimSize = //p')
mkdir -p /output/images/bright-mask
{ head -n 12 $image | sed 's/MET_SHORT/MET_UCHAR/'; yes x | tr 'x\\n' '\\001\\001' | head -c $(($1 * $2 * $3)); } \\
    >/output/images/bright-mask/8a0c7f1e.mha
echo 0.83 >/output/bright-likelihood.json
"""
"""Marks every voxel."""
_GRAND_CHALLENGE = """
[[nifti.inputs]]
file = "images/ct/image.mha"
socket = "ct-image"
modality = "CT"
[nifti.labels]
file = "images/bright-mask/output.mha"
[[nifti.segments]]
label = 1
name = "Bright region"
type = {value = "BRIGHT", scheme = "99ACME", meaning = "Bright region"}
finding = {value = "BRIGHT", scheme = "99ACME", meaning = "Bright region"}
[[nifti.numbers]]
file = "bright-likelihood.json"
column = ""
concept = {value = "111012", scheme = "DCM", meaning = "Certainty of Finding"}
unit = "1"
finding = {value = "BRIGHT", scheme = "99ACME", meaning = "Bright region"}
score = true
[parameters.level]
default = 5
description = "What the algorithm reads as level.json."
"""


def _objects(folder: str, objects: tuple[Any, ...]) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    for number, each in enumerate(objects, start=1):
        written = BytesIO()
        each.save_as(written, enforce_file_format=True)
        files[f"{folder}/{number}.dcm"] = written.getvalue()
    return files


def _plugin(folder: Path, exchange: str, image: str, outputs: list[str], more: str = "") -> Mapping[str, object]:
    folder.mkdir(parents=True)
    text = _MANIFEST.format(exchange=exchange, name=exchange, image=image, outputs=json.dumps(outputs), more=more)
    (folder / "plugin.toml").write_text(text, encoding="utf-8")
    return {"folder": str(folder)}


def monai_package(folder: Path, podman: PodmanStore, *objects: Any) -> Mapping[str, object]:
    """A MONAI application package that returns these objects; what a site writes of it."""
    files: dict[str, str | bytes] = {
        "var/holoscan/tools": _MONAI_TOOLS,
        "etc/holoscan/app.json": json.dumps(_APP_JSON, indent=1),
        "etc/holoscan/pkg.json": json.dumps({"apiVersion": "1.0.0", "applicationRoot": "/opt/holoscan/app"}),
        "opt/holoscan/app/run": _MONAI_APP,
    }
    files |= _objects("opt/holoscan/app", objects)
    image = podman.image("monai-package", files, ['ENTRYPOINT ["/bin/sh", "/var/holoscan/tools"]'])
    return _plugin(folder, "monai", image, ["dicom"])


def mhub_model(folder: Path, podman: PodmanStore, *objects: Any) -> Mapping[str, object]:
    """A model of MHub that returns these objects; what a site writes of it."""
    changes = ['ENTRYPOINT ["/bin/sh", "/app/run"]', 'CMD ["--workflow", "default"]']
    image = podman.image("mhub-model", {"app/run": _MHUB_RUN} | _objects("app/models/bright", objects), changes)
    return _plugin(folder, "mhub", image, ["dicom"])


def grand_challenge_algorithm(folder: Path, podman: PodmanStore) -> Mapping[str, object]:
    """An algorithm of Grand Challenge that marks every voxel; what a site writes of it."""
    image = podman.image("algorithm", {"opt/app/run": _ALGORITHM}, ['ENTRYPOINT ["/bin/sh", "/opt/app/run"]'])
    return _plugin(folder, "grand-challenge", image, ["findings", "segmentation"], _GRAND_CHALLENGE)
