"""Findings without a region as items of Qualitative Evaluations, for OHIF (PS3.16 TID 1500 rows 12 to 14)."""

from __future__ import annotations

from highdicom.sr import CodeContentItem, CodedConcept, ContentItem, ContentSequence
from pydicom.sr.codedict import codes

from node.results import codes as our_codes
from plugins.contract import Finding


def as_evaluation(group: ContentItem, finding: Finding) -> CodeContentItem:
    """A group as one CODE item with all that the group holds: "Pneumothorax: Absent", or "Finding: Lung density".

    Its numbers, texts, references and tracking become properties of the item (PS3.3 Tables A.35.2-2 and A.35.3-2 allow
    them below a CODE); site and algorithm keep their relationships.
    """
    if finding.present is None:
        name, value = codes.DCM.Finding, our_codes.concept(finding.code)
    else:
        name = our_codes.concept(finding.code)
        value = CodedConcept.from_code(codes.SCT.Present if finding.present else codes.SCT.Absent)
    item = CodeContentItem(name, value, relationship_type="CONTAINS")
    item.ContentSequence = ContentSequence()
    for child in group.ContentSequence:
        if _is_said_by(item, child):
            continue
        # Enhanced SR has no observation context below a CODE.
        if child.RelationshipType in ("CONTAINS", "HAS OBS CONTEXT"):
            child.RelationshipType = "HAS PROPERTIES"
        item.ContentSequence.append(child)
    return item


def _is_said_by(item: CodeContentItem, child: ContentItem) -> bool:
    """Whether it says what the item itself says: what was found, and whether."""
    if child.ValueType != "CODE" or child.RelationshipType != "CONTAINS":
        return False
    return child.name == codes.DCM.Finding or (child.name, child.value) == (item.name, item.value)
