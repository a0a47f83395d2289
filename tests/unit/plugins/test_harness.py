"""`plugins.testing` calls a plugin's class in this process, for an author's own tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins import manifest, testing
from plugins.contract import ResultStatus
from plugins.manifest import ParameterError
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_series import SeriesHeader, write_series

LUNG_DENSITY = Path(manifest.__file__).parent / "lung_density"


def test_lung_density_in_this_process(chest_files):
    """The class's own result, with the parameters of the manifest."""
    result = testing.analyse(LUNG_DENSITY, chest_files)
    assert result.status is ResultStatus.FINDINGS
    assert result.segmentation is not None
    with pytest.raises(ParameterError, match="did you mean 'maximum_slice_mm'"):
        testing.analyse(LUNG_DENSITY, chest_files, {"maximum_slice": 2})


def test_series_have_the_roles_that_are_given(tmp_path):
    """As a rule hands them over; files that are not images are passed over."""
    (tmp_path / "plugin.toml").write_text(
        'schema = 1\noutputs = ["findings"]\n'
        '[identity]\nname = "T"\nversion = "1"\nmanufacturer = "M"\nintended_use = "U"\n'
        '[runtime]\nkind = "python"\nentry = "with_prior:Plugin"\n'
        '[[concepts]]\nvalue = "1"\nscheme = "SCT"\nmeaning = "X"\n'
    )
    (tmp_path / "with_prior.py").write_text(
        "from plugins.contract import Result\n"
        "class Plugin:\n"
        "    def analyse(self, study, parameters):\n"
        "        told = [(s.role, s.modality, len(s.files)) for s in study.series]\n"
        "        assert study.scratch.is_dir()\n"
        "        assert study.by_role('prior') is study.series[1]\n"
        "        return Result('not_applicable', f'{study.patient_sex} {told}')\n"
    )
    small = Chest(extent=(0, 8))
    now = [*write_series(small, tmp_path / "now"), tmp_path / "plugin.toml"]
    prior = write_series(small, tmp_path / "prior", SeriesHeader(accession_number="A0"))
    result = testing.analyse(tmp_path, now, roles={"prior": prior})
    assert result.summary == f"F [('', 'CT', {len(now) - 1}), ('prior', 'CT', {len(prior)})]"
