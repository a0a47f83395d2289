"""Deflated data sets that cannot be inflated."""

from __future__ import annotations

import zlib
from io import BytesIO

import pytest

from node.dicom.deflated import inflate
from node.errors import PermanentError

GOOD = zlib.compress(b"a data set" * 100, wbits=-zlib.MAX_WBITS)
BAD = {
    "with the head of a zlib stream": (zlib.compress(b"a data set" * 100), "cannot be inflated"),
    "not deflated at all": (b"\x08\0\x05\0CS\x0a\0ISO_IR 100", "cannot be inflated"),
    "a block of no kind": (b"\x07" + GOOD, "cannot be inflated"),
    "cut off": (GOOD[:-4], "ends early"),
    "empty": (b"", "ends early"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_inflated_is_said_in_words(case: str) -> None:
    """Whatever the stream is: a reason, and no error of the library."""
    content, why = BAD[case]
    with pytest.raises(PermanentError, match=why):
        inflate(BytesIO(content), BytesIO())
