"""Compressed pixels within an item (PS3.5 A.4), such as those of an icon: objects that are written again keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGBaseline8Bit, generate_uid

from node.dicom.confidentiality.mapped_back import WayBack
from node.dicom.elements import parse
from node.dicom.object_file import read_mapped

SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
ICON = b"\xff\xd8" + bytes(range(200)) + b"\xff\xd9"
IMAGE = b"\xff\xd8" + bytes(range(99, 151)) + b"\xff\xd9"


def pixels(codestream: bytes, *, fragments: int = 1) -> Dataset:
    made = Dataset()
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows = made.Columns = 64
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    made.PixelData = encapsulate([codestream], fragments_per_frame=fragments, has_bot=fragments == 1)
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    return made


def written(folder: Path, *, fragments: int, open_ended: bool, deeper: bool) -> Path:
    """An object with a compressed icon, an element after it, and compressed pixels of its own."""
    made: Any = pixels(IMAGE)
    made.SOPClassUID, made.SOPInstanceUID = SECONDARY, "1.2.3"
    made.PatientName = "Hong^Gildong"
    icon = pixels(ICON, fragments=fragments)
    made.IconImageSequence = [icon]
    if deeper:
        within = Dataset()
        within.IconImageSequence = [icon]
        del made.IconImageSequence
        made.ReferencedImageSequence = [within]
        made["ReferencedImageSequence"].is_undefined_length = open_ended
    else:
        made["IconImageSequence"].is_undefined_length = open_ended
    icon.is_undefined_length_sequence_item = open_ended
    made.InstitutionName = "behind or before it"
    made.StorageMediaFileSetID = "AFTER"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    made.save_as(folder / "x.dcm", enforce_file_format=True)
    return folder / "x.dcm"


@pytest.mark.parametrize("deeper", [False, True])
@pytest.mark.parametrize("open_ended", [False, True])
@pytest.mark.parametrize("fragments", [1, 3])
def test_an_object_that_is_written_again_keeps_its_icon(
    tmp_path: Path, fragments: int, open_ended: bool, deeper: bool
) -> None:
    """With its fragments as they were; all else too, before and behind it."""
    before = written(tmp_path, fragments=fragments, open_ended=open_ended, deeper=deeper)
    true = generate_uid()
    with before.open("rb") as file:
        found = read_mapped(file)
        elements = WayBack({"1.2.3": true}).elements(found.contents.elements)
        (tmp_path / "again.dcm").write_bytes(b"".join(found.with_elements(elements)))
    old, new = dcmread(before), dcmread(tmp_path / "again.dcm")
    assert new.SOPInstanceUID == true
    new.SOPInstanceUID = old.SOPInstanceUID
    assert new == old
    icon = (new.ReferencedImageSequence[0] if deeper else new).IconImageSequence[0]
    assert list(generate_frames(icon.PixelData, number_of_frames=1)) == [ICON]
    assert list(generate_frames(new.PixelData, number_of_frames=1)) == [IMAGE]


def test_an_icon_that_does_not_end_is_a_defect(tmp_path: Path) -> None:
    """What follows cannot be told from it, so nothing of it is taken for sound."""
    content = written(tmp_path, fragments=1, open_ended=True, deeper=False).read_bytes()
    data = content[content.index(b"\x08\x00\x16\x00UI") :]
    cut = memoryview(data[: data.index(ICON) + 20])
    assert "encapsulated data does not end" in parse(cut, implicit=False, little=True).defects
