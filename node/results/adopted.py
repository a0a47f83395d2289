"""The patient and order under which a destination has a study, where that is not what the images say.

It is written over a copy of the images' header before anything is copied from there, so that it is held to the same
rules as what images say (`node.results.source.copying`), by the gate, too. What belonged to the other patient or order
alone is left out: another issuer's qualifiers, other IDs of that patient, the request that the images answered.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom import Dataset

from node.results.source.copying import readable

_OF_PATIENT = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
_OF_THE_OTHER_PATIENT = (
    "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientComments",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
)
_OF_THE_OTHER_ORDER = ("IssuerOfAccessionNumberSequence", "RequestAttributesSequence")


@dataclass(frozen=True, slots=True)
class AdoptedIdentity:
    """One adoption of the ledger (`node.ledger.adoptions`), as the encoder needs it."""

    number: int
    """Of the study at this destination: the same identity adopted twice gives other UIDs."""
    attributes: tuple[tuple[str, str], ...]
    """Keyword and text, as the destination states them; what it does not state is not among them."""

    @classmethod
    def of(cls, number: int, identity: Mapping[str, str]) -> AdoptedIdentity:
        """Without what is empty, in a fixed order."""
        return cls(number, tuple(sorted((keyword, text) for keyword, text in identity.items() if text)))

    def to_json(self) -> str:
        """All of it as text; equal identities give equal texts."""
        return json.dumps({"number": self.number, "attributes": self.attributes}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> AdoptedIdentity:
        """What `to_json` wrote."""
        values = json.loads(text)
        return cls(values["number"], tuple((keyword, value) for keyword, value in values["attributes"]))

    def written_over(self, header: Dataset) -> tuple[Dataset, tuple[str, ...]]:
        """A copy of a header that says this, and what is changed in it: names of attributes, no values."""
        said = dict(self.attributes)
        changed = copy.deepcopy(header)
        told = []
        for keyword in self._left_out(header, said):
            if keyword in changed:
                del changed[keyword]
                told.append(f"{keyword}: left out: the destination has the study under another patient or order")
        for keyword in (*_OF_PATIENT, "AccessionNumber"):
            if keyword in said and str(readable(header, keyword) or "") != said[keyword]:
                setattr(changed, keyword, said[keyword])
                told.append(f"{keyword}: as the destination has it")
        return changed, tuple(told)

    def _left_out(self, header: Dataset, said: Mapping[str, str]) -> Iterator[str]:
        if str(readable(header, "PatientID") or "").strip() != said.get("PatientID", "").strip():
            yield from (keyword for keyword in _OF_PATIENT if keyword not in said)
            yield from _OF_THE_OTHER_PATIENT
        if str(readable(header, "AccessionNumber") or "").strip() != said.get("AccessionNumber", "").strip():
            yield from _OF_THE_OTHER_ORDER
