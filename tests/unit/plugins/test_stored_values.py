"""What stored values mean: what is certain becomes the right numbers, all else is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import DataElement, Dataset, Sequence
from pydicom.uid import (
    PositronEmissionTomographyImageStorage,
)

from plugins import imaging
from plugins.contract import NotApplicableError
from plugins.lung_density import checks
from tests.support.shared_data import shared_data
from tests.unit.plugins.test_imaging import enhanced, refused, stack, stored

Change = Callable[[int, Dataset], None]


def put(dataset: Dataset, **attributes: Any) -> None:
    """Set attributes; None removes one, a list of bytes and VR makes one that pydicom would not write."""
    for keyword, value in attributes.items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)


def everywhere(**attributes: Any) -> Change:
    """The attributes in all slices."""
    return lambda number, dataset: put(dataset, **attributes)


def only(*numbers: int, modality: str = "MR", **attributes: Any) -> Change:
    """A series of a modality; the attributes in some slices."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.Modality = modality
        if number in numbers:
            put(dataset, **attributes)

    return change


def case(name: str) -> list[Path]:
    """The files of one of the odd inputs."""
    return sorted(path for path in shared_data(f"cases/{name}").rglob("*") if path.is_file())


# --- N1: half a rescale --------------------------------------------------------------------------

HALVES = {
    "no intercept": ({"RescaleIntercept": None}, r"1\.2\.3\.1 has a RescaleSlope \(2\) and no RescaleIntercept"),
    "no slope": ({"RescaleSlope": None}, r"1\.2\.3\.1 has a RescaleIntercept \(-1000\) and no RescaleSlope"),
    "empty intercept": ({"RescaleIntercept": ""}, "no RescaleIntercept"),
    "empty slope": ({"RescaleSlope": ""}, "no RescaleSlope"),
    "zero slope": ({"RescaleSlope": 0}, r"rescale slope 0 \(RescaleSlope\)"),
    "several slopes": ({"RescaleSlope": [1, 2]}, "RescaleSlope that is not one number"),
}


@pytest.mark.parametrize("modality", ["CT", "PT", "MR", "NM", "XA"])
@pytest.mark.parametrize(("attributes", "match"), HALVES.values(), ids=HALVES)
def test_finding_n1_half_a_rescale_is_refused(
    tmp_path: Path, modality: str, attributes: dict[str, Any], match: str
) -> None:
    """Slope or intercept alone, empty, zero or twice: in any modality, with the attribute and the image."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.Modality, dataset.RescaleSlope = modality, 2
        put(dataset, **attributes)

    refused(stack(tmp_path, change=change), match)


@pytest.mark.parametrize("text", [b"nan ", b"inf ", b"1,5 ", b"one ", b"1_0 "])
@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_finding_n1_a_rescale_that_is_no_number_is_refused(tmp_path: Path, keyword: str, text: bytes) -> None:
    """What Python would read as a number that is none, or not read at all, ends in words and not in a traceback."""
    files = stack(tmp_path)
    content = files[1].read_bytes()
    value = {"RescaleSlope": b"DS\x04\x001.0 ", "RescaleIntercept": b"DS\x08\x00-1000.0 "}[keyword]
    assert content.count(value) == 1
    files[1].write_bytes(content.replace(value, b"DS" + len(text).to_bytes(2, "little") + text))
    refused(files, rf"1\.2\.3\.2 has .*{keyword}.*(not one number|not a finite number)")


@pytest.mark.parametrize("modality", ["CT", "PT"])
def test_finding_n1_ct_and_pet_without_rescale_are_refused(tmp_path: Path, modality: str) -> None:
    """Both halves missing: HU and Bq/mL are what the rescale makes (it is Type 1)."""
    change = only(*range(5), modality=modality, RescaleSlope=None, RescaleIntercept=None)
    refused(stack(tmp_path, change=change), "has no rescale slope and intercept")


@pytest.mark.parametrize("units", [None, "", " "])
def test_finding_n1_pet_without_units_is_refused(tmp_path: Path, units: str | None) -> None:
    """Bq/mL, counts and ratios are numbers of the same size (Units is Type 1, PS3.3 C.8.9.1); one slice is enough."""
    refused(stack(tmp_path, change=only(2, modality="PT", Units=units)), r"has no Units: whether its values are Bq/mL")


def test_finding_n1_mr_without_any_rescale_keeps_its_stored_values(tmp_path: Path) -> None:
    """Nothing is given anywhere, so nothing is mixed."""
    files = stack(tmp_path, change=only(*range(5), RescaleSlope=None, RescaleIntercept=None))
    assert imaging.volume(files).array == pytest.approx(np.stack([stored(n) for n in range(5)]))


def test_finding_n1_pet_slope_per_slice_is_applied(tmp_path: Path) -> None:
    """Slopes that differ from slice to slice are normal in PET, and certain."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.SOPClassUID, dataset.Modality, dataset.Units = PositronEmissionTomographyImageStorage, "PT", "BQML"
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.DecayFactor = 2.0**-number, 0, 1 + number / 10

    volume = imaging.volume(stack(tmp_path, change=change))
    assert volume.array == pytest.approx(np.stack([stored(n) * 2.0**-n for n in range(5)]))


