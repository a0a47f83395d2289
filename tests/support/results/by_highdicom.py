"""What modules of authors return, made with highdicom on the images of a CT series: SEG, SR and a picture."""

from __future__ import annotations

from typing import Any

import highdicom
import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes


def segmented(images: list[Any], mask: Any) -> Any:
    """What is bright, as a SEG on the images."""
    algorithm = highdicom.AlgorithmIdentificationSequence("Bright", codes.DCM.ArtificialIntelligence, "2.1")
    described = highdicom.seg.SegmentDescription(
        1, "Bright", codes.SCT.Tissue, codes.SCT.SoftTissue, "AUTOMATIC", algorithm
    )
    return highdicom.seg.Segmentation(
        images,
        mask.astype(np.uint8),
        highdicom.seg.SegmentationTypeValues.BINARY,
        [described],
        series_instance_uid=highdicom.UID(),
        series_number=701,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="ACME Imaging",
        manufacturer_model_name="Bright",
        software_versions="2.1",
        device_serial_number="1",
    )


def reported(image: Any, voxels: int) -> Any:
    """A measurement report (TID 1500) with one group, on one image."""
    region = ImageRegion(
        "POINT",
        np.array([[5.5, 6.5]]),
        highdicom.sr.SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID),
    )
    observer = ObserverContext(codes.DCM.Device, DeviceObserverIdentifyingAttributes(highdicom.UID(), "Bright"))
    size = Measurement(
        codes.SCT.Volume, float(voxels), codes.UCUM.CubicMillimeter, algorithm_id=AlgorithmIdentification("Bright", "2")
    )
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(highdicom.UID(), "bright"),
        region,
        finding_type=codes.SCT.Nodule,
        measurements=[size],
        finding_sites=[FindingSite(codes.SCT.Lung)],
    )
    return Comprehensive3DSR(
        [image],
        MeasurementReport(ObservationContext(observer), codes.LN.CTUnspecifiedBodyRegion, imaging_measurements=[group])[
            0
        ],
        highdicom.UID(),
        702,
        highdicom.UID(),
        1,
        "ACME Imaging",
        is_complete=True,
        is_final=True,
        is_verified=False,
        performed_procedure_codes=[],
    )


def pictured(image: Any) -> Any:
    """A secondary capture."""
    return highdicom.sc.SCImage.from_ref_dataset(
        image,
        np.full((32, 32), 100, np.uint8),
        "MONOCHROME2",
        8,
        coordinate_system="PATIENT",
        series_instance_uid=highdicom.UID(),
        series_number=703,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="ACME Imaging",
        patient_orientation=("L", "P"),
    )
