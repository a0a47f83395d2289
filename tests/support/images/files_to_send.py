"""Files that other makers' programs are given to send, and what of them has to arrive."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.misc import is_dicom
from pydicom.uid import UID

from tests.support.shared_data import shared_data


def content_of(path: Path) -> bytes:
    """The data set of a Part 10 file, byte for byte."""
    content = path.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]


def plain(folder: Path, count: int = 1, series: int = 1, pixels: int = 100_000) -> list[Path]:
    """Objects in Explicit VR Little Endian, with group lengths nowhere and UIDs of their own."""
    paths = []
    for number in range(count):
        dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
        del dataset[0xFFFCFFFC]
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.88.{series}.{number}")
        dataset.Rows, dataset.Columns = 100, pixels // 200
        dataset.PixelData = bytes(range(256)) * (pixels // 256) + bytes(pixels % 256)
        path = folder / f"{series}-{number}.dcm"
        dataset.save_as(path)
        paths.append(path)
    return paths


def manifest(root: Path) -> list[dict[str, str]]:
    """What is known of each of the real files."""
    with (root / "MANIFEST.csv").open() as table:
        return list(csv.DictReader(table))


def has_uids(path: Path) -> bool:
    """Whether all are there, and its data set has those that its file meta information announces."""
    content = dcmread(path, force=True, stop_before_pixels=True)
    meta = content.file_meta
    return all(
        content.get(each) for each in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    ) and (
        (content.SOPClassUID, content.SOPInstanceUID) == (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID)
    )


def small_real_file(transfer_syntax: str) -> Path:
    """A real file in this syntax that is sound: dcmtk does not send compressed pixels without their encapsulation."""
    root = shared_data()
    rows = [row for row in manifest(root) if row["storable"] == "yes" and row["transfer_syntax"] == transfer_syntax]
    for row in sorted(rows, key=lambda each: int(each["bytes"])):
        path = root / row["path"]
        if not is_dicom(path) or not has_uids(path):
            continue
        content = dcmread(path)
        if "PixelData" in content and content["PixelData"].is_undefined_length == UID(transfer_syntax).is_encapsulated:
            return path
    pytest.skip(f"no sound real file in transfer syntax {transfer_syntax}")
