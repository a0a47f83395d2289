"""The generated parts of docs/conformance.md: `python -m tests.support.results.conformance` writes them anew.

SOP classes and transfer syntaxes come from the code that negotiates them, the attributes from objects that are
encoded here and read.
"""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import IntEnum
from pathlib import Path

from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.uid import UID

from node.config.encoding import EncodingProfile, Kind
from node.desk.peers import RESULT_CLASSES
from node.dicom.compressing import COMPRESSED
from node.dimse.contexts import LOSSLESS, LOSSY, MAXIMUM_CONTEXTS, UNCOMPRESSED
from node.dimse.engine.providers import MAXIMUM_LENGTH
from node.dimse.status import (
    ActionStatus,
    FailureReading,
    FailureReason,
    StoreStatus,
    read_failure_reason,
    read_store_status,
)
from node.ledger import resends
from node.ourselves import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.outcome import AnswerReading
from node.results import codes as our_codes
from node.results.encode import encode
from node.results.source.copied import of_patient_and_study
from plugins.contract import PdfDocument
from tests.support.results import air, reports

DOCUMENT = Path(__file__).parents[3] / "docs" / "conformance.md"
COPIED = frozenset(attribute.keyword for attribute in of_patient_and_study())
_KINDS: tuple[Kind, ...] = ("sr", "sc", "seg", "pm", "ko", "pr", "rtstruct", "pdf")
_ALGORITHM = {"ContributingEquipmentSequence"}
_REQUEST = {"RequestAttributesSequence", "ReferencedRequestSequence"}
_DERIVED = {"SOPInstanceUID", "SeriesInstanceUID", "DimensionOrganizationSequence", "DimensionIndexSequence"}
_CLOCK = {
    f"{name}{form}"
    for name in ("InstanceCreation", "Series", "Content", "PresentationCreation", "StructureSet")
    for form in ("Date", "Time")
} | {"DateOfSecondaryCapture", "TimeOfSecondaryCapture"}
_CONFIGURED = {"SeriesNumber", "SeriesDescription"}
_RULE = {"ContentQualification"}
_IMAGES = {
    "FrameOfReferenceUID",
    "PatientOrientation",
    "SourceImageSequence",
    "ReferencedSeriesSequence",
    "CurrentRequestedProcedureEvidenceSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "SoftcopyVOILUTSequence",
    "PresentationLUTShape",
    "DisplayedAreaSelectionSequence",
    "ReferencedFrameOfReferenceSequence",
    "SourceInstanceSequence",
}
_OWN_WORDS = {
    "Modality": "the SOP class; of SC OT, or with `sc_modality: source` that of the images",
    "SpecificCharacterSet": "ISO_IR 192, or with `character_set: source` that of the images (section 6)",
    "LossyImageCompression": "SC (where it is 01) and SEG: images that were analysed; PM: always 00",
    "BurnedInAnnotation": "SC: images that were analysed, absent where they do not all say it; PM: NO; PDF: YES",
    "Laterality": "images that were analysed; absent where Body Part Examined is not paired",
    "BodyPartExamined": "images that were analysed, where the part is not paired",
}
"""Attributes whose source depends on the object."""
_SOMETIMES = {"LossyImageCompression": ("sc",), "BurnedInAnnotation": ("sc",), "BodyPartExamined": ("sc", "pm", "pr")}
"""What only some objects of a kind have."""
_RESULT = {
    "ContentSequence",
    "PixelData",
    "FloatPixelData",
    "SegmentSequence",
    "GraphicAnnotationSequence",
    "StructureSetROISequence",
    "ROIContourSequence",
    "RTROIObservationsSequence",
    "EncapsulatedDocument",
    "EncapsulatedDocumentLength",
    "DocumentTitle",
    "CompletionFlag",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
}


def _source(keyword: str) -> str:
    if keyword in _OWN_WORDS:
        return _OWN_WORDS[keyword]
    for names, text in (
        (COPIED, "image: copied"),
        (_REQUEST, "image: its request attributes"),
        (_ALGORITHM, "manifest of the algorithm; the node"),
        (_DERIVED, "derived from the job and the destination's profile"),
        (_CLOCK, "when the result was made"),
        (_CONFIGURED, "configuration of the destination; the marking comes first"),
        (_RULE, "mode of the rule"),
        (_IMAGES, "images that were analysed"),
        (_RESULT, "result of the algorithm"),
    ):
        if keyword in names:
            return text
    return "the node"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    return "\n".join([_row(head), _row("---" for _ in head), *(_row(row) for row in rows)])


def _result_classes() -> str:
    return _table(("SOP class", "UID", "Role"), ((UID(uid).name, uid, "SCU") for uid in RESULT_CLASSES.values()))


def _transfer_syntaxes() -> str:
    rows = [(UID(uid).name, uid, "lossless") for uid in LOSSLESS] + [(UID(uid).name, uid, "lossy") for uid in LOSSY]
    return _table(("Transfer syntax, in the order in which one is chosen", "UID", ""), rows)


def _limits() -> str:
    sent = ", ".join(UID(uid).name for uid in (*UNCOMPRESSED, *COMPRESSED))
    return "\n".join(
        [
            f"- Implementation Class UID: {IMPLEMENTATION_CLASS_UID}",
            f"- Implementation Version Name: {IMPLEMENTATION_VERSION_NAME}",
            f"- Maximum length of a PDU received: {MAXIMUM_LENGTH} bytes; one sent: what the peer states",
            f"- Presentation contexts in one association as SCU: at most {MAXIMUM_CONTEXTS}",
            f"- Transfer syntaxes of results: {sent}, as the destination's `transfer_syntax` says and as it accepts",
        ]
    )


