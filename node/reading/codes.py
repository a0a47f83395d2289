"""The coded concepts of our reports that say more than a text of the Standard does, by name (PS3.16).

Plain codes: `node.results.codes` has the items that reports are made of.
"""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as StandardCode

from plugins.contract import NoValue, ResultStatus

SCHEME = "99PACSNODE"
_UCUM_SHOWN = {"[hnsf'U]": "HU", "1": "", "{score}": "", "mm[Hg]": "mmHg"}

MARKING = StandardCode("MARKING", SCHEME, "Status of this AI result")
LIMIT = StandardCode("LIMIT", SCHEME, "Limit of the analysis")
REASON = StandardCode("REASON", SCHEME, "Reason for not analysed")
NUMBER = StandardCode("NUMBER", SCHEME, "Number of the finding")
AGAINST_THRESHOLD = StandardCode("AGAINSTTHRESHOLD", SCHEME, "Score against the threshold")
KEY_IMAGE = StandardCode("KEYIMAGE", SCHEME, "Key image")
QUALITATIVE_EVALUATIONS = StandardCode("C0034375", "UMLS", "Qualitative Evaluations")

NO_VALUE = {
    NoValue.CANNOT_BE_COMPUTED: codes.DCM.MeasurementFailure,
    NoValue.NOT_ATTEMPTED: codes.DCM.MeasurementNotAttempted,
}

# For an end without an answer CID 6042 is used: the words of (111245, DCM), "No algorithms succeeded;
# without findings", can be read as a negative.
SUMMARY = {
    ResultStatus.FINDINGS: codes.DCM.AllAlgorithmsSucceededWithFindings,
    ResultStatus.NO_FINDINGS: codes.DCM.AllAlgorithmsSucceededWithoutFindings,
    ResultStatus.NOT_APPLICABLE: codes.DCM.NotAttempted,
    ResultStatus.FAILED: codes.DCM.Failed,
}


def unit_text(code: str) -> str:
    """A UCUM unit as people write it, in ASCII; empty where a number needs none."""
    return _UCUM_SHOWN.get(code, code)
