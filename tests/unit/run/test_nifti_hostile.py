"""What a program may leave in `out/` that is no NIfTI file, or one that lies: refused in words, within bounds."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from node.processes.pool import ChildPool
from node.run.nifti import reading
from plugins.untrusted import ExchangeError
from tests.support.sites.nifti_room import NiftiRoom, folders, grid, heatmap, organ, segment

SHAPE = (6, 20, 30)


@pytest.fixture
def room(tmp_path: Path) -> NiftiRoom:
    return NiftiRoom(tmp_path, grid(SHAPE))


def labels(value: int = 1, dtype: type = np.uint8) -> np.ndarray:
    """A block of one label."""
    made: np.ndarray = np.zeros(SHAPE, dtype)
    made[2:4, 5:9, 10:20] = value
    return made


def patched(room: NiftiRoom, place: int, value: bytes) -> None:
    """A sound file but for some bytes of its header."""
    content = room.raw(labels())
    content[place : place + len(value)] = value
    room.write(content)


def with_dim(room: NiftiRoom, *dim: int) -> None:
    patched(room, 40, struct.pack(f"<{len(dim)}h", *dim))


def cut(room: NiftiRoom) -> None:
    room.write(room.raw(labels())[:-1])


def longer(room: NiftiRoom) -> None:
    room.write(bytes(room.raw(labels())) + b"x")


def truncated_gzip(room: NiftiRoom) -> None:
    path = room.write(room.raw(labels()))
    path.write_bytes(path.read_bytes()[:-20])


def wrong_checksum(room: NiftiRoom) -> None:
    path = room.write(room.raw(labels()))
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF
    path.write_bytes(content)


def with_value(value: float, dtype: type = np.float32) -> Callable[[NiftiRoom], None]:
    def make(room: NiftiRoom) -> None:
        made = labels(dtype=dtype)
        made[0, 0, 0] = value
        room.save(made)

    return make


def bomb(room: NiftiRoom) -> None:
    """100 MB of zeros in 100 kB, behind a header of the images' size."""
    (room.out / "seg.nii.gz").write_bytes(gzip.compress(bytes(room.raw(labels())) + bytes(100_000_000), 9))


def linked(room: NiftiRoom) -> None:
    room.save(labels(), "other.nii.gz")
    (room.out / "seg.nii.gz").symlink_to("other.nii.gz")


def linked_folder(room: NiftiRoom) -> None:
    (room.out / "sub").symlink_to(room.folder)


def hard_link(room: NiftiRoom) -> None:
    path = room.save(labels())
    os.link(path, room.folder / "elsewhere.nii.gz")


def pipe(room: NiftiRoom) -> None:
    os.mkfifo(room.out / "seg.nii.gz")


def is_folder(room: NiftiRoom) -> None:
    (room.out / "seg.nii.gz").mkdir()


def plain(room: NiftiRoom) -> None:
    (room.out / "seg.nii.gz").write_bytes(bytes(room.raw(labels())))


def no_forms(room: NiftiRoom) -> None:
    patched(room, 252, struct.pack("<hh", 0, 0))


def complex_voxels(room: NiftiRoom) -> None:
    room.save(labels(dtype=np.complex64))


def nothing(_room: NiftiRoom) -> None:
    """It wrote no file."""


