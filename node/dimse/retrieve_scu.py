"""Query and retrieve as an SCU: what an archive has, and asking it to send some of it to us (PS3.4 C.4.1, C.4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
_MOVE = StudyRootQueryRetrieveInformationModelMove
_PENDING = (0xFF00, 0xFF01)
_DESTINATION_UNKNOWN = 0xA801


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

    def move(self, study_instance_uid: str, series_instance_uid: str, to: str) -> int:
        """Ask it to send a series to the AE title `to`; returns how many images it says that it has sent.

        Raises as `scu.associated` does; PermanentError where a person has to change something there,
        TransientError where it failed, also in part.
        """
        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID, query.SeriesInstanceUID = study_instance_uid, series_instance_uid
        peer = replace(self._peer, timeout=max(self._peer.timeout, _LONGEST_SILENCE))
        with associated(peer, [build_context(_MOVE, list(UNCOMPRESSED))]) as association:
            for answer, _ in association.send_c_move(query, to, _MOVE):
                status = status_of(answer)
                if status in _PENDING:
                    continue
                if status == 0x0000:
                    return number_of(answer, "NumberOfCompletedSuboperations") or 0
                if status == _DESTINATION_UNKNOWN:
                    raise PermanentError(
                        f"{peer} does not know where {to} is (A801): enter this node there, for C-MOVE"
                    )
                raise TransientError(f"{peer} fails the C-MOVE: {status_text(status)}")
        raise TransientError(f"{peer} did not finish the C-MOVE")
