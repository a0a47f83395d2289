"""Storage commitment as data sets: what is read of a peer's, and what is written."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from node.dimse.commitment import (
    MAXIMUM_REFERENCES,
    WELL_KNOWN_INSTANCE,
    CommitmentRequest,
    CommitmentResult,
    Reference,
    RefusedError,
    action_information,
    event_information,
    read_request,
    read_result,
)
from node.dimse.status import ActionStatus, is_taken

ONE, OTHER = Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3"), Reference("1.2.840.10008.5.1.4.1.1.4", "1.2.4")


def refused(action: int, information: Dataset) -> ActionStatus:
    with pytest.raises(RefusedError) as error:
        read_request(WELL_KNOWN_INSTANCE, action, information)
    return error.value.status


def test_what_is_written_is_read() -> None:
    """Both ways; what is named twice counts once."""
    request = CommitmentRequest("1.2.9", (ONE, OTHER, ONE))
    assert read_request(WELL_KNOWN_INSTANCE, 1, action_information(request)).references == (ONE, OTHER)
    for result in (
        CommitmentResult("1.2.9", (ONE, OTHER), ()),
        CommitmentResult("1.2.9", (ONE,), ((OTHER, 0x0112),)),
        CommitmentResult("1.2.9", (), ((ONE, 0x0110),)),
    ):
        assert read_result(WELL_KNOWN_INSTANCE, result.event_type, event_information(result)) == result


def test_an_empty_sequence_is_left_out() -> None:
    """Some requesters take the presence of Failed SOP Sequence for a failure."""
    assert "FailedSOPSequence" not in event_information(CommitmentResult("1.2.9", (ONE,), ()))
    assert "ReferencedSOPSequence" not in event_information(CommitmentResult("1.2.9", (), ((ONE, 0x0112),)))


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
        action_information(CommitmentRequest(uid, (ONE,))),
        action_information(CommitmentRequest("1.2.9", (Reference(uid, "1.2"),))),
        action_information(CommitmentRequest("1.2.9", (Reference("1.2", uid),))),
    ):
        assert refused(1, information) is ActionStatus.INVALID_ARGUMENT


def test_an_unknown_event_is_refused() -> None:
    """0113H."""
    with pytest.raises(RefusedError) as error:
        read_result(WELL_KNOWN_INSTANCE, 3, event_information(CommitmentResult("1.2.9", (ONE,), ())))
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
