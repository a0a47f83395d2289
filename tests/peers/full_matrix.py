"""Every result × every kind of image × every character set, under both validators: `make matrix` (not in the suite)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.support.results import reports
from tests.support.results.matrix import (
    CHARACTER_SETS,
    RESULTS,
    Kept,
    errors_of_dciodvfy,
    errors_of_sr_validator,
    every_case,
    every_untidy_case,
    made,
    of_all_trees,
    wrong_masks,
)


@pytest.mark.parametrize("result", RESULTS)
def test_matrix(result: str, tmp_path: Path) -> None:
    """No object has an error, the patient's name and each mask arrive, in every character set and every profile; the
    content trees on all kinds of image are judged in one Java process, which costs more to start than to use.
    """
    (tmp_path / "reports").mkdir()
    kept, errors = Kept(tmp_path / "reports", {}), dict[str, list[str]]()
    for source in reports.SOURCES:
        every = [*every_case(), *every_untidy_case()]
        cases = [case for case in every if (case.result, case.source) == (result, source)]
        objects = dict(made(cases, tmp_path / source, pages_every=1))
        for case, encoded in objects.items():
            name = CHARACTER_SETS[case.characters].name
            other = [f"{one.kind} has another name" for one in encoded if dcmread(one.path).PatientName != name]
            if wrong := other + wrong_masks(case, encoded):
                errors[case.name] = wrong
        errors |= errors_of_dciodvfy(objects)
        for case in of_all_trees(cases):
            kept.keep(case, objects[case])
        shutil.rmtree(tmp_path / source)  # all pages together are 12 GB
    assert errors | errors_of_sr_validator(kept.objects, selections=len(reports.SOURCES)) == {}
