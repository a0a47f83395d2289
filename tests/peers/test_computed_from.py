"""What dciodvfy says of reports whose numbers name an earlier step's segmentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.encoding import EncodingProfile
from tests.support.programs.validators import dcentvfy, dciodvfy
from tests.support.results.earlier_results import SEGMENTATION, report_of

CLASSES = ["comprehensive", "comprehensive-3d", "enhanced"]


@pytest.mark.parametrize("editable", [False, True], ids=["read", "edited"])
@pytest.mark.parametrize("sr_class", CLASSES)
def test_dciodvfy_finds_no_error_in_a_report_that_names_a_segmentation(
    tmp_path: Path, sr_class: str, editable: bool
) -> None:
    """In each SOP class; it is of one patient and study with the images."""
    profile = EncodingProfile.model_validate({"sr_class": sr_class, "kinds": ["sr"], "editable": editable})
    report = report_of(tmp_path, (SEGMENTATION,), profile)
    assert dciodvfy(report) == []
    assert dcentvfy([report, *sorted((tmp_path / "in").iterdir())]) == []
