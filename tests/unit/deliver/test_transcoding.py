"""Another transfer syntax without loss: decoded pixels and every value as before."""

from __future__ import annotations

from copy import deepcopy
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.utils import compress, iter_pixels
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from node.dicom.transcoding import fallbacks, transcode
from node.errors import PermanentError
from node.store.layout import DataFolder
from tests.support.images.receipts import arrive, ct, encoded

EXPLICIT, IMPLICIT = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)


def frames(dataset: Dataset, *values: np.ndarray) -> Dataset:
    """The image with these frames."""
    dataset = deepcopy(dataset)
    dataset.Rows, dataset.Columns = values[0].shape[:2]
    if len(values) > 1:
        dataset.NumberOfFrames = len(values)
    if values[0].ndim == 3:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    size = values[0].dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = size, size, size - 1
    dataset.PixelRepresentation = int(values[0].dtype.kind == "i")
    dataset.PixelData = b"".join(each.tobytes() for each in values) + b"\0" * (sum(v.nbytes for v in values) % 2)
    return dataset


def compressed(dataset: Dataset, syntax: str) -> Dataset:
    copy = deepcopy(dataset)
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    encoder = "pydicom" if syntax == RLELossless else ""  # gdcm's ends the process on colour
    compress(copy, syntax, encoding_plugin=encoder, generate_instance_uid=False)
    del copy.file_meta
    return copy


def transcoded(folder: Path, dataset: Dataset | bytes, own: str, to: str) -> tuple[Path, Path]:
    data_folder = DataFolder(folder)
    source = data_folder.arrived(arrive(data_folder, dataset, syntax=own))
    transcode(source, folder / "out.dcm", to)
    return source, folder / "out.dcm"


random = np.random.default_rng(7)
GREY = [random.integers(-1000, 3000, (33, 35), dtype="i2") for _ in range(3)]
ODD = [random.integers(0, 255, (33, 35), dtype="u1")]
COLOUR = [random.integers(0, 255, (32, 32, 3), dtype="u1") for _ in range(2)]


@pytest.mark.parametrize("to", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("own", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
@pytest.mark.parametrize("values", [GREY[:1], GREY, ODD, COLOUR], ids=["grey", "multi-frame", "odd", "colour"])
def test_compressed_without_loss_becomes_the_same_pixels(
    tmp_path: Path, own: str, to: str, values: list[np.ndarray]
) -> None:
    """Signed, multi-frame, of odd length and in colour: each frame is what the compressed one decodes to."""
    original = frames(ct(), *values)
    source, target = transcoded(tmp_path, compressed(original, own), own, to)
    for expected, before, after in zip_longest(values, iter_pixels(source), iter_pixels(target)):
        assert np.array_equal(before, expected)
        assert np.array_equal(after, expected)
    found = dcmread(target)
    assert found.file_meta.TransferSyntaxUID == to
    assert found["PixelData"].value == original.PixelData
    changed = {"PixelData", "PhotometricInterpretation", "PlanarConfiguration"}
    assert {e.keyword: e.value for e in found if e.keyword not in changed} == {
        e.keyword: e.value for e in original if e.keyword not in changed
    }


@pytest.mark.parametrize(
    ("own", "to"), [(EXPLICIT, IMPLICIT), (IMPLICIT, EXPLICIT), (DeflatedExplicitVRLittleEndian, EXPLICIT)]
)
def test_the_bytes_of_every_value_stay(tmp_path: Path, own: str, to: str) -> None:
    """Text that its character set cannot decode, private elements, ambiguous representations, sequences, what follows
    the pixels: all as it was."""
    dataset = frames(ct(SpecificCharacterSet="ISO_IR 6"), GREY[0])
    dataset.private_block(0x0009, "ACME", create=True).add_new(0x01, "UN", b"\x01\xff\x00\x02")
    dataset.SmallestImagePixelValue = -3
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "1", "Thing"
    dataset.ProcedureCodeSequence = [inner]
    dataset.add_new(0xFFFCFFFC, "OB", b"\0" * 10)
    plain = encoded(dataset, own)
    if own != DeflatedExplicitVRLittleEndian:
        plain = plain.replace(b"Gildong", b"G\xf8\xffdong")
    source, target = transcoded(tmp_path, plain, own, to)
    before, after = dcmread(source), dcmread(target)
    assert [e.tag for e in before.elements()] == [e.tag for e in after.elements()]
    for old, new in zip(before.elements(), after.elements(), strict=True):
        if old.VR != "SQ" and old.tag != 0x00081032:
            assert (old.value or b"") == (new.value or b""), old.tag
    assert after.ProcedureCodeSequence[0].CodeMeaning == "Thing"
    assert (after.SmallestImagePixelValue, after[0x00091001].value) == (-3, b"\x01\xff\x00\x02")


def test_what_cannot_be_brought_into_another_syntax() -> None:
    """Lossy compression, big endian, private SOP classes; what is plain can become the other plain one."""
    assert fallbacks(CTImageStorage, JPEGBaseline8Bit) == fallbacks(CTImageStorage, JPEGLSNearLossless) == ()
    assert fallbacks(CTImageStorage, ExplicitVRBigEndian) == ()
    assert fallbacks("1.3.12.2.1107.5.9.1", EXPLICIT) == ()
    assert fallbacks(SecondaryCaptureImageStorage, JPEGLSLossless) == (EXPLICIT, IMPLICIT)
    assert (fallbacks(CTImageStorage, EXPLICIT), fallbacks(CTImageStorage, IMPLICIT)) == ((IMPLICIT,), (EXPLICIT,))


def test_an_object_without_pixels(tmp_path: Path) -> None:
    """A report, say."""
    dataset = ct(PixelData=None)
    _, target = transcoded(tmp_path, dataset, EXPLICIT, IMPLICIT)
    assert {e.keyword: e.value for e in dcmread(target)} == {e.keyword: e.value for e in dataset}


@pytest.mark.parametrize("stated", [2, 5])
def test_frames_that_the_header_does_not_count_are_not_sent(tmp_path: Path, stated: int) -> None:
    """More or fewer than there are: somebody would miss one, or see one twice."""
    dataset = compressed(frames(ct(), *GREY), RLELossless)
    dataset.NumberOfFrames = stated
    with pytest.raises((PermanentError, RuntimeError, ValueError)):
        transcoded(tmp_path, dataset, RLELossless, EXPLICIT)
