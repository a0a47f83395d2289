"""A small PACS for `make demo`: C-ECHO, C-STORE into a folder, C-FIND over it. Not for patients.

It stands in for an archive: accepts every storage SOP class, keeps one file a SOP Instance UID, counts what
comes twice, and answers study- and image-level queries with single-value matching on the unique keys.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.sop_class import (  # type: ignore[attr-defined] # made at run time
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer

from node.dicom.uids import is_acceptable_uid
from node.dimse.contexts import UNCOMPRESSED, supported_for
from node.dimse.engine import requesting  # noqa: F401 - switches pynetdicom's own logging of messages off
from node.dimse.status import StoreStatus

_UNIQUE_KEYS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "AccessionNumber")


class DemoPACS:
    """Listens on loopback while its context is open."""

    def __init__(self, folder: Path, ae_title: str = "DEMOPACS", port: int = 0) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.received_again = 0
        """C-STORE requests for a SOP instance that was already there."""
        self._port = port
        self._lock = threading.Lock()
        self._headers: dict[Path, Dataset] = {}
        """What was read of files; a file of a SOP instance that comes again is read again."""
        self._server: ThreadedAssociationServer | None = None

    @property
    def port(self) -> int:
        """The port it listens on, once it does."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def __enter__(self) -> DemoPACS:
        self.folder.mkdir(parents=True, exist_ok=True)
        entity = ApplicationEntity(self.ae_title)
        entity.add_supported_context(Verification, list(UNCOMPRESSED))
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind, list(UNCOMPRESSED))
        self._server = entity.start_server(
            ("127.0.0.1", self._port),
            block=False,
            evt_handlers=[
                (evt.EVT_REQUESTED, _support_what_is_proposed),
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_C_FIND, self._find),
            ],
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()

    def files(self) -> list[Path]:
        """What it holds, by SOP Instance UID."""
        return sorted(self.folder.glob("*.dcm"))

    def headers(self) -> dict[Path, Dataset]:
        """Each file with its header."""
        with self._lock:
            for path in (files := self.files()):
                if path not in self._headers:
                    self._headers[path] = dcmread(path, stop_before_pixels=True)
            return {path: self._headers[path] for path in files}

    def held(self, study: str) -> dict[Path, Dataset]:
        """What it has of a study."""
        return {path: header for path, header in self.headers().items() if header.StudyInstanceUID == study}

    def _store(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr] # of a C-STORE it has one
        if not is_acceptable_uid(uid):
            return StoreStatus.CANNOT_UNDERSTAND
        part, file = self.folder / f"{uid}.part", self.folder / f"{uid}.dcm"
        with self._lock:
            self.received_again += file.exists()
            part.write_bytes(event.encoded_dataset())
            part.rename(file)
            self._headers.pop(file, None)
        return StoreStatus.SUCCESS

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        level = str(query.get("QueryRetrieveLevel", "STUDY"))
        seen: set[str] = set()
        for held in self.headers().values():
            key = str(held.get("SOPInstanceUID" if level == "IMAGE" else "StudyInstanceUID", ""))
            if key not in seen and _matches(query, held):
                seen.add(key)
                yield 0xFF00, _answer(query, held)
        yield 0x0000, None


def _support_what_is_proposed(event: evt.Event) -> None:
    association = event.assoc
    primitive = association.requestor.primitive
    if primitive is not None:
        own = [each for each in association.acceptor.supported_contexts if each.abstract_syntax != Verification]
        association.acceptor.supported_contexts = own + supported_for(primitive.presentation_context_definition_list)


def _matches(query: Dataset, held: Dataset) -> bool:
    wanted = {keyword: str(query.get(keyword) or "") for keyword in _UNIQUE_KEYS}
    return all(not value or value == str(held.get(keyword, "")) for keyword, value in wanted.items())


def _answer(query: Dataset, held: Dataset) -> Dataset:
    """The keywords asked for, as they are held; empty where they are not (PS3.4 C.2.2.1.3)."""
    answer = Dataset()
    if "SpecificCharacterSet" in held:
        answer.SpecificCharacterSet = held.SpecificCharacterSet
    for element in query:
        if element.keyword and element.keyword != "SpecificCharacterSet":
            setattr(answer, element.keyword, held.get(element.keyword))
    answer.QueryRetrieveLevel = query.get("QueryRetrieveLevel", "STUDY")
    return answer