# --- N2: scales that are not those of all slices -------------------------------------------------

_REAL_WORLD = {"RealWorldValueFirstValueMapped": 0, "RealWorldValueLastValueMapped": 4095}


def _mapping(slope: float, unit: str = "mm2/s") -> Sequence:
    item, code = Dataset(), Dataset()
    item.RealWorldValueSlope, item.RealWorldValueIntercept = slope, 0.0
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
    item.MeasurementUnitsCodeSequence = Sequence([code])
    return Sequence([item])


def _table() -> Sequence:
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [64, 0, 16], "US"
    item.LUTData = (np.arange(64, dtype="<u2") * 3).tobytes()
    item["LUTData"].VR = "OW"
    return Sequence([item])


def pet(**attributes: Any) -> Change:
    """PET, with these attributes in one of its slices."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.Modality, dataset.Units = "PT", "BQML"
        if number == 3:
            put(dataset, **attributes)

    return change


NOTHING: dict[str, Any] = {"RescaleSlope": None, "RescaleIntercept": None}
MIXED = {
    "rescale on some": (only(2, **NOTHING), r"1 of the 5 images has no rescale \(SOP instance 1\.2\.3\.3\)"),
    "rescale on one": (only(0, 1, 3, 4, **NOTHING), r"1 of the 5 .* RescaleSlope and RescaleIntercept .*1\.2\.3\.3"),
    "a table on some": (
        only(1, **NOTHING, ModalityLUTSequence=_table(), PixelRepresentation=0),
        r"1 of the 5 images has a ModalityLUTSequence",
    ),
    "table and rescale": (only(1, ModalityLUTSequence=_table()), "a ModalityLUTSequence and a RescaleSlope"),
    "rescale type": (only(3, RescaleType="OD"), r"differ in RescaleType: none and OD \(SOP instance 1\.2\.3\.4\)"),
    "CT units": (only(3, modality="CT", RescaleType="US"), "differ in RescaleType: HU and none"),
    "PET units": (pet(Units="CNTS"), "differ in Units: BQML and CNTS"),
    "PET decay": (pet(DecayCorrection="NONE"), "differ in DecayCorrection"),
    "SUV type": (pet(SUVType="LBM"), "differ in SUVType"),
    "photometric": (only(3, PhotometricInterpretation="MONOCHROME1"), "differ in PhotometricInterpretation"),
    "representation": (only(3, PixelRepresentation=0), r"differ in PixelRepresentation: 1 and 0 \(SOP instance 1\.2"),
    "modality": (lambda n, d: setattr(d, "Modality", "CT" if n else "MR"), "differ in Modality: MR and CT"),
    "real world, no rescale": (
        lambda n, d: put(d, Modality="MR", **NOTHING, RealWorldValueMappingSequence=_mapping(1 + n)),
        "differ in their RealWorldValueMappingSequence",
    ),
    "real world on some, no rescale": (
        lambda n, d: put(d, Modality="MR", **NOTHING, RealWorldValueMappingSequence=_mapping(1) if n else None),
        "differ in their RealWorldValueMappingSequence",
    ),
    "real world units": (
        lambda n, d: put(d, Modality="MR", RealWorldValueMappingSequence=_mapping(1, "s" if n else "ms")),
        "differ in their RealWorldValueMappingSequence",
    ),
}


@pytest.mark.parametrize(("change", "match"), MIXED.values(), ids=MIXED)
def test_finding_n2_slices_on_different_scales_are_refused(tmp_path: Path, change: Change, match: str) -> None:
    """Raw and rescaled, two units, two scales: never mixed; the attribute, its values and the slices are named."""
    refused(stack(tmp_path, change=change), match)


def test_finding_n2_a_real_world_mapping_that_follows_the_slope_is_one_scale(tmp_path: Path) -> None:
    """SUV of PET by a mapping: per slice as the slopes are, so that the rescaled values mean the same in all slices."""

    def change(number: int, dataset: Dataset) -> None:
        slope = 0.3 + number
        put(dataset, Modality="PT", Units="BQML", RescaleSlope=slope, RescaleIntercept=0)
        dataset.RealWorldValueMappingSequence = _mapping(slope * 0.002, "g/ml{SUVbw}")

    volume = imaging.volume(stack(tmp_path, change=change))
    assert volume.array[3] == pytest.approx(stored(3) * 3.3)


def test_finding_n2_ct_of_another_quantity_is_not_hu(tmp_path: Path) -> None:
    """Effective atomic numbers in a CT series: `volume()` promises HU, so they are refused by name."""
    refused(stack(tmp_path, change=everywhere(RescaleType="Z_EFF")), "RescaleType Z_EFF: its values are not HU")


@pytest.mark.parametrize("text", ["HU", "US", "Houndsfield Unit", "hu "])
def test_finding_n2_ct_units_however_they_are_spelt(tmp_path: Path, text: str) -> None:
    """A scanner's own spelling of HU costs nothing."""
    assert imaging.volume(stack(tmp_path, change=everywhere(RescaleType=text))).array[0, 0, 0] == -1000


