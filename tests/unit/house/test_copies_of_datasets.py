"""A Dataset is copied whole or not at all.

pydicom's shallow copies (`copy.copy`, `Dataset.copy`, `Dataset(other)`) share elements with what they were copied from,
and since pydicom 3 even the dictionary that holds them: what is taken out of the copy is gone from the original.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import copy

from pydicom import Dataset

from tests.unit.house.test_text_of_the_house import python_files

NO_DATASETS = {
    "np.asarray(picture).copy()",
    "inside.copy()",
    "volume.affine.copy()",
    "source.affine.copy()",  # arrays
    "copy(document)",  # of YAML
}
DATASETS = {"Dataset", "FileDataset", "FileMetaDataset"}


def shallow_copies(source: str) -> Iterator[str]:
    """Each expression that may copy a Dataset and share its elements."""
    tree = ast.parse(source)
    shallow = {"copy.copy"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "copy":
            shallow |= {name.asname or name.name for name in node.names if name.name == "copy"}
    for node in ast.walk(tree):
        call = isinstance(node, ast.Call) and _may_share(node, shallow) and ast.unparse(node) not in NO_DATASETS
        if call or (isinstance(node, ast.Assign) and _shares_an_element(node)):
            yield ast.unparse(node)


def _may_share(call: ast.Call, shallow: set[str]) -> bool:
    if _last_word(call.func) not in {"copy", *DATASETS, *shallow}:
        return False  # at once: there are very many calls
    function = ast.unparse(call.func)
    if function in shallow or (isinstance(call.func, ast.Attribute) and call.func.attr == "copy" and not call.args):
        return True
    # Of a dictionary of new elements it is no copy.
    return (
        function.split(".")[-1] in DATASETS
        and bool(call.args)
        and not isinstance(call.args[0], ast.Dict | ast.DictComp)
    )


def _last_word(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _shares_an_element(assignment: ast.Assign) -> bool:
    """`header[keyword] = image.header[keyword]`: one element in two data sets."""
    target, value = assignment.targets[0], assignment.value
    return (
        isinstance(target, ast.Subscript)
        and isinstance(value, ast.Subscript)
        and ast.unparse(target.slice) == ast.unparse(value.slice)
        and any(word in ast.unparse(value.value) for word in ("header", "dataset", "image"))
    )


def test_finding_s10_no_dataset_is_copied_shallowly() -> None:
    """Nowhere in the project; what is copied is copied by `copy.deepcopy`, or attribute by attribute."""
    found = {
        f"{path}: {expression}"
        for path, text in python_files("node", "rules", "plugins", "tests")
        if path.name != "test_copies_of_datasets.py"
        for expression in shallow_copies(text)
    }
    assert found == set()


def test_finding_s10_each_way_of_sharing_elements_is_seen() -> None:
    """The ways that were in use, and pydicom's own."""
    ways = (
        "import copy\nx = copy.copy(header)",
        "from copy import copy\nx = copy(header)",
        "x = header.copy()",
        "x = Dataset(header)",
        "x = pydicom.Dataset(header)",
        "header[keyword] = image.header[keyword]",
    )
    for way in ways:
        assert list(shallow_copies(way)), way
    for way in ("import copy\nx = copy.deepcopy(header)", "x = Dataset({tag: element})", "x[name] = facts[name]"):
        assert not list(shallow_copies(way)), way


def test_finding_s10_pydicoms_shallow_copy_shares_its_elements() -> None:
    """The reason for the law: what is changed within a copy is changed in the original."""
    original, item = Dataset(), Dataset()
    item.CodeValue = "1"
    original.ProcedureCodeSequence = [item]
    copied = copy(original)
    copied.ProcedureCodeSequence[0].CodeValue = "2"
    assert original.ProcedureCodeSequence[0].CodeValue == "2"
