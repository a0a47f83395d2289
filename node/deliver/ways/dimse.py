"""A destination that speaks DIMSE: C-FIND for the questions, C-STORE for the objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from node.config.models import Destination
from node.deliver.policy import Answer
from node.deliver.ways.archive import Kind, Sender
from node.dimse import scu
from node.dimse.scu import Peer
from node.dimse.status import Reading
from node.dimse.storage_scu import StorageSCU
from node.errors import PermanentError


def peer_of(destination: Destination, node_ae_title: str) -> Peer:
    """Whom to call for this destination, and under which AE title."""
    return Peer(
        host=destination.host,
        port=destination.port,
        ae_title=destination.ae_title,
        calling_ae_title=destination.calling_ae_title or node_ae_title,
        timeout=destination.timeout.total_seconds(),
        tls=destination.tls.credentials(destination.host) if destination.tls else None,
    )


class DicomArchive:
    """See `node.deliver.ways.archive.Archive`; the errors are those of `node.dimse.scu`."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """C-FIND at study level."""
        return list(scu.find_study(self._peer, study_instance_uid, keywords))

    def has_instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        """C-FIND at image level."""
        return scu.has_instance(self._peer, study_instance_uid, series_instance_uid, sop_instance_uid)

    @contextmanager
    def connect(self, kinds: Iterable[Kind]) -> Iterator[Sender]:
        """One association with a presentation context for each kind of object."""
        with StorageSCU(self._peer, kinds) as association:
            yield _DicomSender(association)


class _DicomSender:
    def __init__(self, association: StorageSCU) -> None:
        self._association = association

    @property
    def is_open(self) -> bool:
        return self._association.is_open

    def accepts(self, sop_class: str, transfer_syntax: str) -> bool:
        return self._association.accepts(sop_class, transfer_syntax)

    def store(self, file: Path) -> Answer:
        try:
            outcome = self._association.store(file)
        except PermanentError as error:  # the file is not a DICOM file any more
            return Answer(Reading.DEAD_LETTER, str(error))
        return Answer(outcome.reading, outcome.text, outcome.status)
