"""Reading one received file without decoding its pixels: the whole of what the indexer wants to know.

Runs in a child process (`node.index.children`): whatever a hostile file does here, it does to that.
"""

from __future__ import annotations

import hashlib
import mmap
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom import filereader
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from node import ourselves
from node.config.models import Configuration
from node.dicom.elements import Contents, Elements, Items, parse, text_of
from node.dicom.marks import of_header as marks_of_header
from node.dicom.uids import is_acceptable_uid, is_valid_uid
from node.dicom.values import NOT_KEPT, Converter, Header, first_text, items
from node.index import pixels
from node.index.fingerprint import fingerprint
from node.store.arrival import Arrival, read_arrival
from node.store.seal import cut_to_length
from rules.facts import BAD_ENCODING, BAD_UID, UNREADABLE_HEADER

MOST_INFLATED = 512 * 2**20
"""Bytes that a deflated dataset may inflate to (case 42)."""
REJECTION_TITLES = frozenset({"113001", "113037", "113038", "113039"})
"""Rejected for quality reasons, for patient safety reasons, incorrect modality worklist entry, data retention
policy expired: the titles of an IOCM rejection note (PS3.16 CID 7010; IHE transaction RAD-66)."""
_KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
_UIDS = {
    "SOPClassUID": _SOP_CLASS,
    "SOPInstanceUID": _SOP_INSTANCE,
    "StudyInstanceUID": _STUDY,
    "SeriesInstanceUID": _SERIES,
}
_REFERENCED_SOP, _REFERENCED_SOP_INSTANCE, _REFERENCED_SERIES = 0x00081199, 0x00081155, 0x00081115
_EVIDENCE, _CONTENT, _TITLE = 0x0040A375, 0x0040A730, 0x0040A043
_CODE_VALUE, _CODING_SCHEME = 0x00080100, 0x00080102


@dataclass(frozen=True, slots=True)
class RejectionNote:
    """A rejection note (a Key Object Selection, IHE IOCM): why, and which SOP instances of which study."""

    title: str
    instances: tuple[tuple[str, str], ...]
    """(Study Instance UID, SOP Instance UID)."""


@dataclass(frozen=True, slots=True)
class HeaderReading:
    """What one receipt holds."""

    receipt: str
    arrival: Arrival
    bytes: int
    digest: str
    """SHA-256 of the dataset as received."""
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    frames: int
    header: Header
    comparison: dict[str, Any]
    marks: dict[str, str]
    rejection: RejectionNote | None = None
    makers: frozenset[str] = frozenset()
    """Serial numbers of the nodes of this program that made it; see `node.ourselves`."""
    unreadable: str = ""
    """Why nothing more is known of it than how it arrived; "" for nearly every file."""
    from_box: str = ""
    """The vendor's box that it came from, as the configuration calls it."""

    def text(self, keyword: str) -> str:
        """The first value of an attribute as text, or ""."""
        return first_text(self.header, keyword)


@dataclass(frozen=True, slots=True)
class SenderTerms:
    """What the configuration says of those who send."""

    character_sets: Mapping[str, str] = field(default_factory=dict)
    """By calling AE title: of texts whose own set is missing or does not fit."""
    strict_uids: bool = False
    """A UID that PS3.5 9.1 does not allow keeps an instance out of plugins, though it could be copied."""


UNSTATED = SenderTerms()


def sender_terms(configuration: Configuration) -> SenderTerms:
    """Those of a configuration."""
    return SenderTerms(configuration.character_sets, strict_uids=configuration.node.uids == "strict")


def read(path: Path, terms: SenderTerms = UNSTATED) -> HeaderReading:
    """Read one receipt, which is as long as its object from here on. Never raises for what its dataset holds.

    Raises OSError where the file cannot be read, ValueError where this node did not write it.
    """
    cut_to_length(path)
    arrival, offset = read_arrival(path)
    return _read(path, arrival, offset, terms)


def read_file(path: Path, at: datetime, terms: SenderTerms = UNSTATED) -> HeaderReading:
    """Read a DICOM file (PS3.10) that did not come over the network, as if it had come at `at`.

    Never raises for what its dataset holds. Raises OSError where the file cannot be read, ValueError where it
    is not a DICOM file.
    """
    arrival, offset = as_if_arrived(path, at)
    return _read(path, arrival, offset, terms)


def as_if_arrived(path: Path, at: datetime) -> tuple[Arrival, int]:
    """What the meta information of any DICOM file says of how it came, and where the dataset begins."""
    try:
        with path.open("rb") as file:
            filereader.read_preamble(file, force=False)
            meta = filereader.read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
            offset = file.tell()
        arrival = Arrival(
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
            calling_ae_title=str(meta.get("SourceApplicationEntityTitle", "")),
            called_ae_title=str(meta.get("ReceivingApplicationEntityTitle", "")),
            peer_address="",
            association="",
            received_at=at,
        )
    except OSError:
        raise
    except Exception as error:  # pydicom fails in many ways on what is not a DICOM file
        raise ValueError(f"{path}: no DICOM file with SOP class and transfer syntax in its header") from error
    return arrival, offset


