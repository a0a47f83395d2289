"""A destination that speaks DIMSE: C-FIND for the questions, C-STORE for the objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from node.config.destinations import Destination, DicomDestination
from node.deliver.policy import Answer
from node.deliver.ways.archive import Kind, NotAdmittedError, NotReachedError, Sender
from node.dimse import scu
from node.dimse.scu import BusyError, Peer, RejectedError, UnreachableError
from node.dimse.status import DIMSE, status_text
from node.dimse.storage_scu import StorageSCU


def dimse(status: int) -> str:
    """A DIMSE status (PS3.7 annex C) as an answer: `dimse:A700`."""
    return f"{DIMSE}{status_text(status)}"


def peer_of(destination: DicomDestination, node_ae_title: str) -> Peer:
    """Whom to call for this destination, and under which AE title."""
    return Peer(
        host=destination.host,
        port=destination.port,
        ae_title=destination.ae_title,
        calling_ae_title=destination.calling_ae_title or node_ae_title,
        timeout=destination.timeout.total_seconds(),
        tls=destination.tls.credentials(destination.host) if destination.tls else None,
    )


def archive(destination: Destination, ae_title: str) -> DicomArchive:
    """The way to a destination of kind dicom."""
    assert isinstance(destination, DicomDestination), destination.kind
    return DicomArchive(peer_of(destination, ae_title))


class DicomArchive:
    """See `node.deliver.ways.archive.Archive`."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """C-FIND at study level."""
        with _neutral():
            return list(scu.find_study(self._peer, study_instance_uid, keywords))

    def has_instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        """C-FIND at image level."""
        with _neutral():
            return scu.has_instance(self._peer, study_instance_uid, series_instance_uid, sop_instance_uid)

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """C-FIND at series level."""
        with _neutral():
            return list(scu.find(self._peer, "SERIES", {"StudyInstanceUID": study_instance_uid}, keywords))

    def find_instances(
        self, study_instance_uid: str, series_instance_uid: str, keywords: Sequence[str]
    ) -> list[Mapping[str, str]]:
        """C-FIND at image level."""
        keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": series_instance_uid}
        with _neutral():
            return list(scu.find(self._peer, "IMAGE", keys, keywords))

    @contextmanager
    def connect(self, kinds: Iterable[Kind]) -> Iterator[Sender]:
        """One association with a presentation context for each kind of object."""
        with _neutral(), StorageSCU(self._peer, kinds) as association:
            yield _DicomSender(association)


@contextmanager
def _neutral() -> Iterator[None]:
    """Errors of an association as whoever delivers knows them."""
    try:
        yield
    except (UnreachableError, BusyError) as error:
        raise NotReachedError(str(error)) from error
    except RejectedError as error:
        raise NotAdmittedError(str(error)) from error


class _DicomSender:
    def __init__(self, association: StorageSCU) -> None:
        self._association = association

    @property
    def is_open(self) -> bool:
        return self._association.is_open

    def accepts(self, sop_class: str, transfer_syntax: str) -> bool:
        return self._association.accepts(sop_class, transfer_syntax)

    def store(self, file: Path) -> Answer:
        outcome = self._association.store(file)
        code = None if outcome.status is None else dimse(outcome.status)
        return Answer(outcome.reading, outcome.text, code)
