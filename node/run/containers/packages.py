"""MONAI application packages and models of MHub: DICOM files in, DICOM files out, in any folders below.

A package of MONAI Deploy finds its folders in HOLOSCAN_INPUT_PATH and HOLOSCAN_OUTPUT_PATH, or MONAI_INPUTPATH and
MONAI_OUTPUTPATH before version 1.0 of its specification (monai-application-package.md of Project-MONAI/monai-deploy).
A model of MHub has fixed ones (run_mhub.md of MHubAI/documentation), and keeps what it makes on the way beside them
(`mhubio.run`): there, it may write. What they leave besides `*.dcm`, such as NIfTI files and tables, is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from node.run.containers import left_files
from node.run.containers.left_files import TakenFiles

MONAI_FOLDERS = ("/var/holoscan", "/var/monai")
"""Working folders of packages by the specification, and by that before version 1.0."""
MONAI_VARIABLES: Mapping[str, str] = {
    "HOLOSCAN_INPUT_PATH": "/var/holoscan/input",
    "HOLOSCAN_OUTPUT_PATH": "/var/holoscan/output",
    "HOLOSCAN_WORKDIR": "/var/holoscan",
    "HOLOSCAN_MODEL_PATH": "/opt/holoscan/models",
    "HOLOSCAN_CONFIG_PATH": "/var/holoscan/app.yaml",
    "HOLOSCAN_APP_MANIFEST_PATH": "/etc/holoscan/app.json",
    "HOLOSCAN_PKG_MANIFEST_PATH": "/etc/holoscan/pkg.json",
    "HOLOSCAN_DOCS_PATH": "/opt/holoscan/docs",
    "HOLOSCAN_LOGS_PATH": "/var/holoscan/logs",
    "MONAI_INPUTPATH": "/var/monai/input",
    "MONAI_OUTPUTPATH": "/var/monai/output",
    "MONAI_WORKDIR": "/var/monai",
    "MONAI_MODELPATH": "/opt/monai/models",
}
LOGS = "scratch/holoscan-logs"
MHUB_DATA, MHUB_SCRATCH = "scratch/mhub-data", "scratch/mhub-tmp"
"""In the attempt's folder: what lies in /app/data and /app/tmp of a model of MHub."""


def prepare_monai(folder: Path) -> None:
    """See `node.run.containers.dialects.Dialect`."""
    left_files.make_room(folder)
    (folder / LOGS).mkdir(mode=0o700)


def prepare_mhub(folder: Path) -> None:
    """See `node.run.containers.dialects.Dialect`."""
    left_files.make_room(folder)
    for name in (MHUB_DATA, MHUB_SCRATCH):
        (folder / name).mkdir(mode=0o700)


def collect(folder: Path) -> str:
    """Make a result of the DICOM files that it left; what there is to say, or OSError.

    Where it left none there is no result: neither has words for images that are not what it is for.
    """
    taken = TakenFiles(folder)
    taken.take(from_folders=True)
    others = f"{taken.others} other files that it left are not DICOM files (*.dcm), and are not used"
    if not taken.names:
        return "it left no DICOM files (*.dcm)" + (f"; {others}" if taken.others else "")
    taken.write_result("findings", taken.said("package"))
    return others if taken.others else ""
