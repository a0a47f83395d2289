"""Source images of many kinds, results of many kinds, and requests to encode the one for the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
)

from node.config.encoding import EncodingProfile
from node.results.encode import encode
from node.results.encoded import EncodedSet
from node.results.request import EncodingRequest
from plugins.contract import (
    AlgorithmIdentity,
    Box,
    Code,
    Ellipse,
    Finding,
    Heatmap,
    ImageReference,
    KeyImage,
    Measurement,
    NoValue,
    Picture,
    Point,
    Polygon,
    Polyline,
    ReferenceRange,
    Result,
    ResultStatus,
    Score,
    Segment,
    Segmentation,
    Site,
    Unit,
)

LUNG = Code("39607008", "SCT", "Lung")
ABNORMALITY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
RIGHT, LEFT, BOTH = (
    Code("24028007", "SCT", "Right"),
    Code("7771000", "SCT", "Left"),
    Code("51440002", "SCT", "Right and left"),
)
NODULE = Code("427359005", "SCT", "Solitary nodule of lung")
PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
DENSITY = Code("LUNGDENSITY", "99TEST", "Lung density")
MM, ML, PERCENT, HU = Unit("mm", "mm"), Unit("mL", "mL"), Unit("%", "percent"), Unit("[hnsf'U]", "Hounsfield unit")
ALGORITHM = AlgorithmIdentity(
    name="lung_density",
    version="1.0.0",
    manufacturer="pacsnode",
    weights_digest="ab" * 32,
    intended_use="Reference implementation for pilots, not a medical device.",
    parameters=(("threshold", "-950 HU"),),
)
ROWS = COLUMNS = 64
STUDY_UID = "1.2.826.0.1.3680043.8.498.1"
FRAME_OF_REFERENCE = "1.2.826.0.1.3680043.8.498.9"


# --- source images --------------------------------------------------------------------------------


def _base(sop_class_uid: str, modality: str, number: int) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = f"{STUDY_UID}.2.{number}"
    dataset.StudyInstanceUID = STUDY_UID
    dataset.SeriesInstanceUID = f"{STUDY_UID}.2"
    dataset.PatientName = "Hong^Gildong"
    dataset.PatientID = "12345678"
    dataset.IssuerOfPatientID = "HOSPITAL"
    dataset.PatientBirthDate = "19600229"
    dataset.PatientSex = "F"
    dataset.PatientAge = "063Y"
    dataset.StudyDate, dataset.StudyTime = "20240102", "101500"
    dataset.StudyID, dataset.AccessionNumber = "S1", "A0001"
    dataset.StudyDescription = "CT chest"
    dataset.ReferringPhysicianName = "Kim^Doctor"
    dataset.Modality = modality
    dataset.Manufacturer = "Scanner Maker"
    dataset.SeriesNumber, dataset.InstanceNumber = 2, number
    request = Dataset()
    request.RequestedProcedureID = "RP1"
    request.ScheduledProcedureStepID = "SPS1"
    request.RequestedProcedureDescription = "CT chest without contrast"
    dataset.RequestAttributesSequence = [request]
    return dataset


def _add_pixels(dataset: Dataset, pixels: np.ndarray[Any, np.dtype[Any]], samples: int = 1) -> None:
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        dataset.PlanarConfiguration = 0
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 1 if pixels.dtype.kind == "i" else 0
    dataset.PixelData = pixels.tobytes()


def _ramp() -> np.ndarray[Any, np.dtype[np.int16]]:
    return (np.arange(ROWS * COLUMNS, dtype=np.int16).reshape(ROWS, COLUMNS) % 1000) - 900


def _add_plane(dataset: Dataset, number: int) -> None:
    dataset.FrameOfReferenceUID = FRAME_OF_REFERENCE
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-100, -100, 5.0 * number]
    dataset.PixelSpacing = [2.0, 2.0]
    dataset.SliceThickness = 5.0


def ct(number: int = 1) -> Dataset:
    dataset = _base(CTImageStorage, "CT", number)
    _add_plane(dataset, number)
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.WindowCenter, dataset.WindowWidth = -600, 1500
    _add_pixels(dataset, _ramp())
    return dataset


def mr(number: int = 1) -> Dataset:
    dataset = _base(MRImageStorage, "MR", number)
    _add_plane(dataset, number)
    _add_pixels(dataset, np.abs(_ramp()).astype(np.uint16))
    return dataset


def enhanced_ct(number: int = 1) -> Dataset:
    dataset = _base(EnhancedCTImageStorage, "CT", number)
    dataset.FrameOfReferenceUID = FRAME_OF_REFERENCE
    dataset.NumberOfFrames = 3
    shared, orientation, measures, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [2.0, 2.0], 5.0
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, 0, "HU"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [rescale]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index in range(3):
        frame, position, voi = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-100, -100, 5.0 * index]
        voi.WindowCenter, voi.WindowWidth = -600, 1500
        frame.PlanePositionSequence, frame.FrameVOILUTSequence = [position], [voi]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    _add_pixels(dataset, np.stack([_ramp()] * 3))
    return dataset


def cr(number: int = 1) -> Dataset:
    dataset = _base(ComputedRadiographyImageStorage, "CR", number)
    dataset.PatientOrientation = ["L", "F"]
    _add_pixels(dataset, np.abs(_ramp()).astype(np.uint16))
    return dataset


def dx(number: int = 1) -> Dataset:
    dataset = _base(DigitalXRayImageStorageForPresentation, "DX", number)
    dataset.ImagerPixelSpacing = [0.2, 0.2]
    dataset.PhotometricInterpretation = "MONOCHROME1"
    _add_pixels(dataset, np.abs(_ramp()).astype(np.uint16))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.PatientOrientation = ["L", "F"]
    return dataset


def us(number: int = 1) -> Dataset:
    dataset = _base(UltrasoundMultiFrameImageStorage, "US", number)
    dataset.NumberOfFrames = 3
    _add_pixels(dataset, np.full((3, ROWS, COLUMNS, 3), 90, dtype=np.uint8), samples=3)
    dataset.BurnedInAnnotation = "YES"
    return dataset


def enhanced_mr(number: int = 1) -> Dataset:
    dataset = enhanced_ct(number)
    dataset.SOPClassUID, dataset.Modality = EnhancedMRImageStorage, "MR"
    return dataset


def mg(number: int = 1) -> Dataset:
    dataset = dx(number)
    dataset.SOPClassUID, dataset.Modality = DigitalMammographyXRayImageStorageForPresentation, "MG"
    dataset.ImageLaterality, dataset.ViewPosition = "R", "CC"
    dataset.PatientOrientation = ["P", "L"]
    return dataset


def xa(number: int = 1) -> Dataset:
    dataset = _base(XRayAngiographicImageStorage, "XA", number)
    dataset.NumberOfFrames = 3
    _add_pixels(dataset, np.stack([np.abs(_ramp()).astype(np.uint16)] * 3))
    return dataset


def pt(number: int = 1) -> Dataset:
    dataset = ct(number)
    dataset.SOPClassUID, dataset.Modality = PositronEmissionTomographyImageStorage, "PT"
    dataset.RescaleSlope = 0.5
    return dataset


def private_class(number: int = 1) -> Dataset:
    dataset = ct(number)
    dataset.SOPClassUID = "1.3.12.2.1107.5.9.1"
    return dataset


SOURCES: dict[str, Callable[[int], Dataset]] = {
    "ct": ct,
    "enhanced-ct": enhanced_ct,
    "mr": mr,
    "cr": cr,
    "dx": dx,
    "us": us,
    "private": private_class,
    "enhanced-mr": enhanced_mr,
    "mg": mg,
    "xa": xa,
    "pt": pt,
}


MULTI_FRAME = frozenset({"enhanced-ct", "enhanced-mr", "us", "xa"})
"""Kinds that are one image of three frames; of the others there are three images."""


def write_to(dataset: Dataset, target: BinaryIO) -> None:
    """Write a source image as Part 10 file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    dataset.file_meta = meta
    dcmwrite(target, dataset, enforce_file_format=True)


