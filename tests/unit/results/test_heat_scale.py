"""The colours of a heat map mean the same on every page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from node.results.pages import heat
from node.results.pages.key_slice import decode, key_slices
from plugins.contract import Code, Heatmap, Result, ResultStatus, Unit
from tests.support.results import reports
from tests.support.results.page_words import canvases_of, context_of, words_of

SALIENCY = Code("130404", "DCM", "Saliency")
NO_UNIT, PERCENT, ML = Unit("1", "no units"), Unit("%", "percent"), Unit("mL", "mL")


def _map(greatest: float, unit: Unit = NO_UNIT, least: float = 0.0, label: str = "Attention") -> Heatmap:
    rows, columns = np.mgrid[0 : reports.ROWS, 0 : reports.COLUMNS]
    hot = np.exp(-((rows - 20.0) ** 2 + (columns - 40.0) ** 2) / 60)
    values = (least + (greatest - least) * hot).astype(np.float32)
    return Heatmap(values, (reports.reference("ct"),), SALIENCY, unit, label)


def _result(*maps: Heatmap) -> Result:
    negative = reports.no_findings()
    return Result(ResultStatus.NO_FINDINGS, negative.summary, negative.findings, heatmaps=maps)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return reports.write_series("ct", tmp_path_factory.mktemp("series"))


def test_finding_r4_a_weak_map_does_not_look_like_a_strong_one(series: list[Path]) -> None:
    """A greatest value of 0.05 leaves the image as it is; 0.95 on the same place is light yellow."""
    weak, strong, none = (
        decode(context, key_slices(context)[0]).draw((640, 640)).astype(int)
        for context in (context_of(series, _result(_map(greatest))) for greatest in (0.05, 0.95, 0.0))
    )
    hottest = np.s_[212:218, 412:418]  # beside the cross that names the value
    assert np.abs(weak[hottest] - none[hottest]).max() <= 1
    assert np.abs(strong[hottest] - none[hottest]).max() > 60


@pytest.mark.parametrize(
    ("heatmap", "said"),
    [
        (_map(0.05), "Colours from 0 to 1, greatest value 0.05"),
        (_map(37.0, PERCENT), "Colours from 0 % to 100 %, greatest value 37 %"),
        (_map(4.0, ML), "Colours from the least value of this map, 0 mL, to its greatest, 4 mL"),
        (_map(8.0), "Colours from the least value of this map, 0, to its greatest, 8"),
        (_map(0.5, least=-0.5), "Colours from the least value of this map, −0.5, to its greatest, 0.5"),
    ],
)
def test_finding_r4_the_page_says_what_the_colours_stand_for(series: list[Path], heatmap: Heatmap, said: str) -> None:
    """The quantity's whole range where it has one, else that the range is the map's own."""
    assert said.replace(" ", "") in words_of(canvases_of(context_of(series, _result(heatmap))))


def test_finding_r4_peaks_are_named_with_their_values() -> None:
    """The greatest value and those of half of it or more, where they are; a flat map has none."""
    two = _map(0.9)
    values = np.array(two.values[0])
    values[50, 10] = 0.6
    values[5, 5] = 0.2
    found = heat.peaks(Heatmap(values, two.frames, SALIENCY), 0)
    assert [(peak.column, peak.row, peak.text) for peak in found] == [(40.5, 20.5, "0.9"), (10.5, 50.5, "0.6")]
    assert heat.peaks(_map(0.0), 0) == []


def test_finding_r4_a_viewer_opens_the_map_with_the_same_range(series: list[Path], tmp_path: Path) -> None:
    """The window of the Parametric Map is 0 to 1; the values are the plugin's own."""
    made = reports.whole(reports.request(series, _result(_map(0.05))), tmp_path)
    (stored,) = [dcmread(one.path) for one in made if one.kind == "pm"]
    voi: Dataset = stored.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    assert (float(voi.WindowCenter), float(voi.WindowWidth)) == (0.5, 1.0)
    assert float(np.frombuffer(stored.FloatPixelData, "<f4").max()) == pytest.approx(0.05)
