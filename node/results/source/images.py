"""The images a result was made from: their headers, who they belong to, where their slices lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.filereader import data_element_generator, read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from node.dicom.uids import is_acceptable_uid, is_valid_uid
from node.results.errors import NotEncodableError
from node.results.request import SourceReference
from node.results.source.copying import readable
from node.results.source.values import problem_of

_NEEDED = {
    "StudyInstanceUID": BaseTag(0x0020000D),
    "SeriesInstanceUID": BaseTag(0x0020000E),
    "SOPInstanceUID": BaseTag(0x00080018),
    "SOPClassUID": BaseTag(0x00080016),
}
"""As `SourceReference` has them."""
_PATIENT = {"PatientID": BaseTag(0x00100020), "IssuerOfPatientID": BaseTag(0x00100021)}
_TRANSFER_SYNTAX = 0x00020010
_PIXELS = frozenset({0x7FE00010, 0x7FE00009, 0x7FE00008})
_LEFT_TO_DCMREAD = frozenset({"", DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian})


@dataclass(frozen=True)
class SourceImage:
    """One source SOP instance: its header without pixel data, and where its file is."""

    path: Path
    header: Dataset
    reference: SourceReference
    transfer_syntax: str = ""

    @property
    def frames(self) -> int:
        """Number of Frames; 1 where the attribute is absent."""
        try:
            return int(self.header.get("NumberOfFrames") or 1)
        except (TypeError, ValueError) as error:
            raise NotEncodableError("NumberOfFrames", f"malformed in source image {self.path.name}") from error

    @property
    def is_multi_frame(self) -> bool:
        """Whether references must name a frame (Type 1C of Referenced Frame Number)."""
        return "NumberOfFrames" in self.header and self.frames > 1

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID; empty where it is missing or malformed: then nobody knows where the image lies."""
        uid = str(readable(self.header, "FrameOfReferenceUID") or "")
        return uid if is_acceptable_uid(uid) else ""

    def code(self, keyword: str, default: str = "") -> str:
        """The one value of an attribute of VR CS; `default` where there is none, or none that is right."""
        value = readable(self.header, keyword)
        return value if isinstance(value, str) and value and not problem_of("CS", value) else default


@dataclass(frozen=True)
class Sources:
    """All images of one request, in the order given; the first is what patient and study are copied from."""

    images: tuple[SourceImage, ...]

    @property
    def anchor(self) -> SourceImage:
        """The image whose patient and study the results take."""
        return self.images[0]

    @cached_property
    def by_uid(self) -> dict[str, SourceImage]:
        """By SOP Instance UID."""
        return {image.reference.sop_instance_uid: image for image in self.images}

    def find(self, sop_instance_uid: str, what: str, frame_number: int = 1) -> SourceImage:
        """The image of this UID; `NotEncodableError` where `what` refers to an image or a frame that is not there."""
        image = self.by_uid.get(sop_instance_uid)
        if image is None:
            raise NotEncodableError(
                what,
                f"refers to SOP instance {sop_instance_uid}, which is none of the {len(self.images)} source images",
            )
        if frame_number > image.frames:
            raise NotEncodableError(
                what, f"refers to frame {frame_number} of SOP instance {sop_instance_uid}, which has {image.frames}"
            )
        return image


def _header(path: Path) -> tuple[Dataset, str]:
    """The elements before the pixel data, and the transfer syntax.

    By the parts that pydicom's `dcmread` is made of: on a few hundred images most of its time goes into what
    belongs to the file and not to the image (two more datasets, the file's times).
    """
    with path.open("rb") as file:
        read_preamble(file, force=False)
        meta = data_element_generator(file, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
        stated = {int(each.tag): each.value for each in meta}.get(_TRANSFER_SYNTAX)
        syntax = stated.rstrip(b"\0 ").decode("ascii", "replace") if isinstance(stated, bytes) else ""
        if syntax not in _LEFT_TO_DCMREAD:
            implicit = syntax == ImplicitVRLittleEndian
            return read_dataset(file, implicit, True, stop_when=lambda tag, _vr, _length: tag in _PIXELS), syntax
    return dcmread(path, stop_before_pixels=True), syntax


@lru_cache(maxsize=4096)
def _is_uid(text: str) -> bool:
    return is_valid_uid(text)


def _read(path: Path) -> SourceImage:
    try:
        header, syntax = _header(path)
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:  # such as a Specific Character Set that is none
        reason = f"the header of source image {path.name} cannot be read: an element in it is malformed"
        raise NotEncodableError("SpecificCharacterSet", reason) from error
    values = []
    for keyword, tag in _NEEDED.items():
        value = _identifier(header, tag).decode("ascii", "replace")
        if not is_acceptable_uid(value):
            raise NotEncodableError(keyword, f"missing or malformed in source image {path.name}")
        values.append(value)
    return SourceImage(path, header, SourceReference(*values), syntax)


def _identifier(header: Dataset, tag: BaseTag) -> bytes:
    """The value's own bytes: identifiers are compared undecoded, so that no character set can make two equal."""
    element = header.get_item(tag)
    value = b"" if element is None or element.value is None else element.value
    return (value if isinstance(value, bytes) else str(value).encode()).strip(b" \0")


def odd_uids(images: Iterable[SourceImage], references: Iterable[SourceReference]) -> dict[str, frozenset[str]]:
    """The UIDs that PS3.5 9.1 does not allow and that are copied as they were received, by attribute."""
    frames = {uid for image in images if (uid := image.frame_of_reference_uid) and not _is_uid(uid)}
    found = {"FrameOfReferenceUID": frames} if frames else {}
    for reference in references:
        for keyword, uid in (
            ("StudyInstanceUID", reference.study_instance_uid),
            ("SeriesInstanceUID", reference.series_instance_uid),
            ("SOPInstanceUID", reference.sop_instance_uid),
            ("SOPClassUID", reference.sop_class_uid),
        ):
            if not _is_uid(uid):
                found.setdefault(keyword, set()).add(uid)
    return {keyword: frozenset(uids) for keyword, uids in found.items()}


def read_sources(paths: tuple[Path, ...]) -> Sources:
    """Read the headers; refuse images of more than one patient or study (case 35)."""
    images = tuple(_read(path) for path in paths)
    if len({image.reference.study_instance_uid for image in images}) > 1:
        raise NotEncodableError("StudyInstanceUID", "the source images are of more than one study")
    for keyword, tag in _PATIENT.items():
        # An issuer left out in some images is no contradiction; a second one is.
        values = {value for image in images if (value := _identifier(image.header, tag))}
        missing = keyword == "PatientID" and any(not _identifier(image.header, tag) for image in images)
        if len(values) > 1 or (values and missing):
            raise NotEncodableError(keyword, f"the {len(images)} source images do not agree; they may mix patients")
    return Sources(images)
