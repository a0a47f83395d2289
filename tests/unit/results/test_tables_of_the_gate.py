"""The gate's tables of IODs are highdicom's private ones: here stands what of them the gate leans on."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from node.desk.peers import RESULT_CLASSES

_MOVED = (
    "highdicom has moved or changed its private tables of IODs and modules, and neither it nor pydicom has public ones:"
    " node/results/gate/judging.py takes them from highdicom._standard_utils. Pin the old version, or find them again"
)
_TYPES = {
    ("patient", "PatientID"): "2",
    ("general-study", "StudyInstanceUID"): "1",
    ("sr-document-general", "CompletionFlag"): "1",
    ("sop-common", "SOPInstanceUID"): "1",
    ("segmentation-image", "SegmentSequence"): "1",
    ("presentation-state-identification", "PresentationCreationDate"): "1",
}


def _tables() -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
    try:
        tables = importlib.import_module("highdicom._standard_utils")
        return (tables.get_sop_class_iod_map(), tables.get_iod_module_map(), tables.get_module_attribute_map())
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{_MOVED}: {error}")


def test_every_class_that_is_written_has_its_mandatory_modules() -> None:
    """Patient, study and SOP Common are mandatory in the IOD of each, and each module has attributes."""
    iods, modules, attributes = _tables()
    for name, uid in RESULT_CLASSES.items():
        assert uid in iods, f"{_MOVED}: no IOD of {name}"
        mandatory = {module["key"] for module in modules[iods[uid]] if module["usage"] == "M"}
        missing = {"patient", "general-study", "sop-common"} - mandatory
        assert not missing, f"{_MOVED}: {name} has no {missing}"
        assert all(attributes[key] for key in mandatory), f"{_MOVED}: a module of {name} has no attributes"


@pytest.mark.parametrize(("module", "keyword"), _TYPES)
def test_attributes_have_their_types(module: str, keyword: str) -> None:
    """As PS3.3 has them, on the top level of the module."""
    _, _, attributes = _tables()
    found = {entry["type"] for entry in attributes[module] if entry["keyword"] == keyword and not entry["path"]}
    assert found == {_TYPES[module, keyword]}, _MOVED