def _read(path: Path, arrival: Arrival, offset: int, terms: SenderTerms) -> HeaderReading:
    with path.open("rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    dataset = whole[offset:]
    digest = hashlib.sha256(dataset).hexdigest()
    contents = parse_dataset(dataset, arrival.transfer_syntax_uid)
    uids = [text_of(contents.elements, tag) for tag in (_STUDY, _SERIES)]
    if not all(uids):
        why = "; ".join(contents.defects) or "Study or Series Instance UID is missing"
        return unreadable(path.stem, arrival, len(whole), digest, why)
    converter = Converter(contents.little, terms.character_sets.get(arrival.calling_ae_title.strip(), ""))
    header = converter.header(contents.elements)
    if contents.fragments is not None:  # encapsulated pixel data is not among the elements
        header["PixelData"] = ["OB", [], NOT_KEPT]
    frames, marks = pixels.check(contents, header, arrival.transfer_syntax_uid)
    return HeaderReading(
        receipt=path.stem,
        arrival=arrival,
        bytes=len(whole),
        digest=digest,
        sop_instance_uid=text_of(contents.elements, _SOP_INSTANCE) or arrival.sop_instance_uid,
        sop_class_uid=text_of(contents.elements, _SOP_CLASS) or arrival.sop_class_uid,
        study_instance_uid=uids[0],
        series_instance_uid=uids[1],
        frames=frames,
        header=header,
        comparison=fingerprint(contents, header, arrival.transfer_syntax_uid),
        marks=marks | _marks(contents, header, converter, arrival) | _bad_uids(contents.elements, terms),
        rejection=_rejection(contents.elements, uids[0]),
        makers=frozenset(
            maker
            for item in items(header, "ContributingEquipmentSequence")
            if (maker := ourselves.made_by(item)) is not None
        ),
    )


def unreadable(receipt: str, arrival: Arrival, size: int, digest: str, why: str) -> HeaderReading:
    """A receipt of which no more is known than how it arrived."""
    return HeaderReading(
        receipt=receipt,
        arrival=arrival,
        bytes=size,
        digest=digest,
        sop_instance_uid=arrival.sop_instance_uid,
        sop_class_uid=arrival.sop_class_uid,
        study_instance_uid="",
        series_instance_uid="",
        frames=0,
        header={},
        comparison={},
        marks={UNREADABLE_HEADER: why},
        unreadable=why,
    )


def parse_dataset(dataset: memoryview, syntax: str) -> Contents:
    """The elements of a dataset in its transfer syntax. Never raises for what its bytes hold."""
    problem = ""
    if syntax == DeflatedExplicitVRLittleEndian:
        dataset, problem = inflate(dataset)
    contents = parse(dataset, implicit=syntax == ImplicitVRLittleEndian, little=syntax != ExplicitVRBigEndian)
    if problem:
        contents.defects.insert(0, problem)
    return contents


def inflate(data: memoryview) -> tuple[memoryview, str]:
    """A deflated dataset (PS3.5 A.5), inflated as far as it goes and may, and what is wrong with it."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = b""
    try:
        content = inflater.decompress(data, MOST_INFLATED)
    except zlib.error as error:
        return memoryview(_inflated_in_part(data)), f"the deflated dataset is damaged ({error})"
    if inflater.eof:
        return memoryview(content), ""
    if len(content) >= MOST_INFLATED:
        return memoryview(content), f"the dataset inflates to more than {MOST_INFLATED // 2**20} MiB"
    return memoryview(content), "the deflated dataset ends too early"


def _inflated_in_part(data: memoryview) -> bytes:
    """What comes before the damage, piece by piece."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = bytearray()
    try:
        for start in range(0, len(data), 256):
            content += inflater.decompress(data[start : start + 256], 2**20)
            if len(content) > 2**24:
                break
    except zlib.error:
        pass  # this is where it is damaged; the caller says so
    return bytes(content)


def _marks(contents: Contents, header: Header, converter: Converter, arrival: Arrival) -> dict[str, str]:
    marks = {}
    if contents.defects:
        marks[UNREADABLE_HEADER] = "; ".join(contents.defects)
    if contents.faults:
        marks[BAD_ENCODING] = "; ".join(contents.faults)
    return marks | marks_of_header(header, converter, arrival.transfer_syntax_uid)


def _bad_uids(elements: Elements, terms: SenderTerms) -> dict[str, str]:
    """The mark of an instance that results could not refer to, or where `node.uids` is strict: should not."""
    fits = is_valid_uid if terms.strict_uids else is_acceptable_uid
    names = [name for name, tag in _UIDS.items() if (uid := text_of(elements, tag)) and not fits(uid)]
    return {BAD_UID: f"{', '.join(names)}: not a UID that results can name"} if names else {}


def _rejection(elements: Elements, study: str) -> RejectionNote | None:
    """What a rejection note rejects; None for every other object.

    The evidence names the instances with their study, the content tree without: those are of this study.
    """
    if text_of(elements, _SOP_CLASS) != _KEY_OBJECT_SELECTION:
        return None
    titles = [text_of(code, _CODE_VALUE) for code in _items(elements, _TITLE) if text_of(code, _CODING_SCHEME) == "DCM"]
    title = next((value for value in titles if value in REJECTION_TITLES), "")
    if not title:
        return None
    found: dict[str, str] = {}
    for of_study in _items(elements, _EVIDENCE):
        for series in _items(of_study, _REFERENCED_SERIES):
            for reference in _items(series, _REFERENCED_SOP):
                found[text_of(reference, _REFERENCED_SOP_INSTANCE)] = text_of(of_study, _STUDY) or study
    for uid in _referenced(_items(elements, _CONTENT)):
        found.setdefault(uid, study)
    found.pop("", None)
    return RejectionNote(title, tuple((of_study, uid) for uid, of_study in found.items()))


def _items(elements: Elements, tag: int) -> Items:
    raw = elements.get(tag)
    return raw.value if raw is not None and isinstance(raw.value, list) else []


def _referenced(content: Iterable[Elements]) -> Iterator[str]:
    for item in content:
        for reference in _items(item, _REFERENCED_SOP):
            yield text_of(reference, _REFERENCED_SOP_INSTANCE)
        yield from _referenced(_items(item, _CONTENT))
