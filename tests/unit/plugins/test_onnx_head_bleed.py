"""The worked example of a model file: what its README says of phantoms whose bleed is known."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from plugins import manifest, testing
from plugins.contract import ResultStatus
from plugins.phantoms import head
from plugins.phantoms.head import HeadHemorrhage, HeadPhantom

FOLDER = Path(manifest.__file__).parent / "examples" / "onnx_head_bleed"


@pytest.mark.parametrize(("slice_mm", "noise"), [(3.0, 3.0), (6.0, 0.0)])
def test_the_bleed_has_its_volume(tmp_path, slice_mm, noise):
    """Within 7 %, however thick the slices are."""
    files = head.write_ct(HeadPhantom(size=128, slice_mm=slice_mm, noise=noise), tmp_path)
    (bleed,) = testing.analyse(FOLDER, files).findings
    assert bleed.present
    assert bleed.measurements[0].value == pytest.approx(HeadHemorrhage().volume_ml, rel=0.07)


def test_without_a_bleed_it_says_so(tmp_path):
    """Neither the skull's edge nor noise is one."""
    files = head.write_ct(HeadPhantom(size=112, slice_mm=5.0, bleed=None), tmp_path)
    result = testing.analyse(FOLDER, files)
    assert (result.status, result.summary) == (ResultStatus.NO_FINDINGS, "Bleed not found.")


def test_the_model_is_the_one_that_its_script_writes(tmp_path, monkeypatch):
    """Byte for byte."""
    monkeypatch.setattr("sys.argv", ["make_model.py", str(tmp_path / "model.onnx")])
    runpy.run_path(str(FOLDER / "make_model.py"), run_name="__main__")
    assert (tmp_path / "model.onnx").read_bytes() == (FOLDER / "model.onnx").read_bytes()
