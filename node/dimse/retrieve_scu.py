"""Query and retrieve as an SCU: what an archive has, and asking it to send some of it to us (PS3.4 C.4.1, C.4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from pydicom.dataset import Dataset
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made at run time
    StudyRootQueryRetrieveInformationModelMove,
)

from node.dimse.contexts import UNCOMPRESSED
from node.dimse.scu import Peer, associated, find, number_of, status_of
from node.dimse.status import status_text
from node.errors import PermanentError, TransientError

_LONGEST_SILENCE = 600.0
"""Seconds between two answers to a C-MOVE: an archive may say nothing until it has sent all."""
_LONGEST_MOVE = 3600.0
"""Seconds for a series, however often the archive says that it still sends."""
_MOST_ANSWERS = 100_000
"""Answers to one C-MOVE: one for each image is usual, and no series has that many."""
_MOVE = StudyRootQueryRetrieveInformationModelMove
_PENDING = (0xFF00, 0xFF01)
_SUCCESS, _WARNING, _DESTINATION_UNKNOWN = 0x0000, 0xB000, 0xA801
_FAILED = "NumberOfFailedSuboperations"
_SENT = ("NumberOfCompletedSuboperations", "NumberOfWarningSuboperations")


class QueryRetrieve:
    """One archive as a Query/Retrieve SCP."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def find_studies(self, keys: Mapping[str, str], keywords: Sequence[str]) -> list[dict[str, str]]:
        """Studies that match these keys, with these keywords; raises as `scu.find_study`."""
        return find(self._peer, "STUDY", keys, keywords)

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[dict[str, str]]:
        """The series of a study; raises as `scu.find_study`."""
        return find(self._peer, "SERIES", {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": ""}, keywords)

    def move(self, study_instance_uid: str, series_instance_uid: str, to: str, within: float) -> int | None:
        """Ask it to send a series to the AE title `to`, in at most `within` seconds for all of it.

        Returns how many images it says that it has sent, None where it does not say (the numbers of sub-operations
        are optional, PS3.4 C.4.2.1.7). B000, which warns of failed ones or of warnings, is success where none failed.
        Raises as `scu.associated` does; PermanentError where a person has to change something there,
        TransientError where it failed, also in part.
        """
        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID, query.SeriesInstanceUID = study_instance_uid, series_instance_uid
        peer = self._peer
        with (
            associated(peer, [build_context(_MOVE, list(UNCOMPRESSED))]) as association,
            association.exchange(min(_LONGEST_MOVE, within), min(_LONGEST_SILENCE, within)),
        ):
            for answer, _ in islice(association.send_c_move(query, to, _MOVE), _MOST_ANSWERS):
                status = status_of(answer)
                if status in _PENDING:
                    continue
                if status == _SUCCESS or (status == _WARNING and number_of(answer, _FAILED) == 0):
                    return _arrived(answer)
                if status == _DESTINATION_UNKNOWN:
                    raise PermanentError(
                        f"{peer} does not know where {to} is (A801): enter this node there, for C-MOVE"
                    )
                why = status_text(status) if status is not None or not association.reason else association.reason
                raise TransientError(f"{peer} fails the C-MOVE: {why}")
            raise TransientError(f"{peer} did not finish the C-MOVE")


def _arrived(answer: Dataset) -> int | None:
    """Images that were stored here, with a warning or without; None where the answer counts neither."""
    counts = [count for count in (number_of(answer, keyword) for keyword in _SENT) if count is not None]
    return sum(counts) if counts else None