CASES: list[tuple[Callable[[NiftiRoom], object], str]] = [
    (nothing, "out/seg.nii.gz: is missing: the program did not write it"),
    (lambda room: room.write(b"", "seg.nii.gz"), "does not begin with a header of NIfTI-1 or NIfTI-2"),
    (lambda room: room.write(b"P6 640 480", "seg.nii.gz"), "does not begin with a header"),
    (lambda room: room.write(struct.pack("<i", 348) + bytes(50)), "ends within its header"),
    (plain, "is not compressed with gzip"),
    (cut, "ends in plane 6 of the 6 that its header announces"),
    (longer, "has more bytes than its header announces"),
    (truncated_gzip, "out/seg.nii.gz: cannot be unpacked"),
    (wrong_checksum, "out/seg.nii.gz: cannot be unpacked"),
    (bomb, "has more bytes than its header announces"),
    (lambda room: with_dim(room, 4, 30, 20, 6, 5), "has 4 dimensions (30 × 20 × 6 × 5), expected one volume of 3"),
    (lambda room: with_dim(room, 2, 30, 120), "has 2 dimensions (30 × 120), expected one volume of 3"),
    (lambda room: with_dim(room, 3, -30, 20, 6), "has the shape -30 × 20 × 6, of which one is below 1"),
    (lambda room: with_dim(room, 3, 30, 0, 6), "has the shape 30 × 0 × 6"),
    (lambda room: with_dim(room, 3, 32767, 32767, 32767), "announces 32767 × 32767 × 32767 voxels, more than the"),
    (lambda room: with_dim(room, 0, 30, 20, 6), "dimensions, expected 3"),
    (lambda room: patched(room, 70, struct.pack("<h", 4242)), "has a header that cannot be read"),
    (lambda room: patched(room, 70, struct.pack("<h", 128)), "expected whole or real numbers"),
    (complex_voxels, "has voxels of the type complex64; expected whole or real numbers"),
    (lambda room: patched(room, 108, struct.pack("<f", 0.0)), "has its voxels at byte 0 (vox_offset)"),
    (lambda room: patched(room, 108, struct.pack("<f", 1e30)), "has its voxels at byte 1e+30 (vox_offset)"),
    (lambda room: patched(room, 108, struct.pack("<f", float("nan"))), "has its voxels at byte nan"),
    (lambda room: patched(room, 108, struct.pack("<f", 9e6)), "ends within its header"),
    (lambda room: patched(room, 112, struct.pack("<ff", float("inf"), 0)), "has the scaling inf"),
    (lambda room: patched(room, 112, struct.pack("<ff", 0.5, 0)), "has the value 0.5, where whole labels are expected"),
    (lambda room: patched(room, 123, bytes([1])), "has a grid that is not in mm (xyzt_units)"),
    (lambda room: patched(room, 344, b"ni1\0"), "has its voxels in another file"),
    (no_forms, "does not say where its voxels are: neither qform nor sform is set"),
    (lambda room: patched(room, 280, bytes(48)), "its affine has no inverse"),
    (lambda room: patched(room, 280, struct.pack("<f", float("nan"))), "its affine has no inverse"),
    (with_value(float("nan")), "has voxels that are not finite numbers (NaN or infinite), where labels are expected"),
    (with_value(float("inf")), "has voxels that are not finite numbers"),
    (with_value(0.25), "has the value 0.25, where whole labels are expected: is it a map of probabilities?"),
    (with_value(-3, np.int16), "has the label -3; labels are within 0 to 65535"),
    (with_value(70_000, np.int32), "has the label 70000; labels are within 0 to 65535"),
    (with_value(7), "has the label 7, which no [[nifti.segments]] of the manifest describes"),
    (linked, "out/seg.nii.gz: cannot be read: it is a link"),
    (is_folder, "out/seg.nii.gz: cannot be read: it is not a regular file"),
    (hard_link, "is a hard link to another file"),
    (pipe, "is a pipe, a socket or a device"),
]


@pytest.mark.parametrize(("make", "words"), CASES, ids=[words[:50] for _, words in CASES])
def test_fault_110_what_is_no_sound_label_map_is_refused_in_words(
    room: NiftiRoom, make: Callable[[NiftiRoom], object], words: str
) -> None:
    """The error names the file and what is wrong with it."""
    make(room)
    with pytest.raises(ExchangeError) as caught:
        room.read(folders(segment()))
    assert words in str(caught.value)
    assert "out/" in str(caught.value)


