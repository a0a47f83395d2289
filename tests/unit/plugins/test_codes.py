"""`plugins.codes` says what the Standard's dictionary says, and the public face of the kit costs nothing to look at."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from highdicom.sr import CodedConcept
from pydicom.sr._concepts_dict import concepts

import plugins
from plugins import codes, contract
from plugins.coding import Code, Unit
from tests.support.shared_data import ROOT

CODES = {name: value for name, value in vars(codes).items() if isinstance(value, Code)}
UNITS = {name: value for name, value in vars(codes).items() if isinstance(value, Unit)}


def dictionary(scheme: Any) -> dict[str, set[str]]:
    """Code value → its meanings in the Standard."""
    found: dict[str, set[str]] = {}
    listed: Any = concepts
    for by_value in listed[scheme].values():
        for value, (meaning, _) in by_value.items():
            # SNOMED's fully specified names carry what kind of concept it is
            found.setdefault(value, set()).update({meaning, re.sub(r" \([a-z ]+\)$", "", meaning)})
    return found


@pytest.mark.parametrize("scheme", ["SCT", "DCM", "LN"])
def test_each_code_has_a_meaning_of_the_standard(scheme):
    """Value, scheme and meaning are one concept; those that the Standard does not list are named as such."""
    known = dictionary(scheme)
    wrong = {
        name: (code.value, code.meaning, known.get(code.value))
        for name, code in CODES.items()
        if code.scheme == scheme
        and code not in codes.OUTSIDE_OF_THE_STANDARD
        and code.meaning.lower()
        not in {each.lower() for each in known.get(code.value, ())} | OWN_WORDS.get(name, set())
    }
    assert wrong == {}


OWN_WORDS = {"TISSUE": {"tissue"}}
"""CID 7150 says "Tissue" where the dictionary has SNOMED's fully specified name."""


def test_codes_outside_of_the_standard_are_only_those():
    """One that the dictionary has leaves the list."""
    known = dictionary("SCT")
    assert [code for code in codes.OUTSIDE_OF_THE_STANDARD if code.value in known] == []


def test_no_concept_has_two_names_and_every_one_can_be_encoded():
    """A second name for one code would be a second way to say it; highdicom takes each."""
    by_concept: dict[tuple[str, str], list[str]] = {}
    for name, code in CODES.items():
        by_concept.setdefault((code.value, code.scheme), []).append(name)
        CodedConcept(code.value, code.scheme, code.meaning)
    assert [names for names in by_concept.values() if len(names) > 1] == []
    assert len({unit.code for unit in UNITS.values()}) == len(UNITS)
    assert all(unit.meaning != unit.code for unit in UNITS.values())


def test_the_public_face_has_what_authors_need_and_imports_nothing():
    """`import plugins` loads neither NumPy nor pydicom; each name is there when it is asked for."""
    program = (
        "import sys, plugins; assert not {'numpy', 'pydicom', 'plugins.contract'} & set(sys.modules); "
        "missing = [name for name in plugins.__all__ if not hasattr(plugins, name)]; assert not missing, missing; "
        "from plugins import Finding, codes, Volume; "
        "from plugins.contract import Finding as same; assert Finding is same; "
        "assert {'codes', 'Finding'} <= set(dir(plugins)); assert 'pydicom' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_name_that_the_kit_does_not_have_is_an_attribute_error():
    """With the nearest name, as Python's own modules have it."""
    with pytest.raises(AttributeError, match="Fnding"):
        _ = plugins.Fnding


def test_every_name_of_the_contract_is_at_the_face():
    """What an author imports from `plugins.contract` can be imported from `plugins`."""
    assert set(contract.__all__) - {"SUMMARY_LIMIT"} <= set(plugins.__all__)
    assert plugins.RetryableError is contract.RetryableError