def _statuses(kind: type[IntEnum], title: str) -> str:
    """Members of an enumeration, with what stands below each."""
    said = dict(re.findall(r'^    (\w+) = .+\n    """(.+)"""', inspect.getsource(kind), flags=re.MULTILINE))
    return _table((title, "Meaning"), ((f"{each:04X}H", said[each.name]) for each in kind))


def _answers() -> str:
    """What a C-STORE response of the peer means, by the first of each range of equal meaning."""
    said = dict(re.findall(r'^    (\w+) = .+\n    """(.+)"""', inspect.getsource(AnswerReading), flags=re.MULTILINE))
    rows: list[list[int | AnswerReading]] = []
    for status in range(0x10000):
        meaning = read_store_status(status)
        if rows and rows[-1][2] is meaning:
            rows[-1][1] = status
        else:
            rows.append([status, status, meaning])
    return _table(
        ("Status of the response", "Meaning"),
        (
            (f"{first:04X}H" if first == last else f"{first:04X}H to {last:04X}H", said[meaning.name])
            for first, last, meaning in rows
        ),
    )


def _extended() -> str:
    """Attributes of the root that the IOD of their object does not list."""
    with tempfile.TemporaryDirectory() as folder:
        made = _sample(Path(folder))
    rows = []
    for kind in _KINDS:
        iod = get_sop_class_iod_map()[str(made[kind].SOPClassUID)]
        known = {
            attribute["keyword"]
            for module in get_iod_module_map()[iod]
            for attribute in get_module_attribute_map()[module["key"]]
            if not attribute["path"]
        }
        names = [dictionary_description(element.tag) for element in made[kind] if element.keyword not in known]
        rows.append((kind.upper(), ", ".join(names) or "none"))
    return _table(("Object", "Standard attributes beyond its IOD"), rows)


def _sample(folder: Path) -> dict[str, Dataset]:
    paths = reports.write_series("ct", folder / "in")
    profile = EncodingProfile(kinds=frozenset(_KINDS))
    made = {}  # type: ignore[var-annotated]
    written = replace(reports.measured(), documents=(PdfDocument(b"%PDF-1.7\n%%EOF\n", "Report"),))
    results = (reports.mapped(reports.reference("ct")), reports.segmented(reports.frames("ct")), written)
    for number, result in enumerate(results):
        for one in encode(reports.request(paths, result, profile=profile), folder / str(number)):
            made.setdefault(one.kind, dcmread(one.path))
    return {kind: made[kind] for kind in _KINDS}


def _attributes() -> str:
    with tempfile.TemporaryDirectory() as folder:
        made = _sample(Path(folder))
    keywords = {element.keyword: element.tag for dataset in made.values() for element in dataset}
    keywords |= {keyword: tag_for_keyword(keyword) for keyword in (*COPIED, *_SOMETIMES)}  # where the image has them
    rows = []
    for keyword, tag in sorted(keywords.items(), key=lambda each: each[1]):
        others = _KINDS if keyword in COPIED else _SOMETIMES.get(keyword, ())
        marks = ["•" if keyword in made[kind] else "○" if kind in others else "" for kind in _KINDS]
        rows.append([f"({tag >> 16:04X},{tag & 0xFFFF:04X})", dictionary_description(tag), *marks, _source(keyword)])
    return _table(("Tag", "Attribute", *(kind.upper() for kind in _KINDS), "Source"), rows)


_CONSEQUENCES = {
    FailureReading.SEND_AGAIN: f"Sent again under its UID and asked for again, {resends.MOST} times; then refused",
    FailureReading.ASK_AGAIN: "Asked for again, with the destination's back-off",
    FailureReading.TELL: "Refused: an alert at once, and asked for every six hours",
}


def _failures() -> str:
    """What follows from a Failure Reason that a destination gives for what we have sent."""
    named = [0x0110, 0x0112, 0x0119, 0x0122, 0x0131, 0x0213]
    rows = [(f"{each:04X}H", _CONSEQUENCES[read_failure_reason(each)]) for each in named]
    return _table(("Failure Reason", "What the node does"), [*rows, ("others", _CONSEQUENCES[read_failure_reason(1)])])


def _private_codes() -> str:
    found = {
        value.value: value.meaning
        for name, value in vars(our_codes).items()
        if name.isupper() and getattr(value, "scheme_designator", "") == our_codes.SCHEME
    }
    return _table(("Code value", "Code meaning"), sorted(found.items()))


def _ai_results() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return _table(("AIR asks for", "", "Found in what the node wrote"), air.rows(air.encoded(Path(folder))))


PARTS: dict[str, Callable[[], str]] = {
    "result classes": _result_classes,
    "transfer syntaxes": _transfer_syntaxes,
    "limits": _limits,
    "store statuses": lambda: _statuses(StoreStatus, "Status of the response"),
    "store answers": _answers,
    "extended": _extended,
    "action statuses": lambda: _statuses(ActionStatus, "Status of the response"),
    "failure reasons": lambda: _statuses(FailureReason, "Failure Reason"),
    "readings of failure reasons": _failures,
    "attributes": _attributes,
    "private codes": _private_codes,
    "ai results": _ai_results,
}


def current(text: str) -> str:
    """The document with its generated parts as they are now."""
    for name, make in PARTS.items():
        start, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
        if text.count(start) != 1:
            raise ValueError(f"docs/conformance.md: {text.count(start)} places for the generated part {name!r}")
        before, rest = text.split(start)
        text = f"{before}{start}{make()}\n{rest[rest.index(end) :]}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(current(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
