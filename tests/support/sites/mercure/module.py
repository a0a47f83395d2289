"""A module as authors write them for mercure: DICOM in, a segmentation, a report and a picture out, by highdicom.

It knows nothing of the node. Its UIDs are new in each run, as highdicom and most modules make them. What it does beyond
that, its settings say.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
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

MAKER = {
    "manufacturer": "ACME Imaging",
    "manufacturer_model_name": "Bright",
    "software_versions": "2.1",
    "device_serial_number": "1",
}


def main() -> int:
    """As mercure runs it; the exit code."""
    inside, out = Path(os.environ["MERCURE_IN_DIR"]), Path(os.environ["MERCURE_OUT_DIR"])
    task = json.loads((inside / "task.json").read_text())
    settings = task["process"]["settings"]
    images = sorted(map(pydicom.dcmread, inside.glob("*#*.dcm")), key=lambda each: int(each.InstanceNumber))
    does, said = settings["does"], {"bright": "measured"}
    if does == "says only":
        note = {"__mercure_notification": {"text": "These images are not for me."}}
        (out / "result.json").write_text(json.dumps({**said, **note}))
        return 0
    mask = np.stack([each.pixel_array * each.RescaleSlope + each.RescaleIntercept for each in images]) > -500
    segmentation = segmented(images, mask)
    made = [segmentation, reported(images[0], int(mask.sum())), pictured(images[0])]
    if does == "mixes patients up":
        made[0].PatientID = "SOMEBODY ELSE"
    for each in made:
        each.save_as(out / f"{each.Modality}#{each.SOPInstanceUID}.dcm")
    (out / "result.json").write_text(json.dumps({**said, "__mercure_notification": {"text": "Bright voxels."}}))
    return 0


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
        **MAKER,
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
        ("L", "P"),
        highdicom.UID(),
        703,
        highdicom.UID(),
        1,
        "ACME Imaging",
    )


if __name__ == "__main__":
    sys.exit(main())
