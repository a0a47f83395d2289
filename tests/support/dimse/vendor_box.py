"""A vendor's box that behaves as a test says: it keeps what it is sent, and sends what it is told to."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, DEFAULT_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.support.images.receipts import code


class VendorBox:
    """Listens on loopback while its context is open.

    with VendorBox() as box:
        ...  # the node sends
        box.send([box.report()], node_port)
    """

    def __init__(self, ae_title: str = "CADBOX", port: int = 0, syntaxes: Sequence[str] = ()) -> None:
        """`syntaxes`: the transfer syntaxes that it takes; uncompressed ones where none is given."""
        self.ae_title = ae_title
        self._syntaxes = [*syntaxes] or [*DEFAULT_TRANSFER_SYNTAXES]
        self.received: list[Dataset] = []
        self.callers: list[str] = []
        """The calling AE title of each object."""
        self.statuses: list[int] = []
        """What the next objects are answered with; 0000 where it is empty. -1: the association is aborted."""
        self.stored = threading.Event()
        self._port = port
        self._server: Any = None
        self._taking = threading.Lock()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        entity = AE(self.ae_title)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax), self._syntaxes)
        entity.add_supported_context(Verification)
        handlers = [(evt.EVT_C_STORE, self._store)]
        self._server = entity.start_server(("127.0.0.1", self._port), block=False, evt_handlers=handlers)  # type: ignore[arg-type]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()

    def _store(self, event: evt.Event) -> int:
        with self._taking:
            status = self.statuses.pop(0) if self.statuses else 0x0000
            if status == -1:
                event.assoc.abort()
                return 0xC000
            if status == 0:
                self.received.append(event.dataset)
                event.dataset.file_meta = event.file_meta
                self.callers.append(str(event.assoc.requestor.ae_title).strip())
                self.stored.set()
        return status

    def send(self, objects: Iterable[Dataset], port: int, calling: str = "", called: str = "PACSNODE") -> list[int]:
        """Send these to the node in one association; the status of each answer."""
        entity = AE(calling or self.ae_title)
        those = list(objects)
        for each in those:
            entity.add_requested_context(each.SOPClassUID, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", port, ae_title=called)
        assert association.is_established, "the node does not accept the box"
        for each in those:
            each.file_meta = FileMetaDataset()
            each.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        statuses = [int(association.send_c_store(each).Status) for each in those]
        association.release()
        return statuses

    def report(self, images: Sequence[Dataset] | None = None, **changes: Any) -> Dataset:
        """A small Basic Text SR about the images that it got, or about these; `changes` by keyword."""
        about = self.received if images is None else images
        made = made_for(about[0], "1.2.840.10008.5.1.4.1.1.88.11", "SR")
        made.CompletionFlag, made.VerificationFlag = "COMPLETE", "UNVERIFIED"
        made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
        made.ConceptNameCodeSequence = [code("11528-7", "LN", "Radiology Report")]
        text = Dataset()
        text.RelationshipType, text.ValueType, text.TextValue = "CONTAINS", "TEXT", "A nodule of 6 mm."
        text.ConceptNameCodeSequence = [code("121071", "DCM", "Finding")]
        made.ContentSequence = [text]
        made.CurrentRequestedProcedureEvidenceSequence = [_evidence(about)]
        return _changed(made, changes)

    def dumb_capture(self, **changes: Any) -> Dataset:
        """A Secondary Capture that keeps study and patient alone: it refers to nothing."""
        made = made_for(self.received[0], "1.2.840.10008.5.1.4.1.1.7", "OT")
        made.ConversionType = "WSD"
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.Rows = made.Columns = 8
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
        made.PixelData = bytes(64)
        return _changed(made, changes)

    def play(self, file: Path, images: Sequence[Dataset] | None = None) -> Dataset:
        """A real object of another study, its patient, study and references as if it were made of what the box got."""
        about = self.received if images is None else images
        real = dcmread(file)
        made = Dataset()
        made.update({each.tag: copy.deepcopy(each) for each in real})
        own = {str(real[name].value): str(generate_uid()) for name in ("SOPInstanceUID", "SeriesInstanceUID")}
        others = sorted(_references(made) - own.keys())
        own |= {uid: str(about[number % len(about)].SOPInstanceUID) for number, uid in enumerate(others)}
        own |= {str(real.StudyInstanceUID): str(about[0].StudyInstanceUID)}
        _rewrite(made, own, str(about[0].SeriesInstanceUID), str(real.SeriesInstanceUID))
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "AccessionNumber"):
            setattr(made, keyword, about[0].get(keyword, ""))
        return made


def made_for(image: Dataset, sop_class: str, modality: str) -> Dataset:
    """An object with the patient and study of an image, in a series of its own."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = sop_class, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = image.StudyInstanceUID, generate_uid()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        setattr(made, keyword, image.get(keyword, ""))
    made.AccessionNumber, made.ReferringPhysicianName = image.get("AccessionNumber", ""), ""
    made.Modality, made.Manufacturer = modality, "Vendor"
    made.SeriesNumber, made.InstanceNumber = 700, 1
    made.ContentDate, made.ContentTime = "20260301", "120000"
    return made


def _changed(made: Dataset, changes: dict[str, Any]) -> Dataset:
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    return made


def _evidence(images: Sequence[Dataset]) -> Dataset:
    study, series = Dataset(), Dataset()
    study.StudyInstanceUID = images[0].StudyInstanceUID
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    series.ReferencedSOPSequence = []
    for image in images:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        series.ReferencedSOPSequence.append(reference)
    study.ReferencedSeriesSequence = [series]
    return study


def _references(dataset: Dataset) -> set[str]:
    return {str(each.value) for each in dataset.iterall() if each.keyword == "ReferencedSOPInstanceUID"}


def _rewrite(dataset: Dataset, uids: dict[str, str], series: str, own_series: str) -> None:
    for each in dataset.iterall():
        if each.VR == "UI" and isinstance(each.value, str) and str(each.value) in uids:
            each.value = uids[str(each.value)]
        elif each.keyword == "SeriesInstanceUID" and each.value not in uids.values() and each.value != own_series:
            each.value = series
