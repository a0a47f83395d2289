"""Every result × every kind of image × every character set, under both validators: `make matrix` (not in the suite)."""

from __future__ import annotations

import shutil
from itertools import product
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet  # pytest exports no name for what its own `param` returns
from pydicom import dcmread

from tests.support import reports
from tests.support.matrix import (
    CHARACTER_SETS,
    RESULTS,
    Kept,
    errors_of_dciodvfy,
    errors_of_sr_validator,
    every_case,
    made,
    of_all_trees,
    wrong_masks,
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """The reports that wait for the one long run of PixelMed's validator on a result."""
    return Kept(tmp_path_factory.mktemp("reports"), {})


def _together(result: str, *more: str) -> ParameterSet:
    """All tests of one result run in one process, one after the other, also where two run at a time."""
    return pytest.param(result, *more, marks=pytest.mark.xdist_group(result))


@pytest.mark.parametrize(("result", "source"), [_together(*names) for names in product(RESULTS, reports.SOURCES)])
def test_matrix(result: str, source: str, tmp_path: Path, kept: Kept) -> None:
    """No object has an error, the patient's name and each mask arrive, in every character set and every profile."""
    cases = [case for case in every_case() if (case.result, case.source) == (result, source)]
    objects = dict(made(cases, tmp_path, pages_every=1))
    for case, encoded in objects.items():
        for one in encoded:
            assert dcmread(one.path).PatientName == CHARACTER_SETS[case.characters].name, (case, one.kind)
        assert wrong_masks(case, encoded) == [], case
    assert errors_of_dciodvfy(objects) == {}
    for case in of_all_trees(cases):
        kept.keep(case, objects[case])
    shutil.rmtree(tmp_path)  # all pages together are 12 GB


@pytest.mark.parametrize("result", [_together(result) for result in RESULTS])
def test_reports_and_key_object_selections(result: str, kept: Kept) -> None:
    """The content trees of each result on each kind of image, in one Java process."""
    objects = {case: encoded for case, encoded in kept.objects.items() if case.result == result}
    assert {case.source for case in objects} == set(reports.SOURCES)
    assert errors_of_sr_validator(objects, selections=len(reports.SOURCES)) == {}