def write(dataset: Dataset, path: Path) -> Path:
    """Write a source image as Part 10 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_to(dataset, file)
    return path


def write_series(kind: str, folder: Path, count: int = 3) -> list[Path]:
    """`count` images of a kind (one where each holds many frames)."""
    make = SOURCES[kind]
    count = 1 if kind in MULTI_FRAME else count
    return [write(make(number), folder / f"{number:03d}.dcm") for number in range(1, count + 1)]


def reference(kind: str) -> ImageReference:
    """A frame of the series of `write_series`: the second, where it has more than one image or frame."""
    return ImageReference(f"{STUDY_UID}.2.1", 2 if kind in MULTI_FRAME else 1)


def frames(kind: str) -> list[ImageReference]:
    """The three frames of the series of `write_series`, in order."""
    if kind in MULTI_FRAME:
        return [ImageReference(f"{STUDY_UID}.2.1", number) for number in (1, 2, 3)]
    return [ImageReference(f"{STUDY_UID}.2.{number}") for number in (1, 2, 3)]


# --- results --------------------------------------------------------------------------------------


def density(side: Code, volume: float, laa: float, perc15: float | None) -> tuple[Measurement, ...]:
    site = Site(LUNG, side)
    return (
        Measurement(Code("LUNGVOLUME", "99TEST", "Lung volume"), volume, ML, site=site, decimals=0),
        Measurement(
            Code("LAA950", "99TEST", "LAA%-950"),
            laa,
            PERCENT,
            site=site,
            decimals=1,
            reference_range=ReferenceRange(None, 6.8, "Author et al., Journal 2010;1:1"),
            method=Code("THRESHOLD", "99TEST", "Threshold"),
        ),
        Measurement(
            Code("PERC15", "99TEST", "Perc15"),
            perc15,
            HU,
            no_value=NoValue.CANNOT_BE_COMPUTED if perc15 is None else None,
            site=site,
            decimals=0,
        ),
    )


def measured() -> Result:
    """Lung density of right, left and both lungs."""
    numbers = ((RIGHT, 2801.437, 8.125, -941.0), (LEFT, 2401.2, 6.0625, -936.5), (BOTH, 5202.637, 7.1725, -939.0))
    findings = [
        Finding(DENSITY, site=Site(LUNG, side), measurements=density(side, volume, laa, perc))
        for side, volume, laa, perc in numbers
    ]
    return Result(ResultStatus.FINDINGS, "LAA%-950 is 7.2 % of both lungs (right 8.1 %, left 6.1 %).", tuple(findings))


def lungs(frames: Sequence[ImageReference]) -> Segmentation:
    labels = np.zeros((len(frames), ROWS, COLUMNS), dtype=np.uint8)
    labels[:, 10:50, 5:28], labels[:, 10:50, 36:60] = 1, 2
    organ = Code("123037004", "SCT", "Anatomical Structure")
    return Segmentation(
        labels,
        tuple(frames),
        (
            Segment(1, "Right lung", organ, LUNG, Site(LUNG, RIGHT), (90, 160, 255)),
            Segment(2, "Left lung", organ, LUNG, Site(LUNG, LEFT), (255, 150, 90)),
        ),
    )


def segmented(frames: Sequence[ImageReference]) -> Result:
    """The same, each lung with its segment and both lungs with both."""
    result = measured()
    findings = [
        Finding(f.code, site=f.site, measurements=f.measurements, segments=own)
        for f, own in zip(result.findings, ((1,), (2,), (1, 2)), strict=True)
    ]
    return Result(result.status, result.summary, tuple(findings), segmentation=lungs(frames))


def nodule(image: ImageReference) -> Result:
    """The common result of a detector: one finding with a box, others absent, each with a score."""
    return Result(
        ResultStatus.FINDINGS,
        "One nodule in the right lung.",
        (
            Finding(
                NODULE,
                present=True,
                score=Score(0.875, 0.5),
                site=Site(LUNG, RIGHT),
                regions=(Box(np.array([[12.0, 14.0], [30.5, 40.25]]), image),),
                measurements=(Measurement(Code("410668003", "SCT", "Length"), 12.4, MM, decimals=1),),
                tracking_id="Nodule A",
                urgent=True,
                comment="Spiculated margin.",
            ),
            Finding(PNEUMOTHORAX, present=False, score=Score(0.02, 0.5)),
        ),
        key_images=(KeyImage(image, "Largest nodule"),),
        quality=("Motion artefact in the lower lobes.",),
    )


def regions(image: ImageReference) -> Result:
    """One finding of each form of region."""
    forms = (
        Point(np.array([20.5, 21.5]), image),
        Polyline(np.array([[5.0, 5.0], [15.0, 25.0]]), image),
        Box(np.array([[30.0, 40.0], [10.0, 20.0]]), image),
        Polygon(np.array([[40.0, 40.0], [50.0, 40.0], [45.0, 55.0]]), image),
        Ellipse(np.array([[20.0, 50.0], [40.0, 50.0], [30.0, 45.0], [30.0, 55.0]]), image),
    )
    findings = tuple(Finding(NODULE, present=True, regions=(form,)) for form in forms)
    return Result(ResultStatus.FINDINGS, "Five findings.", findings)


def no_findings() -> Result:
    return Result(
        ResultStatus.NO_FINDINGS,
        "No pneumothorax found.",
        (Finding(PNEUMOTHORAX, present=False, score=Score(0.02, 0.5)),),
    )


def failed(summary: str = "The plugin ended after 300 s without a result (deadline).") -> Result:
    return Result(ResultStatus.FAILED, summary)


def not_applicable() -> Result:
    return Result(ResultStatus.NOT_APPLICABLE, "Contrast was given: blood pool at 180 HU.")


def illustrated(image: ImageReference) -> Result:
    """Numbers and a picture that the plugin drew."""
    result = measured()
    picture = np.zeros((200, 300, 3), dtype=np.uint8)
    picture[..., 0] = np.arange(300)[np.newaxis] * 255 // 300
    return Result(
        result.status,
        result.summary,
        result.findings,
        pictures=(Picture(picture, "Coronal: voxels at or below −950 HU in colour", (image,)),),
    )


def mapped(image: ImageReference) -> Result:
    """A detector that says where it looked: a nodule, and a heat map around it, on two frames where it can be."""
    frames = [image]
    if image.frame_number > 1:
        frames.append(ImageReference(image.sop_instance_uid, image.frame_number + 1))
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS]
    hot = np.exp(-((rows - 27.0) ** 2 + (columns - 21.0) ** 2) / 120).astype(np.float32)
    values = np.stack([hot * np.float32(0.94 - 0.3 * index) for index in range(len(frames))])
    heatmap = Heatmap(values, tuple(frames), Code("130404", "DCM", "Saliency"), label="Where the detector looked")
    return replace(nodule(image), heatmaps=(heatmap,))


RESULTS: dict[str, Callable[[ImageReference], Result]] = {
    "measured": lambda _image: measured(),
    "nodule": nodule,
    "regions": regions,
    "no-findings": lambda _image: no_findings(),
    "failed": lambda _image: failed(),
    "not-applicable": lambda _image: not_applicable(),
    "illustrated": illustrated,
    "mapped": mapped,
}


# --- requests -------------------------------------------------------------------------------------


def request(paths: Sequence[Path], result: Result, **changes: Any) -> EncodingRequest:
    fields: dict[str, Any] = {
        "job_id": "job-1",
        "result": result,
        "algorithm": ALGORITHM,
        "rule": "lung",
        "mode": "pilot",
        "sources": tuple(paths),
        "asked": "Lung density on chest CT without contrast",
        "images_complete_at": datetime(2024, 1, 2, 1, 20, 0, tzinfo=UTC),
        "result_made_at": datetime(2024, 1, 2, 1, 22, 33, tzinfo=UTC),
        "time_zone": "Asia/Seoul",
        "profile": EncodingProfile(),
    }
    return EncodingRequest(**(fields | changes))


def whole(request: EncodingRequest, folder: Path) -> EncodedSet:
    """The objects of a result, of which none is missing."""
    made = encode(request, folder)
    assert not made.missing, made.reasons
    return made