# --- N3: enhanced multi-frame --------------------------------------------------------------------


def _frames(dataset: Dataset) -> list[Dataset]:
    return list(dataset.PerFrameFunctionalGroupsSequence)


def _without_rescale(dataset: Dataset, *indices: int) -> None:
    dataset.Modality = "MR"
    for index in indices or range(len(_frames(dataset))):
        del _frames(dataset)[index].PixelValueTransformationSequence


def _values(slope: float | None, intercept: float | None) -> Sequence:
    item = Dataset()
    put(item, RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")
    return Sequence([item])


def _at_root(dataset: Dataset) -> None:
    _without_rescale(dataset)
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, -10


def _half_at_root(dataset: Dataset) -> None:
    _without_rescale(dataset)
    dataset.RescaleSlope = 2


def _beside_the_macro(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].RescaleSlope = 5
    dataset.SharedFunctionalGroupsSequence[0].RescaleIntercept = 0


def _shared_and_own(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = _values(7, 0)


def _half_in_a_frame(dataset: Dataset) -> None:
    del _frames(dataset)[1].PixelValueTransformationSequence[0].RescaleIntercept


def _two_items(dataset: Dataset) -> None:
    frame = _frames(dataset)[1]
    frame.PixelValueTransformationSequence = Sequence([*_values(1, 0), *_values(2, 0)])


def _table_at_root(dataset: Dataset) -> None:
    dataset.ModalityLUTSequence = _table()


def _fewer_positions(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence = Sequence(_frames(dataset)[:3])


def _two_positions(dataset: Dataset) -> None:
    item = Dataset()
    item.ImagePositionPatient = [0, 0, 0]
    _frames(dataset)[1].PlanePositionSequence.append(item)


ENHANCED = {
    "at the root": (
        _at_root,
        "RescaleSlope 2 and RescaleIntercept -10 outside of its PixelValueTransformationSequence",
    ),
    "half at the root": (_half_at_root, r"has a RescaleSlope \(2\) and no RescaleIntercept"),
    "beside the macro": (_beside_the_macro, "RescaleSlope 5 and RescaleIntercept 0 outside"),
    "shared and own": (_shared_and_own, "more than one PixelValueTransformationSequence"),
    "half in a frame": (_half_in_a_frame, r"1\.2\.3\.99, frame 2 has a RescaleSlope \(1\) and no RescaleIntercept"),
    "two items": (_two_items, "more than one PixelValueTransformationSequence"),
    "on some frames": (lambda d: _without_rescale(d, 1), r"1 of the 4 images has no rescale .*frame 2"),
    "a table at the root": (_table_at_root, "ModalityLUTSequence outside of its functional groups"),
    "fewer positions than frames": (_fewer_positions, "4 frames, but positions for 3"),
    "two positions of a frame": (_two_positions, "more than one ImagePositionPatient"),
}


@pytest.mark.parametrize(("change", "match"), ENHANCED.values(), ids=ENHANCED)
def test_finding_n3_enhanced_rescale_out_of_place_is_refused(
    tmp_path: Path, change: Callable[[Dataset], None], match: str
) -> None:
    """At the root, on some frames, twice or half: never ignored, never mixed."""
    refused([enhanced(tmp_path, change=change)], match)


def test_finding_n3_shared_rescale_is_applied(tmp_path: Path) -> None:
    """One macro for all frames, as the Standard has it; the same said once more at the root changes nothing."""

    def change(dataset: Dataset) -> None:
        _without_rescale(dataset)
        dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = _values(2, -10)
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, -10

    volume = imaging.volume([enhanced(tmp_path, change=change)])
    assert volume.array == pytest.approx(np.stack([stored(n) * 2.0 - 10 for n in range(4)]))


# --- the odd inputs ------------------------------------------------------------------------------

REFUSED = {
    "pet-slope-without-intercept": "no RescaleIntercept",
    "mr-rescale-one-missing": "1 of the 4 images has no rescale",
    "enh-rescale-at-root": "outside of its PixelValueTransformationSequence",
    "px12-left-justified": "HighBit 15, which contradicts BitsStored 12",
    "comma-spacing": "no usable PixelSpacing",
    "gap84": "slices are missing",
    "enh-localizer3": "differ in orientation",
}
RIGHT = {
    "pet-rescale": (5, 0, 400),
    "px12-overlay-bit": (4, -1000, 900),
    "px12-not-extended": (4, -1000, 900),
    "ds16": (6, 0, 500),
    "big-endian": (3, 0, 500),
    "concatenation": (6, 0, 500),
    "thickness-zero": (3, 0, 500),
    "neg-spacing-stack": (3, 0, 500),
    "enh-negspacing": (6, 0, 500),
    "enh-reversed": (6, 0, 500),
    "sagittal-nonsquare": (6, 0, 500),
}


@pytest.mark.parametrize("name", REFUSED)
def test_findings_n1_to_n4_odd_inputs_are_refused_in_words(name: str) -> None:
    """Made on purpose: what is not certain is refused, with the attribute in the reason."""
    with pytest.raises(NotApplicableError, match=REFUSED[name]):
        imaging.volume(case(name))


@pytest.mark.parametrize("name", RIGHT)
def test_findings_n1_to_n4_odd_inputs_that_are_certain_are_right(name: str) -> None:
    """Odd and right: the volume has its slices and its values."""
    volume = imaging.volume(case(name))
    assert (len(volume.frames), volume.array.min(), volume.array.max()) == RIGHT[name]


def test_finding_n1_lung_density_says_what_is_wrong_with_a_thickness() -> None:
    """A Slice Thickness that is no number ends in words, not in a traceback."""
    header = Dataset()
    header.Modality, header.SOPInstanceUID = "CT", "1.2.3"
    header.add(DataElement(0x00180050, "LO", "2,0"))
    with pytest.raises(NotApplicableError, match=r"1\.2\.3 has a SliceThickness that is not one number"):
        checks.refuse_headers([header], 3.0)
