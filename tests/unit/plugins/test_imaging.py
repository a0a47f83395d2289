"""Volumes from instances: order, geometry and values are right, and what is no proper stack is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydicom import Dataset, FileMetaDataset, Sequence
from pydicom.data import get_testdata_file
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from plugins import imaging
from plugins.contract import ImageReference, NotApplicableError
from tests.support.shared_data import shared_data

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ROWS, COLUMNS = 3, 4


def base(uid: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID = uid, "1.2.3", "1.2"
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.FrameOfReferenceUID = "1.9"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    return dataset


def stored(number: int) -> np.ndarray:
    """Pixels that tell slice, row and column apart."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    return (number * 100 + row * 10 + column).astype("<i2")


def single(folder: Path, number: int, position, orientation=AXIAL, change=None) -> Path:
    dataset = base(f"1.2.3.{number + 1}")
    dataset.SOPClassUID = CTImageStorage
    dataset.ImagePositionPatient = [float(value) for value in position]
    dataset.ImageOrientationPatient = list(orientation)
    dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.5], 2.0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1000
    dataset.PixelData = stored(number).tobytes()
    if change:
        change(dataset)
    path = folder / f"{number:03d}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def stack(folder: Path, count=5, step=(0.0, 0.0, 2.0), orientation=AXIAL, change=None) -> list[Path]:
    """`count` slices, each `step` from the last; `change(number, dataset)` spoils some."""
    return [
        single(
            folder,
            n,
            np.array([10.0, 20.0, 30.0]) + n * np.array(step),
            orientation,
            (lambda dataset, n=n: change(n, dataset)) if change else None,
        )
        for n in range(count)
    ]


def refused(files, match: str) -> None:
    with pytest.raises(NotApplicableError, match=match):
        imaging.volume(files)


# --- order, geometry, values ---------------------------------------------------------------------


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]])
def test_slices_are_ordered_by_position_whatever_the_files_order(tmp_path, order):
    """Files in any order give the same volume, feet first."""
    files = stack(tmp_path)
    volume = imaging.volume([files[index] for index in order])
    assert volume.array.dtype == np.float32
    assert volume.array.shape == (5, ROWS, COLUMNS)
    assert volume.array[3, 2, 1] == 3 * 100 + 2 * 10 + 1 - 1000
    assert volume.frames == tuple(ImageReference(f"1.2.3.{n + 1}") for n in range(5))
    assert volume.spacing == (2.0, 0.7, 0.5)
    assert volume.voxel_volume == pytest.approx(0.0007)
    assert volume.frame_of_reference_uid == "1.9"


def test_series_stored_head_first_is_turned_round(tmp_path):
    """Instance numbers that run from head to feet change nothing: the normal decides."""
    volume = imaging.volume(stack(tmp_path, step=(0, 0, -2)))
    assert [frame.sop_instance_uid for frame in volume.frames] == [f"1.2.3.{n}" for n in (5, 4, 3, 2, 1)]
    assert volume.affine[2, 2] == pytest.approx(2.0)
    assert volume.affine[:3, 3] == pytest.approx([10, 20, 22])


def rotations() -> SearchStrategy[np.ndarray]:
    return st.tuples(*[st.floats(-1, 1) for _ in range(4)]).filter(lambda q: np.linalg.norm(q) > 0.1).map(_rotation)


def _rotation(quaternion) -> np.ndarray:
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@settings(max_examples=30)
@given(rotations(), st.permutations(range(4)), st.floats(0.3, 9.0))
def test_affine_maps_every_index_to_its_place(tmp_path_factory, rotation, order, gap):
    """For any orientation and file order, the affine tells where each pixel lies (PS3.3 C.7.6.2.1.1)."""
    folder = tmp_path_factory.mktemp("oblique")
    row_cosines, column_cosines, normal = rotation.T
    orientation = [float(f"{value:.9f}") for value in (*row_cosines, *column_cosines)]
    files = stack(folder, 4, normal * gap, orientation)
    volume = imaging.volume([files[index] for index in order])
    for z, y, x in ((0, 0, 0), (3, 2, 3), (1, 2, 0)):
        number = int(volume.frames[z].sop_instance_uid.rsplit(".", 1)[1]) - 1
        assert volume.array[z, y, x] == number * 100 + y * 10 + x - 1000
        expected = (
            np.array([10.0, 20.0, 30.0]) + number * normal * gap + x * 0.5 * row_cosines + y * 0.7 * column_cosines
        )
        assert (volume.affine @ (x, y, z, 1))[:3] == pytest.approx(expected, abs=1e-4)
    assert volume.spacing[0] == pytest.approx(gap, rel=1e-6)


