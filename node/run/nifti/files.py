"""NIfTI and MetaImage files that a program wrote, read plane by plane: nothing is believed, no size is unbounded.

A file is opened below `out/` without following a link. Its header is judged before any voxel is read. Then as many
bytes are unpacked as it announces, and one more to see that there are none. So neither a gzip bomb nor a file with
holes takes more than its images would.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from node.run.nifti import headers, metaimage
from node.run.nifti.headers import NiftiHead, NiftiHeaderError
from plugins.exchange import OUT
from plugins.maps import MOST_LABEL
from plugins.untrusted import ExchangeError, open_file, why_unreadable

_DAMAGED = "it is damaged"
_GZIP = b"\x1f\x8b"
_PIECE = 2**20
_UNPACKING: Any = isal_zlib.error  # which its types call an instance
_UNREADABLE: tuple[type[Exception], ...] = (OSError, ValueError, EOFError, zlib.error, _UNPACKING)
"""What opening a file or unpacking it ends in."""


@contextmanager
def opened_below(folder: int, name: str) -> Iterator[BinaryIO]:
    """A regular file of `out/` (an open folder) or of a folder in it; ExchangeError, which names it."""
    shown = f"{OUT}/{name}"
    with ExitStack() as stack:
        try:
            *above, last = name.split("/")
            for each in above:
                folder = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                stack.callback(os.close, folder)
            file = stack.enter_context(open_file(folder, last))
        except FileNotFoundError as error:
            raise ExchangeError(shown, "", "is missing: the program did not write it") from error
        except (OSError, ValueError) as error:
            raise ExchangeError(shown, "", f"cannot be read: {why_unreadable(error)}") from error
        yield file


class VoxelStream(Protocol):
    """What voxels are read from."""

    def read(self, count: int, /) -> bytes:
        """At most this many bytes; none at the end."""


@dataclass(frozen=True)
class NiftiFile:
    """One file, NIfTI or MetaImage, its header judged; its voxels are read once."""

    name: str
    head: NiftiHead
    stream: VoxelStream

    def error(self, problem: str) -> ExchangeError:
        """A complaint about this file."""
        return ExchangeError(f"{OUT}/{self.name}", "", problem)

    def planes(self) -> Iterator[NDArray[Any]]:
        """The voxels of each k: (j, i), scaled as the header says; ExchangeError where they are not what it says."""
        columns, rows, count = self.head.shape
        for number in range(count):
            raw = self._exactly(self.head.plane_bytes, number)
            plane = np.frombuffer(raw, self.head.dtype).reshape(rows, columns)
            if (self.head.slope, self.head.intercept) != (1.0, 0.0):
                yield plane.astype(np.float64) * self.head.slope + self.head.intercept
            else:
                yield plane
        if self._read(1):
            raise self.error("has more bytes than its header announces")

    def labels(self) -> Iterator[NDArray[np.uint16]]:
        """The planes as labels; ExchangeError for what is none."""
        for plane in self.planes():
            if plane.dtype.kind == "f":
                self._require_whole(plane)
            low, high = plane.min(), plane.max()
            if low < 0 or high > MOST_LABEL:
                raise self.error(f"has the label {low if low < 0 else high:g}; labels are within 0 to {MOST_LABEL}")
            yield plane.astype(np.uint16)

    def _require_whole(self, plane: NDArray[Any]) -> None:
        if not np.isfinite(plane).all():
            raise self.error("has voxels that are not finite numbers (NaN or infinite), where labels are expected")
        odd = plane != np.rint(plane)
        if odd.any():
            raise self.error(
                f"has the value {plane[odd][0]:g}, where whole labels are expected: is it a map of probabilities?"
            )

    def skip(self, count: int) -> None:
        """Pass over that many bytes."""
        while count > 0:
            passed = len(self._read(min(_PIECE, count)))
            if not passed:
                raise self.error("ends within its header")
            count -= passed

    def _exactly(self, count: int, plane: int) -> bytes:
        pieces, missing = [], count
        while missing:
            piece = self._read(min(missing, 16 * _PIECE))
            if not piece:
                raise self.error(f"ends in plane {plane + 1} of the {self.head.shape[2]} that its header announces")
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read(self, count: int) -> bytes:
        try:
            return self.stream.read(count)
        except _UNREADABLE as error:
            raise self.error(f"cannot be unpacked: {str(error)[:200] or _DAMAGED}") from error


@contextmanager
def opened(folder: int, name: str, most_voxels: int) -> Iterator[NiftiFile]:
    """A NIfTI file of `out/`, or a MetaImage where its name says so, at its first voxel; ExchangeError."""
    begin = _metaimage if name.endswith(metaimage.ENDING) else _nifti
    with opened_below(folder, name) as file, ExitStack() as stack:
        try:
            head, stream = begin(file, name, most_voxels, stack)
        except NiftiHeaderError as error:
            raise ExchangeError(f"{OUT}/{name}", "", str(error)) from error
        except _UNREADABLE as error:
            why = str(error)[:200] or _DAMAGED
            raise ExchangeError(f"{OUT}/{name}", "", f"cannot be unpacked: {why}") from error
        made = NiftiFile(name, head, stream)
        made.skip(head.skip)
        yield made


def _nifti(file: BinaryIO, name: str, most_voxels: int, stack: ExitStack) -> tuple[NiftiHead, VoxelStream]:
    is_packed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    if is_packed != name.endswith(".gz"):
        raise NiftiHeaderError(
            "is compressed, and its name says that it is not" if is_packed else "is not compressed with gzip"
        )
    packer: Any = igzip.IGzipFile
    stream: BinaryIO = stack.enter_context(packer(fileobj=file, mode="rb")) if is_packed else file
    block = stream.read(headers.FIRST_BYTES)
    size = headers.size_of(block)
    block += stream.read(size - len(block))
    if len(block) < size:
        raise NiftiHeaderError("ends within its header")
    return headers.judged(block, most_voxels), stream


def _metaimage(file: BinaryIO, _name: str, most_voxels: int, _stack: ExitStack) -> tuple[NiftiHead, VoxelStream]:
    head, is_packed = metaimage.judged(file, most_voxels)
    return head, metaimage.InflatedVoxels(file) if is_packed else file
