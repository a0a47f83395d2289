"""Validators of other makers: what they find wrong with an object that we wrote."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.support.programs.peers import PIXELMED_JAR, dcmtk, program, require_peer

_REPORT_VALIDATOR = Path(__file__).with_name("ValidateReports.java")
_NEXT_FILE = "=== "  # how ValidateReports.java begins each file's part


@contextmanager
def inflated(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """The files as dicom3tools can read them: it reads no deflated data set, and dcmtk inflates these for it."""
    with TemporaryDirectory() as folder:
        readable = []
        for path in paths:
            if read_file_meta_info(path).TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
                copy = Path(folder) / path.name
                subprocess.run([dcmtk("dcmconv"), "+te", str(path), str(copy)], check=True, timeout=120)
                path = copy  # noqa: PLW2901 - the same object
            readable.append(path)
        yield readable


def dciodvfy(path: Path) -> list[str]:
    """Return the errors (not the warnings) that dicom3tools' dciodvfy finds in one DICOM file."""
    with inflated([path]) as (readable,):
        done = subprocess.run(
            [program("dicom3tools", "dciodvfy"), "-new", str(readable)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )
    lines = (done.stdout + done.stderr).splitlines()
    errors = [line for line in lines if line.startswith("Error")]
    if done.returncode != 0 and not errors:
        errors = [f"dciodvfy ended with {done.returncode}: {' | '.join(lines[-5:])}"]
    return errors


def dcentvfy(files: Sequence[Path]) -> list[str]:
    """What dicom3tools' dcentvfy finds to differ between objects of one patient, study or series."""
    if not files:
        return []
    with inflated(files) as readable:
        done = subprocess.run(
            [program("dicom3tools", "dcentvfy"), *map(str, readable)], capture_output=True, text=True, errors="replace"
        )
    lines = (done.stdout + done.stderr).splitlines()
    return sorted({line for line in lines if line.startswith("Error")})


def dicom_sr_validator(paths: Iterable[Path]) -> dict[Path, list[str]]:
    """Return for each SR the errors that PixelMed's DicomSRValidator finds in its content tree.

    All files go through one Java process (about 3 s a file): give it many at once. A file for which no root template
    was validated has an error that says so, because the validator itself is then silent.
    """
    require_peer("pixelmed")
    files = list(paths)
    done = subprocess.run(
        [
            program("pixelmed", "java"),
            "-Xmx2g",  # a report on a few hundred images takes more than one
            "-XX:TieredStopAtLevel=1",  # a third less time than with the optimising compiler, which never pays off here
            "-XX:+UseSerialGC",
            # its style sheet is larger than current Java lets an XPath be
            *(f"-Djdk.xml.xpath{limit}=0" for limit in ("ExprGrpLimit", "ExprOpLimit", "TotalOpLimit")),
            "-Dfile.encoding=UTF-8",
            "-cp",
            str(PIXELMED_JAR),
            str(_REPORT_VALIDATOR),
            *(str(path) for path in files),
        ],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120 + 60 * len(files),
        check=False,
    )
    parts = _split(done.stdout)
    return {path: _report_errors(parts.get(str(path)), done) for path in files}


def _split(output: str) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in output.splitlines():
        if line.startswith(_NEXT_FILE):
            current = parts.setdefault(line.removeprefix(_NEXT_FILE), [])
        else:
            current.append(line)
    return parts


def _report_errors(lines: list[str] | None, done: subprocess.CompletedProcess[str]) -> list[str]:
    if lines is None:
        return [f"the validator did not come to this file (exit {done.returncode}): {done.stderr[-1000:]}"]
    errors = [line for line in lines if line.startswith("Error")]
    if "Root Template Validation Complete" not in lines:
        errors.append(f"no root template was validated: {' | '.join(lines[-3:])}")
    return errors
