"""The worked example head_ct_triage against heads whose bleed is known, and against images that it must refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from plugins import manifest, testing
from plugins.contract import NotApplicableError, Result, ResultStatus
from plugins.phantoms import chest_series, head
from plugins.phantoms.chest import Chest
from plugins.phantoms.head import HeadHemorrhage, HeadPhantom
from plugins.phantoms.water import WaterPhantom, write_series

FOLDER = Path(manifest.__file__).parent / "examples" / "head_ct_triage"
HEAD = HeadPhantom(size=128, slice_mm=5.0)


def analyse(files: list[Path]) -> Result:
    return testing.analyse(FOLDER, files)


@pytest.mark.parametrize(
    ("centre", "side"), [((32.0, -8.0, 8.0), "Left"), ((-32.0, -8.0, 8.0), "Right"), ((0.0, -45.0, 8.0), "Bilateral")]
)
@pytest.mark.parametrize("slice_mm", [2.5, 5.0])
def test_a_bleed_is_urgent_with_its_volume_and_side(
    centre: tuple[float, float, float], side: str, slice_mm: float, tmp_path: Path
) -> None:
    """Left, right, and across the midline; within 15 % of its volume, with a segment and a box of its own."""
    bleed = HeadHemorrhage(centre)
    result = analyse(head.write_ct(replace(HEAD, slice_mm=slice_mm, bleed=bleed), tmp_path))
    (finding,) = result.findings
    assert (finding.present, finding.urgent, finding.segments) == (True, True, (1,))
    assert finding.site.laterality.meaning == side
    assert finding.measurements[0].value == pytest.approx(bleed.volume_ml, rel=0.15)
    assert finding.measurements[1].value == pytest.approx(68, abs=3)
    assert side.lower() in result.summary
    assert len(finding.regions) == len(result.key_images) == 1


@pytest.mark.parametrize("noise", [0.0, 3.0, 8.0])
def test_a_head_without_a_bleed_is_negative(noise: float, tmp_path: Path) -> None:
    """An absent finding, nothing urgent, no segment; also with the noise of a thin slice."""
    result = analyse(head.write_ct(replace(HEAD, bleed=None, noise=noise), tmp_path))
    assert result.status is ResultStatus.NO_FINDINGS
    assert [(each.present, each.urgent) for each in result.findings] == [(False, False)]
    assert result.segmentation is None


def test_a_bleed_below_the_least_volume_is_not_reported(tmp_path: Path) -> None:
    """And the summary says from where on it looks."""
    result = analyse(head.write_ct(replace(HEAD, bleed=HeadHemorrhage(half_axes=(4.0, 4.0, 4.0))), tmp_path))
    assert result.status is ResultStatus.NO_FINDINGS
    assert "1 mL or more" in result.summary


HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "contrast": ({"ContrastBolusAgent": "Iomeron 350"}, "Contrast medium was given"),
    "tilt by the header": ({"GantryDetectorTilt": -15}, "tilted by -15 degrees"),
    "MR": ({"Modality": "MR"}, "not CT"),
    "coronal": ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "."),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_it_is_not_for(name: str, tmp_path: Path) -> None:
    """Not applicable, with the reason."""
    changes, words = HEADERS[name]
    files = head.write_ct(HEAD, tmp_path)
    for path in files:
        dataset = pydicom.dcmread(path)
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    with pytest.raises(NotApplicableError, match=words):
        analyse(files)


def test_a_tilt_that_only_positions_show(tmp_path: Path) -> None:
    """The slices are moved along the table, not along their normal."""
    files = head.write_ct(HEAD, tmp_path)
    for number, path in enumerate(files):
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient[1] += number * 1.3
        dataset.save_as(path)
    with pytest.raises(NotApplicableError, match="tilt"):
        analyse(files)


def test_images_that_it_is_not_for(tmp_path: Path) -> None:
    """A series for bone, a chest, a water phantom, the half of a head, thick slices."""
    cases = {
        "bone": (head.write_ct(replace(HEAD, noise=40.0), tmp_path / "bone"), "a series for bone"),
        "chest": (chest_series.write_series(Chest(size=96, slice_mm=5.0), tmp_path / "chest"), "not a head"),
        "water": (write_series(WaterPhantom(), tmp_path / "water"), "not a head"),
        "half": (head.write_ct(HEAD, tmp_path / "half")[24:], "only a part of one"),
        "thick": (head.write_ct(replace(HEAD, slice_mm=8.0), tmp_path / "thick"), "8 mm apart"),
    }
    for files, words in cases.values():
        with pytest.raises(NotApplicableError, match=words):
            analyse(files)


def test_pages_and_readme_say_what_it_is() -> None:
    """Nobody takes it for a product."""
    readme = (FOLDER / "README.md").read_text().lower()
    assert "Not a medical device" in manifest.load(FOLDER).identity.intended_use
    assert "teaching example" in readme
    assert "not a medical device" in readme
