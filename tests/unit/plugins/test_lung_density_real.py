"""lung_density on real chest CT: plausible where it applies, refused where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plugins import manifest
from plugins.contract import NotApplicableError, Series, Study
from plugins.lung_density.plugin import LungDensity
from tests.support.shared_data import shared_data

PARAMETERS = manifest.load(Path(manifest.__file__).parent / "lung_density").parameters_for({})


def analyse(files):
    return LungDensity().analyse(Study("1.2", (Series("1.2.3", "CT", "", tuple(files)),)), PARAMETERS)


@pytest.mark.at_night("chests of known density in test_lung_density.py, and the two real series below")
def test_complete_chest_of_lidc():
    """LIDC-IDRI-0314 (1 mm, no contrast; the right upper lobe is filled): numbers and masks that were looked at."""
    result = analyse(sorted(shared_data("LIDC-IDRI-0314").glob("*.dcm")))
    both, right, left = ({m.concept.value: m.value for m in finding.measurements} for finding in result.findings)
    assert 2700 < both["118565006"] < 2950
    assert 850 < right["118565006"] < 1000  # the smaller one: a large part of it holds no air
    assert 1800 < left["118565006"] < 2000
    assert 1.5 < both["LAA950"] < 3.5
    assert -915 < both["PERC15"] < -885
    assert -830 < both["112031"] < -780
    assert any("Sharp reconstruction kernel (D)" in note for note in result.quality)
    assert any("differ much in volume" in note for note in result.quality)
    labels = result.segmentation.labels
    places = np.argwhere(labels == 2).mean(axis=0), np.argwhere(labels == 1).mean(axis=0)
    assert places[0][2] > places[1][2]  # stored as usual: the patient's left is on the right-hand side
    assert not labels[-14:].any()  # larynx and trachea above the lungs
    assert not labels[:4].any()  # abdomen below them


def test_partial_chest_of_siemens():
    """37 slices through the lungs' middle are not complete lungs."""
    files = sorted(shared_data("cornerstonejs_cornerstoneTools").rglob("chest_lung/*.dcm"))
    with pytest.raises(NotApplicableError, match="The lungs are incomplete"):
        analyse(files)


def test_head_of_ge():
    """A head CT with gantry tilt and thick slices is refused."""
    files = sorted(shared_data("neurolabusc_dcm_qa_ct").rglob("*.dcm"))
    with pytest.raises(NotApplicableError):
        analyse(files)
