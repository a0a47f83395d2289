"""The status table, both ways."""

from __future__ import annotations

import errno

import pytest

from node.dimse.status import (
    FindReading,
    MismatchError,
    StoreStatus,
    UnreadableDataSetError,
    answer_for,
    read_find_status,
    read_store_status,
    status_text,
)
from node.outcome import AnswerReading


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (None, 0x0000),
        (OSError(errno.ENOSPC, "No space left on device"), 0xA700),
        (OSError(errno.EIO, "Input/output error"), 0xA700),
        (OSError(errno.EROFS, "Read-only file system"), 0xA700),
        (MemoryError(), 0xA700),
        (MismatchError("another UID"), 0xA900),
        (UnreadableDataSetError("no UID"), 0xC000),
        (ZeroDivisionError(), 0xC001),
    ],
)
def test_a_failure_has_one_status(failure: BaseException | None, status: int) -> None:
    """What cannot be kept is A7xx, what does not match A9xx, what cannot be read or is our defect Cxxx."""
    assert answer_for(failure) == StoreStatus(status)


@pytest.mark.parametrize(
    ("status", "reading"),
    [
        (0x0000, AnswerReading.STORED),
        (0xB000, AnswerReading.STORED_WITH_WARNING),
        (0xB006, AnswerReading.STORED_WITH_WARNING),
        (0xB007, AnswerReading.STORED_WITH_WARNING),
        (0xB123, AnswerReading.STORED_WITH_WARNING),
        (0xA700, AnswerReading.RETRY),
        (0xA702, AnswerReading.RETRY),
        (0xA900, AnswerReading.DEAD_LETTER),
        (0x0117, AnswerReading.DEAD_LETTER),
        (0x0122, AnswerReading.CLASS_REFUSED),
        (0xC000, AnswerReading.RETRY_FEW),
        (0xCFFF, AnswerReading.RETRY_FEW),
        (0x0110, AnswerReading.RETRY_FEW),
        (0x0213, AnswerReading.RETRY_FEW),
        (0x0111, AnswerReading.ASK),
        (0x0124, AnswerReading.RETRY_SLOWLY),
        (0xFFFF, AnswerReading.RETRY_FEW),
        (None, AnswerReading.UNKNOWN),
    ],
)
def test_fault_64_65_66_68_how_an_answer_to_c_store_is_read(status: int | None, reading: AnswerReading) -> None:
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


@pytest.mark.parametrize("status", [*range(0xA770, 0xA780)])
def test_finding_d2_what_dcm4chee_refuses_for_good_is_not_tried_for_a_week(status: int) -> None:
    """A770 to A77F are about the object; their neighbours say that the peer is short of something."""
    assert read_store_status(status) is AnswerReading.DEAD_LETTER
    assert {read_store_status(each) for each in (0xA700, 0xA76F, 0xA780, 0xA7FF)} == {AnswerReading.RETRY}
