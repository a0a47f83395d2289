"""Which of an archive's studies is wanted: pure functions of what it answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STUDY_KEYWORDS = (
    "PatientID",
    "IssuerOfPatientID",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "ModalitiesInStudy",
)
SERIES_KEYWORDS = ("Modality", "BodyPartExamined", "NumberOfSeriesRelatedInstances")
Answer = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PriorCriteria:
    """What an earlier study has to be like; JSON-able by `dataclasses.asdict`."""

    earliest: str
    """Study Date, YYYYMMDD; the latest is that of the study itself."""
    latest: str
    modalities: Sequence[str]
    """A series has to be of one of these; of any where none is named."""
    body_parts: Sequence[str]
    descriptions: Sequence[str]
    """Its Study Description has to fit one of these patterns; any where none is named."""

    def keys(self, patient_id: str) -> dict[str, str]:
        """Matching keys of the C-FIND (PS3.4 C.2.2.2: single value, range)."""
        return {"PatientID": patient_id, "StudyDate": f"{self.earliest}-{self.latest}"}


def candidates(
    answers: Iterable[Answer], wanted: PriorCriteria, *, study: str, patient_id: str, issuer: str
) -> list[Answer]:
    """The studies that will do as far as study level says, newest first.

    An archive may match more loosely than it was asked to: everything is looked at again. The issuer counts where both
    sides state one.
    """
    found = [
        answer
        for answer in answers
        if answer["StudyInstanceUID"] not in ("", study)
        and answer["PatientID"].strip() == patient_id.strip()
        and len({issuer.strip(), answer["IssuerOfPatientID"].strip()} - {""}) <= 1
        and wanted.earliest <= answer["StudyDate"].strip() <= wanted.latest
        and _fits(answer["StudyDescription"], wanted.descriptions)
        and _among(answer["ModalitiesInStudy"].split("\\"), wanted.modalities)
    ]
    return sorted(found, key=lambda answer: (answer["StudyDate"], answer["StudyTime"]), reverse=True)


def series_of(answers: Iterable[Answer], wanted: PriorCriteria) -> list[str]:
    """UIDs of the series of a study that will do."""
    return [
        answer["SeriesInstanceUID"]
        for answer in answers
        if answer["SeriesInstanceUID"]
        and _among([answer["Modality"]], wanted.modalities)
        and _among([answer["BodyPartExamined"]], wanted.body_parts)
    ]


def _among(values: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether one of them is wanted; what the archive does not say is no reason against."""
    stated = {value.strip().upper() for value in values} - {""}
    return not wanted or not stated or bool(stated & {each.upper() for each in wanted})


def _fits(text: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text.strip(), re.IGNORECASE) for pattern in patterns
    )


def wanted_of(plain: Mapping[str, Any]) -> PriorCriteria:
    """As the ledger keeps it."""
    return PriorCriteria(**plain)
