"""Images that come again after retention removed them: are they still of the patient and order that they were of?

The file is gone that they could be compared with, and so is its row. What the ledger has kept is the header, as rules
see it, and of each purge whose images they were. So pixels are not compared; patient and order are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from node.index.alike import plain
from node.index.compare import is_other_patient
from node.index.fingerprint import ORDER, PATIENT
from node.index.header import HeaderReading
from node.ledger import gone_images, purges
from node.ledger.database import Database
from node.ledger.facts import Header
from node.ledger.gone_images import GoneImage
from node.ledger.purges import Purge
from node.ledger.rows import to_json

_ISSUER = "IssuerOfPatientID"


class GoneStudies:
    """What is known of removed images of the studies of one batch; read once for each study."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._going = {each.study_instance_uid: each for each in purges.under_way(database)}
        self._images: dict[str, Mapping[str, GoneImage]] = {}

    def is_going(self, study: str | None, receipt: str) -> bool:
        """Whether a receipt is among those that are being removed just now: it is as good as gone."""
        purge: Purge | None = self._going.get(study or "")
        return purge is not None and receipt <= purge.up_to

    def differences(self, reading: HeaderReading) -> list[str] | None:
        """Of a SOP instance that is gone: in which attributes of patient and order it differs; None of any other."""
        known = self._of(reading.study_instance_uid).get(reading.sop_instance_uid)
        return None if known is None else differing(known.header, reading.header)

    def is_left_over(self, reading: HeaderReading) -> bool:
        """Whether it is a file that was to be removed and was left behind: its row is gone, under this very receipt."""
        known = self._of(reading.study_instance_uid).get(reading.sop_instance_uid)
        return known is not None and known.receipt == reading.receipt

    def witness(self, study: str) -> Mapping[str, Any] | None:
        """What to compare others of the study with, where none of its images is here."""
        return gone_images.witness(self._database, study)

    def other_patient(self, reading: HeaderReading) -> list[str]:
        """Why it is of another patient than the images that are gone; empty where it may be of the same."""
        known = self.witness(reading.study_instance_uid)
        if known is None or "patient" not in known or not (found := is_other_patient(known, reading.comparison)):
            return []
        first = next(iter(self._of(reading.study_instance_uid).values()), None)
        if first is None:
            return found
        alike = [keyword for keyword in found if _values(first.header, keyword) == _values(reading.header, keyword)]
        return is_other_patient(known, reading.comparison, alike)

    def _of(self, study: str) -> Mapping[str, GoneImage]:
        if study not in self._images:
            self._images[study] = gone_images.images(self._database, study, (*PATIENT, *ORDER))
        return self._images[study]


def differing(known: Header, new: Header) -> list[str]:
    """Attributes of patient and order that mean something else; an issuer that only one of them states does not."""
    found = [keyword for keyword in (*PATIENT, *ORDER) if _values(known, keyword) != _values(new, keyword)]
    stated = all(_values(each, _ISSUER) != "[]" for each in (known, new))
    return [keyword for keyword in found if keyword != _ISSUER or stated]


def _values(header: Header, keyword: str) -> str:
    """The values of an attribute in a form in which equal ones are equal."""
    return to_json(_plain(*header.get(keyword, ["", []])[:2]))


def _plain(vr: str, values: Sequence[Any]) -> list[Any]:
    """Of a sequence, the attributes of its items that have a value."""
    if vr != "SQ":
        return plain(vr, values)
    items = [{name: same for name, (vr, found, *_) in item.items() if (same := _plain(vr, found))} for item in values]
    return [item for item in items if item]
