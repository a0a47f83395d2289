"""An archive that knows IHE IOCM: what a rejection note names is kept and shown to nobody; so is the note."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from pydicom import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage
from pynetdicom import AE, AllStoragePresentationContexts, evt

REJECTIONS = frozenset({"113001", "113037", "113038", "113039"})
"""Titles of rejection notes (PS3.16 CID 7010)."""


class HidingArchive:
    """Listens on loopback while its context is open."""

    ae_title = "HIDING"

    def __init__(self) -> None:
        self._stored: dict[str, Dataset] = {}
        self.notes: list[Dataset] = []

    def __enter__(self) -> Self:
        ae = AE(self.ae_title)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax or "")
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()

    @property
    def port(self) -> int:
        return int(self._server.socket.getsockname()[1])

    @property
    def shown(self) -> set[str]:
        """SOP Instance UIDs that a reader is shown."""
        return set(self._stored) - {uid for note in self.notes for uid in named(note)}

    def _store(self, event: evt.Event) -> int:
        dataset = event.dataset
        title = dataset.get("ConceptNameCodeSequence") or [Dataset()]
        is_note = dataset.SOPClassUID == KeyObjectSelectionDocumentStorage and title[0].get("CodeValue") in REJECTIONS
        if is_note:
            self.notes.append(dataset)
        else:
            self._stored[str(dataset.SOPInstanceUID)] = dataset
        return 0x0000


def named(note: Dataset) -> set[str]:
    """The SOP Instance UIDs that a note's evidence names."""
    return {
        str(item.ReferencedSOPInstanceUID)
        for study in note.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
