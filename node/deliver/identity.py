"""Is it still the same patient? Asked of the destination before anything is sent.

Between the images' arrival and the result's delivery the PACS may have merged the patient, corrected
the ID or moved the study to another order. A result under the old identity would then make a study of
its own, or worse, sit in the wrong patient's folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.ledger.identities import IdentityStatus

KEYWORDS = ("PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyInstanceUID")
"""What is asked for, and compared (PS3.4 C.6.2.1, Study Root, study level)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the destination's answer means, and which attributes differ (never their values)."""

    status: IdentityStatus
    detail: str = ""


def compare(ours: Mapping[str, str], answers: Sequence[Mapping[str, str]]) -> Verdict:
    """Hold the destination's study-level answers against what our object says.

    Patient ID and Accession Number must be equal (leading and trailing spaces do not count, PS3.5
    6.2). The issuer is compared where both sides state one: many archives do not return it.
    """
    study = ours["StudyInstanceUID"].strip()
    same_study = [answer for answer in answers if answer.get("StudyInstanceUID", "").strip() == study]
    if not same_study:
        return Verdict(IdentityStatus.ABSENT)
    different = sorted({keyword for answer in same_study for keyword in _differences(ours, answer)})
    if different:
        return Verdict(IdentityStatus.DIFFERS, ", ".join(different))
    return Verdict(IdentityStatus.AGREES)


def _differences(ours: Mapping[str, str], answer: Mapping[str, str]) -> list[str]:
    different = [
        keyword
        for keyword in ("PatientID", "AccessionNumber")
        if ours.get(keyword, "").strip() != answer.get(keyword, "").strip()
    ]
    issuers = {source.get("IssuerOfPatientID", "").strip() for source in (ours, answer)} - {""}
    return different + (["IssuerOfPatientID"] if len(issuers) > 1 else [])
