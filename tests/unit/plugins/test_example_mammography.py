"""plugins/examples/mammography against phantoms whose truth is known, and against images that it must refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import DigitalMammographyXRayImageStorageForProcessing
from ruamel.yaml import YAML

from node.config.models import Configuration
from node.desk import files
from node.kit import examples
from node.kit.chosen import choose
from node.kit.commissioning import commission
from node.run.commissioning import ExamplesVerdict
from plugins import codes, manifest, testing
from plugins.contract import Ellipse, Finding, NotApplicableError, Result, ResultStatus
from plugins.phantoms.files import coded
from plugins.phantoms.mammogram import VIEWS, BreastLesion, MammogramPhantom
from rules.engine import decide
from rules.examples import RuleFile
from rules.model import DICTIONARY, of_site
from tests.unit.rules.building import NOW, Dictionary

FOLDER = Path(manifest.__file__).parent / "examples" / "mammography"
README = (FOLDER / "README.md").read_text()
FIRST, RIGHT_MLO = 0, 2
"""Numbers of the files of a phantom."""


def phantom(side: str = "R", seed: int = 3) -> MammogramPhantom:
    """One mass in one breast."""
    return _phantom(BreastLesion(side, "mass", (48.0, 20.0, 14.0), 18.0), seed=seed)


def _phantom(*lesions: BreastLesion, seed: int) -> MammogramPhantom:
    return MammogramPhantom(rows=320, columns=200, pixel_mm=0.6, lesions=lesions, seed=seed)


def changed(path: Path, change: Callable[[Dataset], object]) -> None:
    """The file with another header or other pixels."""
    image = pydicom.dcmread(path)
    change(image)
    image.save_as(path)


def flip_pixels(image: Dataset) -> None:
    """From left to right; the header stays."""
    image.PixelData = np.ascontiguousarray(image.pixel_array[:, ::-1]).tobytes()


def breast(result: Result, side: codes.Code) -> Finding:
    """What is said of one breast as a whole."""
    (found,) = [
        each for each in result.findings if each.code.value == "BREAST_WITH_MASS" and each.site.laterality == side
    ]
    return found


def masses(result: Result) -> list[Finding]:
    """The masses that are marked."""
    return [each for each in result.findings if each.code == codes.MASS]


def middles(finding: Finding, files: list[Path]) -> dict[int, np.ndarray]:
    """Number of the file → middle of the mark, (column, row) of an index."""
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in files]
    assert all(isinstance(each, Ellipse) for each in finding.regions)
    return {uids.index(each.image.sop_instance_uid): each.points.mean(axis=0) - 0.5 for each in finding.regions}


@pytest.mark.parametrize("side", ["R", "L"])
def test_a_mass_is_marked_on_both_views_of_its_breast(side: str, tmp_path: Path) -> None:
    """Within 5 mm of where it is, about as large as it is, on the right side; the other breast is negative."""
    truth = phantom(side)
    files = truth.write(tmp_path)
    result = testing.analyse(FOLDER, files)
    sick, well = (codes.RIGHT, codes.LEFT) if side == "R" else (codes.LEFT, codes.RIGHT)
    (mass,) = masses(result)
    assert mass.site.laterality == sick
    found = middles(mass, files)
    assert {VIEWS[number] for number in found} == {(side, "CC"), (side, "MLO")}
    for number, middle in found.items():
        row, column = np.argwhere(truth.mask(truth.lesions[0], *VIEWS[number])).mean(axis=0)
        assert np.hypot(*(middle - (column, row))) * truth.pixel_mm < 5
    assert mass.measurements[0].value == pytest.approx(18, rel=0.3)
    assert (breast(result, sick).present, breast(result, well).present) == (True, False)
    assert breast(result, sick).score == mass.score
    assert f"in the {'right' if side == 'R' else 'left'} breast" in result.summary
    assert "not a medical device" in result.summary


def test_without_a_mass_both_breasts_have_a_score_and_are_negative(tmp_path: Path) -> None:
    """Absent, with the score and the threshold; a cluster of calcifications is none."""
    files = _phantom(BreastLesion("L", "calcifications", (55.0, -12.0, -18.0), 12.0), seed=2).write(tmp_path)
    result = testing.analyse(FOLDER, files)
    assert result.status is ResultStatus.NO_FINDINGS
    assert [each.present for each in result.findings] == [False, False]
    assert all(each.score.value < 4.2 == each.score.threshold for each in result.findings)


def test_a_mass_on_one_view_alone_is_none(tmp_path: Path) -> None:
    """The MLO of the same breast without it: what one projection shows may be tissue on top of tissue."""
    files = phantom().write(tmp_path / "with")
    files[RIGHT_MLO] = _phantom(seed=3).write(tmp_path / "without")[RIGHT_MLO]
    assert testing.analyse(FOLDER, files).status is ResultStatus.NO_FINDINGS


def test_a_mirrored_image_that_says_so_gives_the_same_side_at_the_mirrored_place(tmp_path: Path) -> None:
    """Pixels and Patient Orientation of a view flipped: laterality stays, the mark moves with the pixels."""
    truth = phantom()
    files = truth.write(tmp_path)
    before = middles(masses(testing.analyse(FOLDER, files))[0], files)

    def flip(image: Dataset) -> None:
        flip_pixels(image)
        image.PatientOrientation = ["A", "L"]

    changed(files[FIRST], flip)
    (mass,) = masses(testing.analyse(FOLDER, files))
    after = middles(mass, files)
    assert mass.site.laterality == codes.RIGHT
    assert after[FIRST] == pytest.approx([truth.columns - 1 - before[FIRST][0], before[FIRST][1]], abs=2)
    assert after[RIGHT_MLO] == pytest.approx(before[RIGHT_MLO])


def _set(**values: object) -> Callable[[Dataset], object]:
    return lambda image: [setattr(image, keyword, value) for keyword, value in values.items()]


def _modified(value: str, meaning: str) -> Callable[[Dataset], object]:
    modifier = coded(codes.Code(value, "SCT", meaning))
    return lambda image: setattr(image.ViewCodeSequence[0], "ViewModifierCodeSequence", modifier)


def _other_region(image: Dataset) -> None:
    image.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = coded(codes.LEFT)


REFUSED: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "spot compression": (_modified("399055006", "Spot compression"), "R CC missing. Not used: spot compression"),
    "magnification": (_modified("399163009", "Magnification"), "R CC missing. Not used: magnification"),
    "implant displaced": (_modified("399209000", "Implant Displaced"), "R CC missing. Not used: implant displaced"),
    "magnified, and no code says so": (_set(EstimatedRadiographicMagnificationFactor=1.8), "a magnified view"),
    "a part of the breast": (_set(PartialView="YES"), "a view of a part"),
    "another view": (_set(ViewCodeSequence=coded(codes.Code("399260004", "SCT", "medio-lateral"))), "another view"),
    "no view": (_set(ViewCodeSequence=Sequence()), "another view"),
    "view and code contradict": (_set(ViewPosition="MLO"), "another view"),
    "for processing": (
        _set(SOPClassUID=DigitalMammographyXRayImageStorageForProcessing, PresentationIntentType="FOR PROCESSING"),
        "Not used: for processing",
    ),
    "for processing by one attribute": (_set(PresentationIntentType="FOR PROCESSING"), "Not used: for processing"),
    "an implant": (_set(BreastImplantPresent="YES"), "breast implant"),
    "the other side": (_set(ImageLaterality="L"), "two images of L CC"),
    "both sides": (_set(ImageLaterality="B"), "sides named: B"),
    "no side": (_set(ImageLaterality=None), "sides named: none"),
    "two sides": (_set(Laterality="L"), "sides named: L and R"),
    "two sides by code": (_other_region, "sides named: L and R"),
    "flipped pixels": (flip_pixels, "may be flipped"),
    "flipped orientation": (_set(PatientOrientation=["A", "L"]), "may be flipped"),
    "no orientation": (_set(PatientOrientation=None), "nobody knows where"),
    "turned": (_set(PatientOrientation=["L", "A"]), "towards L"),
    "no size": (_set(ImagerPixelSpacing=None), "size of a pixel"),
    "no magnification": (_set(EstimatedRadiographicMagnificationFactor=None), "size of a pixel"),
    "black": (lambda image: setattr(image, "PixelData", bytes(len(image.PixelData))), "No breast"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_leaves_a_view_or_a_side_in_doubt_is_refused(name: str, tmp_path: Path) -> None:
    """One image of four is not what it should be: no result at all, and the reason in words."""
    files = phantom().write(tmp_path)
    change, words = REFUSED[name]
    changed(files[FIRST], change)
    with pytest.raises(NotApplicableError) as reason:
        testing.analyse(FOLDER, files)
    assert words in str(reason.value)


def test_a_view_that_is_missing_is_named(tmp_path: Path) -> None:
    """Of four views any one, and two at once."""
    files = phantom().write(tmp_path)
    for number, (side, view) in enumerate(VIEWS):
        with pytest.raises(NotApplicableError, match=f"there: {side} {view} missing"):
            testing.analyse(FOLDER, files[:number] + files[number + 1 :])
    with pytest.raises(NotApplicableError, match="there: R MLO, L MLO missing"):
        testing.analyse(FOLDER, files[:2])


def test_further_views_beside_the_standard_ones_change_nothing(tmp_path: Path) -> None:
    """A spot view and a raw image of the same breast are set aside."""
    files = phantom().write(tmp_path / "standard")
    more = phantom(seed=4).write(tmp_path / "more")
    changed(more[0], REFUSED["spot compression"][0])
    changed(more[1], REFUSED["for processing"][0])
    with_them, without = testing.analyse(FOLDER, files + more[:2]), testing.analyse(FOLDER, files)
    assert [each.score for each in with_them.findings] == [each.score for each in without.findings]
    assert str(middles(masses(with_them)[0], files)) == str(middles(masses(without)[0], files))


def test_its_example_is_the_phantom_and_passes_as_a_node_runs_it(tmp_path: Path) -> None:
    """The images are what the phantom writes, byte for byte; score, marks and diameter are found again."""
    (example,) = examples.load(FOLDER)
    lesion = BreastLesion("R", "mass", (48.0, 20.0, 14.0), 15.0)
    written = MammogramPhantom(rows=256, columns=160, pixel_mm=0.75, lesions=(lesion,)).write(tmp_path)
    assert [path.read_bytes() for path in sorted(example.images.files)] == [path.read_bytes() for path in written]
    (diameter,) = [each for each in example.expected.numbers if each.measurement == codes.DIAMETER.value]
    assert diameter.value == lesion.diameter_mm
    choice = choose(str(FOLDER), None)
    assert commission(choice.name, choice.configuration) == ExamplesVerdict(True, f"passed: {example.name}")


def test_the_rule_of_the_readme_takes_four_standard_views(tmp_path: Path) -> None:
    """It loads as a site's file does, and decides on the phantom's own files; with a view missing it does not match."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    plain = YAML(typ="safe").load(text)
    file = RuleFile.model_validate({"rules": plain["rules"]}, context={DICTIONARY: Dictionary()})
    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}, "plugins": plain["plugins"]})
    views = phantom().write(tmp_path)
    assert _taken(file, tmp_path, configuration) == [4]
    views[-1].unlink()
    assert _taken(file, tmp_path, configuration) == []


