"""The DICOM data dictionary as the rules see it."""

from __future__ import annotations

import pytest
from pydicom import datadict
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


def test_it_is_the_table_of_pydicom_to_the_last_attribute() -> None:
    """The file is loaded beside the package: what is found there is what the package says of every keyword."""
    assert set(DICTIONARY.keywords()) == set(datadict.keyword_dict)
    for keyword, tag in datadict.keyword_dict.items():
        assert DICTIONARY.vr(keyword) == datadict.dictionary_VR(tag)
        assert DICTIONARY.multiple(keyword) == (datadict.dictionary_VM(tag) != "1")
        assert (DICTIONARY.keyword(tag >> 16, tag & 0xFFFF) or "") == keyword
