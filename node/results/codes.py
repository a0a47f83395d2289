"""Coded concepts of our reports: the Standard's by name, our private ones declared once (PS3.16; PS3.3 C.12.1.1.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as StandardCode
from pydicom.tag import BaseTag

from node.reading import codes as reading
from plugins.contract import Code, Score, Unit

SCHEME = reading.SCHEME
_DESIGNATOR = BaseTag(0x00080102)


def _private(value: str, meaning: str) -> CodedConcept:
    return CodedConcept(value, SCHEME, meaning)


def _item(code: StandardCode) -> CodedConcept:
    return CodedConcept(code.value, code.scheme_designator, code.meaning)


TITLE = _private("AIRESULT", "AI result")
"""Of a report without regions, for OHIF (`node.results.report.sr`)."""
MARKING = _item(reading.MARKING)
ASKED = _private("ASKED", "Question put to the AI")
LIMIT = _item(reading.LIMIT)
REASON = _item(reading.REASON)
IMAGES_COMPLETE = _private("IMAGESCOMPLETE", "Images complete at")
RESULT_MADE = _private("RESULTMADE", "Result made at")
SUPERSEDES = _private("SUPERSEDES", "Supersedes")
COMPUTED_FROM = _private("COMPUTEDFROM", "Computed from")
DOCUMENT = _private("AIDOCUMENT", "Document of AI software, not verified")
NUMBER = _item(reading.NUMBER)
AGAINST_THRESHOLD = _item(reading.AGAINST_THRESHOLD)
POSITION = _private("POSITION", "Position in patient coordinates")

KEY_IMAGE = _item(reading.KEY_IMAGE)
HEAT_MAP = _private("HEATMAP", "Heat map")
RETURNED = _private("RETURNED", "Object that the program made itself")
NOT_SENT = _private("NOTSENT", "Part of the result that is not sent")

QUALITATIVE_EVALUATIONS = _item(reading.QUALITATIVE_EVALUATIONS)

PROCEDURES = {
    "CT": codes.LN.CTUnspecifiedBodyRegion,
    "MR": codes.LN.MRIUnspecifiedBodyRegion,
    "PT": codes.LN.PETUnspecifiedBodyRegion,
    "NM": codes.LN.NMUnspecifiedBodyRegion,
}
"""(121058, DCM, "Procedure reported") by modality, from CID 100. The images' own procedure code stays in the header:
validators call any code from outside CID 100 an error here."""


def concept(code: Code) -> CodedConcept:
    """A plugin's code as a code sequence item."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def unit(value: Unit) -> CodedConcept:
    """A UCUM unit as a code sequence item."""
    return CodedConcept(value.code, "UCUM", value.meaning)


def score_concept(score: Score) -> CodedConcept:
    """The coded concept of a score; where none exists, a private one that follows from its meaning."""
    if score.concept is not None:
        return concept(score.concept)
    return _private("S" + hashlib.sha256(score.meaning.encode()).hexdigest()[:12].upper(), score.meaning)


def _designators(dataset: Dataset) -> Iterator[str]:
    if _DESIGNATOR in dataset:
        yield str(dataset[_DESIGNATOR].value)
    for element in dataset.values():
        if element.VR == "SQ":
            for item in dataset[element.tag].value:
                yield from _designators(item)


def declare_schemes(dataset: Dataset, algorithm_manufacturer: str) -> None:
    """Set Coding Scheme Identification Sequence for every private scheme that `dataset` uses."""
    items = []
    for designator in sorted({name for name in _designators(dataset) if name.startswith("99")}):
        item = Dataset()
        item.CodingSchemeDesignator = designator
        ours = designator == SCHEME
        item.CodingSchemeName = "pacsnode: concepts of AI reports" if ours else f"Private codes {designator}"
        item.CodingSchemeResponsibleOrganization = "pacsnode" if ours else algorithm_manufacturer
        items.append(item)
    if items:
        dataset.CodingSchemeIdentificationSequence = items
