"""The DICOM data dictionary as the rules see it."""

from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes

from node.config.dictionary import DataDictionary, modalities

DICTIONARY = DataDictionary()


@pytest.mark.parametrize(
    ("keyword", "vr", "multiple"),
    [
        ("Modality", "CS", False),
        ("SliceThickness", "DS", False),
        ("ImageType", "CS", True),
        ("SmallestImagePixelValue", "US or SS", False),
        ("Modalty", None, False),
    ],
)
def test_value_representation_and_multiplicity(keyword: str, vr: str | None, multiple: bool) -> None:
    """As PS3.6 has them; an unknown keyword has neither."""
    assert (DICTIONARY.vr(keyword), DICTIONARY.multiple(keyword)) == (vr, multiple)


def test_a_public_tag_has_its_keyword_and_another_none() -> None:
    """(0018,0050) is SliceThickness; a private tag has no keyword."""
    assert DICTIONARY.keyword(0x0018, 0x0050) == "SliceThickness"
    assert DICTIONARY.keyword(0x0029, 0x1010) is None


def test_the_modalities_hold_all_of_the_standards_context_group() -> None:
    """CID 33 (PS3.16), as pydicom has it."""
    assert {str(getattr(codes.cid33, name).value) for name in codes.cid33.dir()} <= set(modalities())


def test_only_closed_vocabularies_have_terms() -> None:
    """Body parts and descriptions are free; sides are not."""
    assert DICTIONARY.terms("BodyPartExamined") is None
    assert set(DICTIONARY.terms("ImageLaterality") or ()) == {"R", "L", "U", "B"}
