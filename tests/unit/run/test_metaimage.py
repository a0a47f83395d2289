"""MetaImage files: what the node writes is what ITK reads, and what ITK writes comes back on the images."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from node.run.nifti import images
from node.run.nifti.images import SeriesToWrite
from plugins import imaging
from plugins.images import ImageReference
from plugins.untrusted import ExchangeError
from plugins.volume import Volume
from tests.support.sites.nifti_room import NiftiRoom, folders, grid, number, segment

SHAPE = (6, 20, 30)
NAME = "images/mask/output.mha"
SAID = folders(segment(), label_map=NAME)


@pytest.fixture
def room(tmp_path: Path) -> NiftiRoom:
    made = NiftiRoom(tmp_path, grid(SHAPE, turned=0.3))
    (made.out / NAME).parent.mkdir(parents=True)
    return made


def block() -> np.ndarray:
    made: np.ndarray = np.zeros(SHAPE, np.uint8)
    made[2:4, 5:9, 10:20] = 1
    return made


def by_itk(room: NiftiRoom, array: np.ndarray, *, packed: bool = True) -> Path:
    """A file on the grid of the images, written by ITK."""
    affine, spacing = room.grid.matrix, room.grid.spacing[::-1]
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    SimpleITK.WriteImage(image, str(room.out / NAME), useCompression=packed)
    return room.out / NAME


@pytest.mark.parametrize("values", [np.arange(3600), np.linspace(0, 1, 3600)], ids=["int16", "float32"])
def test_itk_reads_an_oblique_volume_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: np.ndarray
) -> None:
    """The same voxels at the same places in the patient, to a thousandth of a millimetre."""
    of = grid(SHAPE, turned=0.3)
    array = values.reshape(SHAPE).astype(np.float32)
    frames = tuple(ImageReference(f"1.2.{each}") for each in range(SHAPE[0]))
    volume = Volume(array, of.spacing, of.matrix, frames)
    monkeypatch.setattr(imaging, "volume", lambda _: volume)
    written = images.write(SeriesToWrite((), tmp_path / "images" / "ct" / "image.mha", "CT", 1, ()))
    read = SimpleITK.ReadImage(str(tmp_path / "images" / "ct" / "image.mha"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(read), array)
    for index in ((0, 0, 0), (29, 0, 0), (0, 19, 0), (0, 0, 5), (29, 19, 5)):
        place = of.matrix @ (*index, 1)
        assert np.allclose(read.TransformIndexToPhysicalPoint(index), place[:3], atol=1e-3)
    assert (written.affine, written.shape) == (of.affine, SHAPE)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_a_mask_by_itk_lies_on_the_images(room: NiftiRoom, packed: bool, dtype: type) -> None:
    """Voxel by voxel, compressed or not, on an oblique grid with unequal spacings; nothing is interpolated."""
    by_itk(room, block().astype(dtype), packed=packed)
    result = room.read(SAID).result
    assert result.segmentation is not None
    assert np.array_equal(result.segmentation.labels, block())
    assert not result.quality


def test_a_mask_with_its_slices_the_other_way_round_comes_back(room: NiftiRoom) -> None:
    """By what it says of its axes, not by their order."""
    path = by_itk(room, block())
    turned = SimpleITK.Flip(SimpleITK.ReadImage(str(path)), [True, False, True])
    SimpleITK.WriteImage(turned, str(path), useCompression=True)
    result = room.read(SAID).result
    assert result.segmentation is not None
    assert np.array_equal(result.segmentation.labels, block())


def test_a_json_document_may_be_one_number(room: NiftiRoom) -> None:
    """As outputs of Grand Challenge are: the column is empty."""
    (room.out / "attenuation.json").write_text("31.5")
    result = room.read(folders(numbers=(number("", "attenuation.json"),))).result
    assert [each.value for finding in result.findings for each in finding.measurements] == [31.5]


def _header(room: NiftiRoom, old: str, new: str) -> None:
    content = by_itk(room, block(), packed=False).read_bytes()
    assert old.encode() in content
    (room.out / NAME).write_bytes(content.replace(old.encode(), new.encode(), 1))


def _bytes(change: Callable[[bytes], bytes], *, packed: bool) -> Callable[[NiftiRoom], None]:
    def make(room: NiftiRoom) -> None:
        path = by_itk(room, block(), packed=packed)
        path.write_bytes(change(path.read_bytes()))

    return make


def _bomb(content: bytes) -> bytes:
    """The header of the images, and 100 MB of zeros in 100 kB behind it."""
    head, line, _ = content.partition(b"ElementDataFile = LOCAL\n")
    return head + line + zlib.compress(bytes(100_000_000), 9)


def _line(old: str, new: str) -> Callable[[NiftiRoom], None]:
    return lambda room: _header(room, old, new)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_bytes(lambda content: content[:-1], packed=False), "ends in plane 6 of the 6"),
        (_bytes(lambda content: content + b"x", packed=False), "has more bytes than its header announces"),
        (_bytes(lambda content: content[:-4], packed=True), "cannot be unpacked"),
        (_bytes(lambda content: content + b"x", packed=True), "has more bytes than its header announces"),
        (_bytes(_bomb, packed=True), "has more bytes than its header announces"),
        (_bytes(lambda _: b"\0" * 200_000, packed=False), "no line ElementDataFile"),
        (_bytes(lambda _: b"", packed=False), "no line ElementDataFile"),
        (_bytes(lambda _: b"\x89PNG\n" * 9, packed=False), "without = in its header"),
        (_line("DimSize = 30 20 6", "DimSize = 30 20 6000000"), "more than the"),
        (_line("DimSize = 30 20 6", "DimSize = 30 20 0"), "one is below 1"),
        (_line("DimSize = 30 20 6", "DimSize = 30 20"), "2 numbers in DimSize"),
        (_line("DimSize = 30 20 6", "DimSize = 30 20 -6"), "the length '-6'"),
        (_line("NDims = 3", "NDims = 4"), "NDims = 4, expected 3"),
        (_line("MET_UCHAR", "MET_LONG"), "ElementType = MET_LONG"),
        (_line("ObjectType = Image", "ObjectType = Scene"), "ObjectType = Scene"),
        (_line("ElementDataFile = LOCAL", "ElementDataFile = /etc/passwd"), "ElementDataFile = /etc/passwd"),
        (_line("CenterOfRotation = 0 0 0", "CenterOfRotation = 9 0 0"), "CenterOfRotation"),
        (_line("CenterOfRotation = 0 0 0", "ElementNumberOfChannels = 3"), "ElementNumberOfChannels = 3"),
        (_line("BinaryData = True", "BinaryData = False"), "BinaryData = False"),
        (_line("CenterOfRotation = 0 0 0", "Origin = 0 0 0"), "has Offset twice"),
        (_line("Offset = ", "Offset = nan "), "4 numbers in Offset"),
        (_line("ElementSpacing = ", "ElementSpacing = 0 0 0\nX = "), "have no inverse"),
        (_line("TransformMatrix = ", "Lost = "), "0 numbers in TransformMatrix"),
    ],
)
def test_a_file_that_lies_is_refused_by_name(room: NiftiRoom, make: Callable[[NiftiRoom], None], says: str) -> None:
    """In words, and before anything is unpacked that its header does not announce."""
    make(room)
    with pytest.raises(ExchangeError, match=says) as caught:
        room.read(SAID)
    assert str(caught.value).startswith(f"out/{NAME}: ")
