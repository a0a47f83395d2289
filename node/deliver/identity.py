"""Is it still the same patient? Asked of the destination before anything is sent.

Between the images' arrival and the result's delivery the PACS may have merged the patient, corrected
the ID or moved the study to another order. A result under the old identity would then make a study of
its own, or worse, sit in the wrong patient's folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from node.ledger.identities import IdentityStatus

KEYWORDS = ("PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyInstanceUID")
"""What is asked for, and compared (PS3.4 C.6.2.1, Study Root, study level)."""


@dataclass(frozen=True, slots=True)
class IdentityVerdict:
    """What a destination's answers mean. Names of attributes, never their values."""

    status: IdentityStatus
    detail: str = ""
    """Attributes that differ, or that the destination does not state."""
    unstated: str = ""
    """Those of them that it does not state at all."""
    ours: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What was compared, where it differs: for a person who decides, never for the log."""
    theirs: tuple[Mapping[str, str], ...] = field(default=(), compare=False)

    def reason(self, destination: str) -> str:
        """Why nothing is sent there, for a person."""
        if not self.unstated:
            return f"{destination} has this study under another {self.detail}"
        others = [each for each in self.detail.split(", ") if each not in self.unstated.split(", ")]
        differs = f", and has it under another {', '.join(others)}" if others else ""
        return f"{destination} states no {self.unstated} for this study, which cannot be compared{differs}"


def compare(ours: Mapping[str, str], answers: Sequence[Mapping[str, str]]) -> IdentityVerdict:
    """Hold the destination's study-level answers against what our object says.

    Patient ID and Accession Number must be equal, each of their values (leading and trailing spaces do not count,
    PS3.5 6.2). The issuer is compared where both sides state one: many archives do not return it.
    """
    study = ours["StudyInstanceUID"].strip()
    same_study = [answer for answer in answers if answer.get("StudyInstanceUID", "").strip() == study]
    if not same_study:
        return IdentityVerdict(IdentityStatus.ABSENT)
    different = sorted({keyword for answer in same_study for keyword in _differences(ours, answer)})
    if not different:
        return IdentityVerdict(IdentityStatus.AGREES)
    unstated = [keyword for keyword in different if not any(_values(answer, keyword) for answer in same_study)]
    both = dict(ours), tuple(dict(answer) for answer in same_study)
    return IdentityVerdict(IdentityStatus.DIFFERS, ", ".join(different), ", ".join(unstated), *both)


def _differences(ours: Mapping[str, str], answer: Mapping[str, str]) -> list[str]:
    different = [
        keyword for keyword in ("PatientID", "AccessionNumber") if _values(ours, keyword) != _values(answer, keyword)
    ]
    issuers = {_values(source, "IssuerOfPatientID") for source in (ours, answer)} - {()}
    return different + (["IssuerOfPatientID"] if len(issuers) > 1 else [])


def _values(source: Mapping[str, str], keyword: str) -> tuple[str, ...]:
    """The values of an attribute without their padding; none where all are empty."""
    values = tuple(value.strip() for value in source.get(keyword, "").split("\\"))
    return values if any(values) else ()
