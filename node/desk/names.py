"""What people call a study: its accession number, else its date, and its modalities: nobody knows a UID by heart."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from node.desk.words import tail
from node.ledger import studies
from node.ledger.database import Database

_END = 8
"""Characters of a UID that tell apart two studies of one day."""


@dataclass(frozen=True, slots=True)
class StudyName:
    """What people call a study."""

    study_instance_uid: str
    accession: str = ""
    modalities: str = ""
    """`CT`, `MR+SR`."""
    date: str = ""
    """Study Date, as DICOM writes it."""

    def __str__(self) -> str:
        """`20260302-0017 CT`; without accession number `2026-03-02 CT …1.23.45`; without a date `…4.55.1.23.45 CT`."""
        if self.accession:
            return f"{self.accession} {self.modalities}".rstrip()
        if len(self.date) == len("20260302") and self.date.isdecimal():
            day = f"{self.date[:4]}-{self.date[4:6]}-{self.date[6:]}"
            return " ".join(part for part in (day, self.modalities, tail(self.study_instance_uid, _END)) if part)
        return f"{tail(self.study_instance_uid)} {self.modalities}".rstrip()


def of(database: Database, uids: Collection[str]) -> dict[str, StudyName]:
    """Their names, by UID; a study that has no row is named by its UID."""
    known = studies.labels(database, uids)
    return {uid: StudyName(uid, *known.get(uid, ())) for uid in uids}
