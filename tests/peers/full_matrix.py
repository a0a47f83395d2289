"""Every result × every kind of image × every character set, under both validators: `make matrix` (not in the suite)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.support import reports
from tests.support.matrix import (
    CHARACTER_SETS,
    RESULTS,
    SRS_OF_ALL_CLASSES,
    Kept,
    errors_of_dciodvfy,
    errors_of_sr_validator,
    every_case,
    made,
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """The reports that wait for the one long run of PixelMed's validator."""
    return Kept(tmp_path_factory.mktemp("reports"), {})


@pytest.mark.parametrize("source", reports.SOURCES)
@pytest.mark.parametrize("result", RESULTS)
def test_matrix(result: str, source: str, tmp_path: Path, kept: Kept) -> None:
    """No object has an error, and the patient's name arrives, in every character set."""
    cases = [case for case in every_case() if (case.result, case.source) == (result, source)]
    objects = dict(made(cases, tmp_path, pages_every=1))
    for case, encoded in objects.items():
        for one in encoded:
            assert dcmread(one.path).PatientName == CHARACTER_SETS[case.characters].name, (case, one.kind)
    assert errors_of_dciodvfy(objects) == {}
    # What that validator judges does not depend on the character set; the SR classes take turns with it.
    for case, encoded in list(objects.items())[:SRS_OF_ALL_CLASSES]:
        kept.keep(case, encoded)
    shutil.rmtree(tmp_path)  # all pages together are 12 GB


def test_reports_and_key_object_selections(kept: Kept) -> None:
    """The content trees of each result on each kind of image, in one Java process."""
    assert {(case.result, case.source) for case in kept.objects} == {(c.result, c.source) for c in every_case()}
    assert errors_of_sr_validator(kept.objects, selections=len(reports.SOURCES)) == {}
