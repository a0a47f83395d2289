"""What a header says of its study, for those who search for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.dicom.values import first_text
from node.ledger.studies import Description

_KEYWORDS = ("PatientName", "StudyDate", "StudyTime", "StudyDescription")


def description(header: Mapping[str, Any], modalities: frozenset[str] = frozenset()) -> Description:
    """The study's own attributes, with the modalities of the series that came."""
    name, date, time, text = (first_text(header, keyword) for keyword in _KEYWORDS)
    return Description(name, date, time, text, modalities)