@pytest.mark.parametrize("name", ["seg.nii.gz", "seg.nii", "sub/seg.nii.gz"])
@pytest.mark.parametrize("dtype", ["<u1", ">i2", "<u2", ">i4", "<i8", ">f4", "<f8"])
def test_a_sound_one_is_taken_in_each_type_and_byte_order(room: NiftiRoom, name: str, dtype: str) -> None:
    """Whole numbers are labels, however they are stored; compressed or not, in a folder or not."""
    image = room.image(labels().astype(dtype))
    swapped = image.header.as_byteswapped(dtype[0])
    made = type(image)(labels().astype(dtype).transpose(2, 1, 0), image.affine, swapped, dtype=np.dtype(dtype))
    assert made.to_bytes()[:4] == struct.pack(f"{dtype[0]}i", 348)
    (room.out / "sub").mkdir()
    made.to_filename(room.out / name)
    result = room.read(folders(segment(), label_map=name)).result
    assert np.array_equal(result.segmentation.labels, labels())


def test_a_nifti_2_file_with_extensions_and_a_scale_is_taken(room: NiftiRoom) -> None:
    """NIfTI-2; 10 kB of comments before the voxels; labels 10 stored under the scale 0.1 are label 1."""
    import nibabel

    image = nibabel.Nifti2Image(labels(10).transpose(2, 1, 0), room.image(labels()).affine)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 10_000))
    content = bytearray(image.to_bytes())
    assert content[:4] == struct.pack("<i", 540)
    content[176:192] = struct.pack("<dd", 0.1, 0.0)
    room.write(content)
    assert np.array_equal(room.read(folders(segment())).result.segmentation.labels, labels())


def test_a_link_to_a_folder_is_not_followed(room: NiftiRoom) -> None:
    """A mask below a link to the attempt's own folder."""
    linked_folder(room)
    with pytest.raises(ExchangeError, match=r"out/sub/seg.nii.gz: cannot be read"):
        room.read(folders(segment(), label_map="sub/seg.nii.gz"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.5, -0.2])
def test_a_map_outside_of_its_range_is_refused(room: NiftiRoom, value: float) -> None:
    """Probabilities are from 0 to 1 and finite."""
    room.save(labels())
    values = np.full(SHAPE, 0.25, np.float32)
    values[3, 4, 5] = value
    room.save(values, "probability.nii.gz")
    with pytest.raises(ExchangeError, match=r"out/probability\.nii\.gz: has (voxels that are not finite|values from)"):
        room.read(folders(segment(), heatmaps=(heatmap(),)))


def test_fault_110_masks_that_overlap_or_hold_labels_are_refused(room: NiftiRoom) -> None:
    """A voxel has one segment; a mask has one value."""
    room.save(labels(), "liver.nii.gz")
    room.save(labels(255), "spleen.nii.gz")
    said = folders(organ("Liver", "liver.nii.gz"), organ("Spleen", "spleen.nii.gz"))
    with pytest.raises(ExchangeError, match=r"out/spleen\.nii\.gz: overlaps with 'Liver'"):
        room.read(said)
    both = labels()
    both[0, 0, 0] = 2
    room.save(both, "liver.nii.gz")
    with pytest.raises(ExchangeError, match=r"out/liver\.nii\.gz: has the values 1 and 2: a mask has 0 and one other"):
        room.read(said)


def test_fault_110_giants_cost_neither_memory_nor_time(room: NiftiRoom) -> None:
    """A bomb, and a file with holes of a terabyte, are refused by a child that may add 64 MiB."""
    bomb(room)
    with (room.out / "liver.nii").open("wb") as file:
        file.write(room.raw(labels()))
        file.truncate(2**40)
    pool = ChildPool(1)
    try:
        for said in (folders(segment()), folders(organ("Liver", "liver.nii"))):
            with pytest.raises(ExchangeError, match="has more bytes than its header announces"):
                pool.call(reading.read, room.answer(said), deadline=120, memory=64 * 2**20)
    finally:
        pool.close()