def _taken(file: RuleFile, folder: Path, configuration: Configuration) -> list[int]:
    """How many images each run gets."""
    (study,) = files.studies_in([folder], NOW, configuration).studies
    (decision,) = decide(of_site(file.rules, file.ignore, file.vendors), study)
    return [sum(len(each.sop_instance_uids) for each in run.inputs) for run in decision.runs]


def test_the_figures_of_the_readme(tmp_path: Path, full_length: bool) -> None:
    """One mass each: how many are found in the right breast and place, and what is marked beside them.

    In full 40 phantoms, as README.md says; else one of each size that is always found.
    """
    random = np.random.default_rng(11)
    lines = ["| mass | found | marked elsewhere | diameter, mm |", "|---|---|---|---|"]
    for diameter in (10.0, 12.0, 15.0, 18.0) if full_length else (15.0, 18.0):
        found, elsewhere, sizes = 0, 0, list[float]()
        for number in range(10 if full_length else 1):
            place = (random.uniform(30, 60), random.uniform(-25, 25), random.uniform(-25, 25))
            truth = _phantom(BreastLesion("RL"[number % 2], "mass", place, diameter), seed=number)
            files = truth.write(tmp_path / f"{diameter}" / f"{number}")
            for mass in masses(testing.analyse(FOLDER, files)):
                if _is_there(mass, truth, files):
                    found, sizes = found + 1, [*sizes, mass.measurements[0].value or 0]
                else:
                    elsewhere += 1
        assert (found, elsewhere) == (1, 0) or full_length
        lines.append(f"| {diameter:g} mm | {found} of 10 | {elsewhere} | {min(sizes):.0f} to {max(sizes):.0f} |")
    print("\n".join(lines))
    assert "\n".join(lines) in README or not full_length


def _is_there(mass: Finding, truth: MammogramPhantom, files: list[Path]) -> bool:
    """Whether the mark of each view has its middle on the phantom's mass."""
    for number, middle in middles(mass, files).items():
        column, row = middle.astype(int)
        if not truth.mask(truth.lesions[0], *VIEWS[number])[row, column]:
            return False
    return True
