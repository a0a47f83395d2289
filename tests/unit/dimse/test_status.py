"""The status table, both ways."""

from __future__ import annotations

import errno

import pytest

from node.dimse.status import (
    FindReading,
    MismatchError,
    Reading,
    StoreStatus,
    UnreadableError,
    answer_for,
    read_find_status,
    read_store_status,
    status_text,
)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (None, 0x0000),
        (OSError(errno.ENOSPC, "No space left on device"), 0xA700),
        (OSError(errno.EIO, "Input/output error"), 0xA700),
        (OSError(errno.EROFS, "Read-only file system"), 0xA700),
        (MemoryError(), 0xA700),
        (MismatchError("another UID"), 0xA900),
        (UnreadableError("no UID"), 0xC000),
        (ZeroDivisionError(), 0xC001),
    ],
)
def test_a_failure_has_one_status(failure: BaseException | None, status: int) -> None:
    """What cannot be kept is A7xx, what does not match A9xx, what cannot be read or is our defect Cxxx."""
    assert answer_for(failure) == StoreStatus(status)


@pytest.mark.parametrize(
    ("status", "reading"),
    [
        (0x0000, Reading.STORED),
        (0xB000, Reading.STORED_WITH_WARNING),
        (0xB006, Reading.STORED_WITH_WARNING),
        (0xB007, Reading.STORED_WITH_WARNING),
        (0xB123, Reading.STORED_WITH_WARNING),
        (0xA700, Reading.RETRY),
        (0xA702, Reading.RETRY),
        (0xA900, Reading.DEAD_LETTER),
        (0x0117, Reading.DEAD_LETTER),
        (0x0122, Reading.CLASS_REFUSED),
        (0xC000, Reading.RETRY_FEW),
        (0xCFFF, Reading.RETRY_FEW),
        (0x0110, Reading.RETRY_FEW),
        (0x0213, Reading.RETRY_FEW),
        (0x0111, Reading.ASK),
        (0x0124, Reading.RETRY_SLOWLY),
        (0xFFFF, Reading.RETRY_FEW),
        (None, Reading.UNKNOWN),
    ],
)
def test_fault_64_65_66_68_how_an_answer_to_c_store_is_read(status: int | None, reading: Reading) -> None:
    """Each status asks one thing of the delivery."""
    assert read_store_status(status) is reading


@pytest.mark.parametrize(
    ("status", "reading"),
    [
        (0xFF00, FindReading.MATCH),
        (0xFF01, FindReading.MATCH),
        (0x0000, FindReading.END),
        (0xA700, FindReading.RETRY),
        (0xC001, FindReading.RETRY),
        (0xFE00, FindReading.RETRY),
        (None, FindReading.RETRY),
        (0xA900, FindReading.REFUSED),
        (0x0122, FindReading.REFUSED),
    ],
)
def test_how_an_answer_to_c_find_is_read(status: int | None, reading: FindReading) -> None:
    """Pending is a match, success the end, the rest a passing or a lasting failure."""
    assert read_find_status(status) is reading


def test_a_status_is_written_as_people_write_it() -> None:
    """Four hexadecimal digits."""
    assert (status_text(0xA700), status_text(0), status_text(None)) == ("A700", "0000", "no answer")