@pytest.mark.parametrize(("slope", "intercept"), [(-1.0, 50.0), (0.5, 0.0), (2.5, -1024.0)])
def test_rescale_is_applied_per_slice(tmp_path, slope, intercept):
    """Slope and intercept of each instance count, negative ones too."""

    def change(number, dataset):
        if number == 2:
            dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept

    volume = imaging.volume(stack(tmp_path, change=change))
    assert volume.array[2] == pytest.approx(stored(2) * slope + intercept)
    assert volume.array[1] == pytest.approx(stored(1) - 1000.0)


def test_modality_lut_sequence_is_applied(tmp_path):
    """Where the Modality LUT is a table (PS3.3 C.11.1), the table decides."""

    def change(number, dataset):
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.PixelRepresentation = 0
        table = Dataset()
        table.LUTDescriptor = [64, 0, 16]
        table.ModalityLUTType = "HU"
        table.LUTData = (np.arange(64, dtype="<u2") * 3).tobytes()
        table["LUTData"].VR = "OW"
        dataset.ModalityLUTSequence = Sequence([table])

    volume = imaging.volume(stack(tmp_path, count=1, change=change))
    assert volume.array[0] == pytest.approx(stored(0) * 3)


@pytest.mark.parametrize("representation", [0, 1])
def test_signed_and_unsigned_pixels(tmp_path, representation):
    """The top bit is a sign or it is not, as Pixel Representation says."""
    raw = np.full((ROWS, COLUMNS), 0xFC18, dtype="<u2")  # −1000 or 64536

    def change(number, dataset):
        dataset.PixelRepresentation, dataset.RescaleIntercept, dataset.PixelData = representation, 0, raw.tobytes()

    volume = imaging.volume(stack(tmp_path, count=1, change=change))
    assert np.unique(volume.array) == [-1000 if representation else 64536]


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless, JPEG2000Lossless])
def test_compressed_pixels(tmp_path, chest, chest_files, syntax):
    """Lossless compression gives the same volume as none."""
    files = []
    for path in chest_files[30:33]:
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        files.append(tmp_path / path.name)
        dataset.save_as(files[-1])
    assert np.array_equal(imaging.volume(files).array, chest.array[30:33])


def test_positions_rounded_to_hundredths_are_no_varying_spacing(tmp_path):
    """Scanners round positions; 0.625 mm steps written as 0.63, 1.25, 1.88 … are even."""

    def change(number, dataset):
        dataset.ImagePositionPatient = [10, 20, round(30 + number * 0.625 + 1e-9, 2)]

    assert imaging.volume(stack(tmp_path, 9, change=change)).spacing[0] == pytest.approx(0.625)


def test_a_frame_of_reference_per_instance_is_let_pass(tmp_path):
    """Some de-identified series (LIDC-IDRI) have one UID per instance: no mixture, and no frame of reference either."""

    def change(number, dataset):
        dataset.FrameOfReferenceUID = f"1.9.{number}"

    assert imaging.volume(stack(tmp_path, change=change)).frame_of_reference_uid is None


# --- enhanced multi-frame ------------------------------------------------------------------------


def enhanced(folder: Path, order=(2, 0, 1, 3), change=None) -> Path:
    """Enhanced CT whose frames stand in `order`; orientation shared, position and rescale per frame."""
    dataset = base("1.2.3.99")
    dataset.SOPClassUID = EnhancedCTImageStorage
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(AXIAL)
    measures.PixelSpacing, measures.SliceThickness = [0.7, 0.5], 2.0
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([orientation]), Sequence([measures])
    frames = []
    for number in order:
        frame, content, position, values = (Dataset() for _ in range(4))
        content.StackID, content.InStackPositionNumber = "1", number + 1
        position.ImagePositionPatient = [10, 20, 30 + 2 * number]
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = number + 1, -1000, "HU"
        frame.FrameContentSequence, frame.PlanePositionSequence = Sequence([content]), Sequence([position])
        frame.PixelValueTransformationSequence = Sequence([values])
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.NumberOfFrames = len(order)
    dataset.PixelData = b"".join(stored(number).tobytes() for number in order)
    if change:
        change(dataset)
    path = folder / "enhanced.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_enhanced_frames_are_ordered_and_rescaled_one_by_one(tmp_path):
    """Shared and per-frame functional groups together give each frame its place and its values."""
    volume = imaging.volume([enhanced(tmp_path)])
    assert [frame.frame_number for frame in volume.frames] == [2, 3, 1, 4]
    assert volume.array == pytest.approx(np.stack([stored(n) * (n + 1.0) - 1000 for n in range(4)]))
    assert volume.spacing == (2.0, 0.7, 0.5)


