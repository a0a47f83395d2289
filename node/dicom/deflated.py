"""Deflated Explicit VR Little Endian (PS3.5 A.5), to and from a file, a piece at a time."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from node.errors import PermanentError

_PIECE = 1 << 20
_LARGEST = 4 << 30


def inflate(file: BinaryIO, out: BinaryIO, most: int = _LARGEST) -> None:
    """Write what is deflated from here on, `most` bytes of it; PermanentError where it is none, ends early, or has
    more.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left = most
    while not inflater.eof and left > 0:
        content = inflater.unconsumed_tail or file.read(_PIECE)
        if not content:
            break
        try:
            inflated = inflater.decompress(content, _PIECE)
        except zlib.error as error:  # damaged, or with the head of a zlib stream, which the Standard has not
            raise PermanentError(f"the deflated data set cannot be inflated: {error}") from error
        left -= len(inflated)
        out.write(inflated)
    if not inflater.eof:
        raise PermanentError(f"the deflated data set ends early, or is larger than {most // 2**20} MiB")


class DeflatedFile:
    """A file that what is written to is deflated into."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        self._length = 0

    def write(self, content: bytes | memoryview) -> int:
        """As a file's."""
        self._put(self._deflater.compress(content))
        return len(content)

    def finish(self) -> None:
        """The rest, padded to an even length."""
        self._put(self._deflater.flush())
        self._put(b"\0" * (self._length % 2))

    def _put(self, content: bytes) -> None:
        self._length += len(content)
        self._out.write(content)
