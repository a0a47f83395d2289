"""Storage commitment as data sets: what is read of a peer's, and what is written."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import Dataset
from pynetdicom.dsutils import decode

from node.dimse.commitment import (
    MAXIMUM_LENGTH,
    MAXIMUM_REFERENCES,
    WELL_KNOWN_INSTANCE,
    CommitmentReference,
    CommitmentRefusedError,
    CommitmentRequest,
    CommitmentResult,
    action_information,
    event_information,
    read_request,
    read_result,
)
from node.dimse.status import ActionStatus, is_taken

ONE, OTHER = (
    CommitmentReference("1.2.840.10008.5.1.4.1.1.2", "1.2.3"),
    CommitmentReference("1.2.840.10008.5.1.4.1.1.4", "1.2.4"),
)


def written(encoded: bytes, *, explicit: bool = True) -> Dataset:
    """As pydicom reads it."""
    return decode(BytesIO(encoded), not explicit, True)


def action(request: CommitmentRequest) -> Dataset:
    """As it is read."""
    return written(action_information(request, explicit=True))


def event(result: CommitmentResult) -> Dataset:
    """As it is read."""
    return written(event_information(result, explicit=True))


def refused(action_type: int, information: Dataset) -> ActionStatus:
    with pytest.raises(CommitmentRefusedError) as error:
        read_request(WELL_KNOWN_INSTANCE, action_type, information)
    return error.value.status


def test_what_is_written_is_read() -> None:
    """Both ways; what is named twice counts once."""
    request = CommitmentRequest("1.2.9", (ONE, OTHER, ONE))
    assert read_request(WELL_KNOWN_INSTANCE, 1, action(request)).references == (ONE, OTHER)
    for result in (
        CommitmentResult("1.2.9", (ONE, OTHER), ()),
        CommitmentResult("1.2.9", (ONE,), ((OTHER, 0x0112),)),
        CommitmentResult("1.2.9", (), ((ONE, 0x0110),)),
    ):
        assert read_result(WELL_KNOWN_INSTANCE, result.event_type, event(result)) == result


@pytest.mark.parametrize("explicit", [True, False])
def test_what_is_written_is_what_pydicom_reads(*, explicit: bool) -> None:
    """Every value, in either transfer syntax."""
    result = CommitmentResult("1.2.9", (ONE,), ((OTHER, 0x0112),))
    read = written(event_information(result, explicit=explicit), explicit=explicit)
    assert read.TransactionUID == "1.2.9"
    [committed], [failed] = read.ReferencedSOPSequence, read.FailedSOPSequence
    assert (committed.ReferencedSOPClassUID, committed.ReferencedSOPInstanceUID) == (ONE.sop_class_uid, "1.2.3")
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.4", 0x0112)
    request = action_information(CommitmentRequest("1.2.9", (OTHER,)), explicit=explicit)
    assert [each.ReferencedSOPInstanceUID for each in written(request, explicit=explicit).ReferencedSOPSequence] == [
        "1.2.4"
    ]


def test_finding_m11_the_longest_request_is_within_the_longest_data_set() -> None:
    """UIDs of 64 characters, items and sequence with delimiters as some write them."""
    longest = tuple(CommitmentReference("1." * 31 + "12", "1." * 29 + f"{number:06d}") for number in range(100))
    encoded = len(action_information(CommitmentRequest("1" * 64, longest), explicit=True)) + 8 * (len(longest) + 1)
    classes = 64 - 32  # no storage SOP class has a longer UID
    assert (encoded / len(longest) - classes) * MAXIMUM_REFERENCES < MAXIMUM_LENGTH


def test_an_empty_sequence_is_left_out() -> None:
    """Some requesters take the presence of Failed SOP Sequence for a failure."""
    assert "FailedSOPSequence" not in event(CommitmentResult("1.2.9", (ONE,), ()))
    assert "ReferencedSOPSequence" not in event(CommitmentResult("1.2.9", (), ((ONE, 0x0112),)))


def test_more_than_the_limit_is_refused() -> None:
    """0213H, before any of it is looked at."""
    item = Dataset()
    information = Dataset()
    information.TransactionUID = "1.2.9"
    information.ReferencedSOPSequence = [item] * (MAXIMUM_REFERENCES + 1)
    assert refused(1, information) is ActionStatus.RESOURCE_LIMITATION


@pytest.mark.parametrize("uid", ["", "../etc/passwd", "1.2.3\\1.2.4", "1" * 65])
def test_a_uid_that_is_none_is_refused(uid: str) -> None:
    """As transaction, class or instance (case 29)."""
    for information in (
        action(CommitmentRequest(uid, (ONE,))),
        action(CommitmentRequest("1.2.9", (CommitmentReference(uid, "1.2"),))),
        action(CommitmentRequest("1.2.9", (CommitmentReference("1.2", uid),))),
    ):
        assert refused(1, information) is ActionStatus.INVALID_ARGUMENT


def test_an_unknown_event_is_refused() -> None:
    """0113H."""
    with pytest.raises(CommitmentRefusedError) as error:
        read_result(WELL_KNOWN_INSTANCE, 3, event(CommitmentResult("1.2.9", (ONE,), ())))
    assert error.value.status is ActionStatus.NO_SUCH_EVENT


def test_a_warning_is_an_answer() -> None:
    """Success and warnings: the peer has taken it; everything else, and silence: it has not."""
    assert [is_taken(status) for status in (0x0000, 0xB001, 0x0107, 0x0110, 0x0122, 0xC000, None)] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]