def test_one_stack_of_several_is_chosen_by_its_id(tmp_path):
    """Two stacks are an error that names them, until one is asked for."""

    def change(dataset):
        for index, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            frame.FrameContentSequence[0].StackID = "A" if index in (0, 3) else "B"

    path = enhanced(tmp_path, change=change)
    refused([path], r"2 stacks \(A, B\)")
    assert [frame.frame_number for frame in imaging.volume([path], stack_id="B").frames] == [2, 3]
    with pytest.raises(NotApplicableError, match="no stack 'C'"):
        imaging.volume([path], stack_id="C")


def test_frames_over_time_are_refused(tmp_path):
    """A dynamic series has frames at the same place: not one volume."""

    def change(dataset):
        for frame in dataset.PerFrameFunctionalGroupsSequence[2:]:
            frame.PlanePositionSequence[0].ImagePositionPatient = [10, 20, 30]

    refused([enhanced(tmp_path, change=change)], "4 images lie at 2 positions only")


def test_multi_frame_without_positions_is_refused(tmp_path):
    """Frames without functional groups have no place."""

    def change(dataset):
        del dataset.PerFrameFunctionalGroupsSequence, dataset.SharedFunctionalGroupsSequence

    refused([enhanced(tmp_path, change=change)], "4 frames, but no positions")


# --- what is refused -----------------------------------------------------------------------------


def test_no_images(tmp_path):
    """An empty series is said to be empty."""
    refused([], "holds no images")


@pytest.mark.parametrize(("missing", "match"), [([3], "1 slice is missing"), ([2, 5, 6], "3 slices are missing")])
def test_missing_slices_are_counted(tmp_path, missing, match):
    """A gap of a whole number of steps is missing slices, and how many is said."""
    files = [file for number, file in enumerate(stack(tmp_path, 12)) if number not in missing]
    refused(files, match)


def test_varying_spacing(tmp_path):
    """Two parts with different spacing are no volume."""

    def change(number, dataset):
        dataset.ImagePositionPatient = [10, 20, 30 + number * 2 + max(0, number - 3) * 1.1]

    refused(stack(tmp_path, 8, change=change), r"varies from 2 to 3.1 mm")


def test_the_same_position_twice(tmp_path):
    """Two images at one position: phases, reconstructions or a copy."""
    files = stack(tmp_path)
    refused([*files, single(tmp_path, 7, (10, 20, 32))], "6 images lie at 5 positions only")


def test_gantry_tilt_is_named_in_degrees(tmp_path):
    """Slices that lean against the direction of the stack."""
    tilt = np.radians(12.0)
    refused(
        stack(tmp_path, step=(0, 0, 2), orientation=(1, 0, 0, 0, np.cos(tilt), -np.sin(tilt))),
        r"sheared: it leans by 12\.0° .*gantry tilt",
    )


def test_slices_shifted_within_their_plane(tmp_path):
    """One slice displaced sideways, the stack itself upright."""

    def change(number, dataset):
        if number == 2:
            dataset.ImagePositionPatient = [14, 20, 34]

    refused(stack(tmp_path, change=change), "shifted against each other")


def spoil(**attributes):
    def change(number, dataset):
        if number == 2:
            for keyword, value in attributes.items():
                if value is None:
                    delattr(dataset, keyword)
                else:
                    setattr(dataset, keyword, value)

    return change


