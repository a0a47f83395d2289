"""One SOP Instance UID, received twice: a duplicate, a correction, or a conflict (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from node.index.fingerprint import DEPENDS_ON_SYNTAX


class RepeatKind(StrEnum):
    """What a second receipt of a SOP instance is."""

    DUPLICATE = "duplicate"
    """The same instance: kept, not looked at again."""
    CORRECTION = "correction"
    """The same image of what is now said to be another patient or order."""
    CONFLICT = "conflict"
    """Another image, or another object, under a UID that is taken."""


@dataclass(frozen=True, slots=True)
class RepeatComparison:
    """The verdict, and which attributes differ: their keywords, never their values."""

    verdict: RepeatKind
    differences: tuple[str, ...] = ()


def needs_decoding(existing: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether only decoding can tell if the pixels are the same: they differ as encoded, and one is compressed."""
    if existing["pixels"] == new["pixels"] or not existing["pixels"] or not new["pixels"]:
        return False
    return existing["encoding"] != new["encoding"] or not existing["encoding"].startswith("native")


def compare(
    existing: Mapping[str, Any],
    new: Mapping[str, Any],
    decoded_equal: bool | None = None,
    in_form: Collection[str] = (),
) -> RepeatComparison:
    """Hold two fingerprints (`fingerprint.fingerprint`) against each other.

    `decoded_equal`: what decoding said where `needs_decoding`; None where it could not be decoded,
    which counts as different. `in_form`: differences that change no meaning (`alike`): recorded, and nothing more.
    """
    pixels = existing["pixels"] == new["pixels"] or (needs_decoding(existing, new) and bool(decoded_equal))
    image = _different(existing["image"], new["image"])
    if existing["encoding"] != new["encoding"]:
        image = [keyword for keyword in image if keyword not in DEPENDS_ON_SYNTAX]
    firm = [*_different(existing["uids"], new["uids"]), *image, *([] if pixels else ["PixelData"])]
    whose = [*patient_differences(existing, new), *_different(existing["order"], new["order"])]
    rest = [] if existing["rest"] == new["rest"] else [OTHER]
    form = [keyword for keyword in (*firm, *whose, *rest) if keyword in in_form]
    firm, whose = _without(firm, form), _without(whose, form)
    if not existing["pixels"] and _without(
        rest, form
    ):  # a report is what its content says: nothing about it is a detail
        return RepeatComparison(RepeatKind.CONFLICT, (*firm, *whose, *_without(rest, form)))
    if firm:
        return RepeatComparison(RepeatKind.CONFLICT, (*firm, *whose, *_without(rest, form)))
    if whose:
        return RepeatComparison(RepeatKind.CORRECTION, (*whose, *_without(rest, form)))
    return RepeatComparison(RepeatKind.DUPLICATE, tuple(dict.fromkeys((*form, *rest))))


OTHER = "other attributes"
"""Stands among differences for all that is neither patient nor order, UID, image or geometry."""


def patient_differences(existing: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Attributes of the patient that differ; an issuer that only one of them states is no difference."""
    one, other = existing["patient"], new["patient"]
    different = _different(one, other)
    stated_twice = "IssuerOfPatientID" in one and "IssuerOfPatientID" in other
    return [keyword for keyword in different if keyword != "IssuerOfPatientID" or stated_twice]


def is_other_patient(existing: Mapping[str, Any], new: Mapping[str, Any], in_form: Collection[str] = ()) -> list[str]:
    """Why two instances of one study are of different patients, as keywords; empty where they may be of one.

    Patient ID and issuer decide where both instances state them, and under one ID a name and a birth
    date that both differ do; a mere difference in spelling does not. Where one has no ID, a name or a
    birth date that both state and that differs is enough. `in_form` as in `compare`.
    """
    one, other = existing["patient"], new["patient"]
    both = [keyword for keyword in one if keyword in other and one[keyword] != other[keyword]]
    both = _without(both, in_form)
    named = [keyword for keyword in both if keyword in ("PatientName", "PatientBirthDate")]
    if "PatientID" in one and "PatientID" in other:
        identified = [keyword for keyword in both if keyword in ("PatientID", "IssuerOfPatientID")]
        return identified or (named if len(named) == 2 else [])
    return named


def _without(keywords: Iterable[str], others: Collection[str]) -> list[str]:
    return [keyword for keyword in keywords if keyword not in others]


def _different(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [keyword for keyword in sorted({*one, *other}) if one.get(keyword) != other.get(keyword)]
