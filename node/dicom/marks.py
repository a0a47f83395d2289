"""Marks that follow from the header of an instance."""

from __future__ import annotations

from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, MPEGTransferSyntaxes

from node.dicom.values import Converter, Header, first_text
from rules.facts import CUT_HEADER, LOSSY, MISSING_PATIENT_ID, UNDECODABLE_TEXT

SURELY_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, *MPEGTransferSyntaxes})
"""Transfer syntaxes of images that are lossy whatever their header says."""


def of_header(header: Header, converter: Converter, transfer_syntax_uid: str) -> dict[str, str]:
    """Mark → reason; `converter` is the one that read the header."""
    marks = {}
    if converter.left_out:
        marks[CUT_HEADER] = "attributes beyond the first ones were left out"
    if converter.undecodable:
        marks[UNDECODABLE_TEXT] = ", ".join(converter.undecodable)
    if not first_text(header, "PatientID"):
        marks[MISSING_PATIENT_ID] = "PatientID is absent or empty"
    if first_text(header, "LossyImageCompression") == "01" or transfer_syntax_uid in SURELY_LOSSY:
        marks[LOSSY] = "LossyImageCompression is 01, or the transfer syntax is a lossy one"
    return marks