SPOILT = {
    "localizer": (spoil(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), r"localizer \(SOP instance 1\.2\.3\.3\)"),
    "orientation": (spoil(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), "differ in orientation"),
    "rows": (spoil(Rows=ROWS - 1), "differ in size"),
    "pixel spacing": (spoil(PixelSpacing=[0.71, 0.5]), "differ in pixel spacing"),
    "frame of reference": (spoil(FrameOfReferenceUID="1.10"), "2 different frames of reference"),
    "series": (spoil(SeriesInstanceUID="1.2.4"), "more than one series"),
    "no position": (spoil(ImagePositionPatient=None), r"1\.2\.3\.3 has no usable ImagePositionPatient"),
    "no orientation": (spoil(ImageOrientationPatient=None), "no usable ImageOrientationPatient"),
    "no spacing": (spoil(PixelSpacing=None), "no usable PixelSpacing"),
    "zero spacing": (spoil(PixelSpacing=[0, 0]), "impossible"),
    "impossible orientation": (spoil(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "impossible"),
    "no rescale": (spoil(RescaleSlope=None), "its values are not HU"),
    "zero slope": (spoil(RescaleSlope=0), "rescale slope 0"),
    "colour": (spoil(SamplesPerPixel=3, PhotometricInterpretation="RGB"), "colour"),
    "palette": (spoil(PhotometricInterpretation="PALETTE COLOR"), "colour"),
    "no rows": (spoil(Rows=None), "has no pixel data"),
    "no pixels": (spoil(PixelData=None), r"pixels of SOP instance 1\.2\.3\.3 cannot be decoded: there are none\.$"),
    "short pixels": (
        spoil(PixelData=b"\0" * 10),
        r"cannot be decoded: they are damaged, or not what the header says \(transfer syntax Explicit VR",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_one_bad_instance_is_refused_and_named(tmp_path, name):
    """One instance that does not belong makes the series unusable, and the reason says what is wrong."""
    change, match = SPOILT[name]
    refused(stack(tmp_path, change=change), match)


def test_finding_o13_a_greyscale_image_of_three_samples_is_not_called_a_colour_image(tmp_path):
    """The header contradicts itself, and that is said."""
    refused(
        stack(tmp_path, change=spoil(SamplesPerPixel=3)),
        r"^The header of SOP instance 1\.2\.3\.3 contradicts itself: MONOCHROME2 with 3 samples a pixel\.$",
    )


def test_finding_o13_pixels_of_a_cut_file_are_damaged_in_words(tmp_path):
    """No name of a Python exception: what is wrong, and in which transfer syntax."""
    files = stack(tmp_path)
    content = files[2].read_bytes()
    files[2].write_bytes(content[: len(content) - 4])
    refused(files, r"cannot be decoded: (they are damaged, or not what the header says|the file is damaged)")


def test_garbled_compressed_pixels_name_the_instance(tmp_path, chest_files):
    """A corrupt JPEG-LS stream is no crash and no black slice (fault 44)."""
    dataset = pydicom.dcmread(chest_files[30])
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    dataset.PixelData = dataset.PixelData[:60] + b"\xff" * (len(dataset.PixelData) - 60)
    dataset.save_as(tmp_path / "garbled.dcm")
    refused(
        [chest_files[29], tmp_path / "garbled.dcm", chest_files[31]],
        f"pixels of SOP instance {dataset.SOPInstanceUID} cannot be decoded",
    )


def test_a_file_that_is_no_dicom(tmp_path):
    """The file is named, not its path."""
    (tmp_path / "notes.txt").write_text("hello")
    refused(
        [tmp_path / "notes.txt"],
        r"^The file notes\.txt cannot be read as DICOM: it is another kind of file, or damaged\.$",
    )


def test_single_image_without_thickness(tmp_path):
    """One slice alone needs its thickness to be a volume."""
    refused(stack(tmp_path, 1, change=lambda n, d: delattr(d, "SliceThickness")), "slice thickness is not given")


# --- files of others -----------------------------------------------------------------------------


def test_pydicom_ct_small():
    """pydicom's own CT file: 128 × 128, 5 mm, HU."""
    volume = imaging.volume([Path(str(get_testdata_file("CT_small.dcm")))])
    assert volume.array.shape == (1, 128, 128)
    assert volume.spacing == pytest.approx((5.0, 0.661468, 0.661468))
    assert (volume.array.min(), volume.array.max()) == (-896, 1167)


def test_real_enhanced_ct():
    """An Enhanced CT of two frames from pydicom's larger test data."""
    volume = imaging.volume([shared_data("pydicom_pydicom-data/data_store/data/eCT_Supplemental.dcm")])
    assert volume.array.shape == (2, 512, 512)
    assert volume.spacing[0] == pytest.approx(10.0)


def test_real_gantry_tilt():
    """A GE head CT scanned with 18.5° gantry tilt."""
    files = sorted(shared_data("neurolabusc_dcm_qa_ct").rglob("*.dcm"))
    refused(files, r"leans by 18\.5°")


def test_real_localizer():
    """A topogram is named as a localizer."""
    folder = shared_data("cornerstonejs_cornerstoneTools")
    files = [path for path in folder.rglob("*.dcm") if "topogram" in str(path).lower()]
    if not files:
        pytest.skip("the topogram is not among the real files")
    refused(files, "localizer")
