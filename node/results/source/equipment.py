"""Who made what: the algorithm that found it, the node that wrote it (PS3.3 C.7.5.1, C.12.1.5)."""

from __future__ import annotations

from datetime import datetime

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from highdicom.sr import AlgorithmIdentification, DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import DT

from node.results import codes as our_codes
from node.results.request import NodeIdentity
from node.results.uids import device_uid, node_uid
from plugins.contract import AlgorithmIdentity

_PARAMETER_LIMIT = 1024  # characters of one (111002) item; more would only bury the finding


def model_name(algorithm: AlgorithmIdentity) -> str:
    """Manufacturer's Model Name of the algorithm, and its Algorithm Name, which AIR wants to be equal (Rev 1.3, Table
    6.5.3.1-1); its name where the manifest gives none.
    """
    return algorithm.model_name or algorithm.name


def serial_number(algorithm: AlgorithmIdentity) -> str | None:
    """What tells two devices of one version apart: weights and code; None where they are not known."""
    return (algorithm.software_digest or algorithm.weights_digest)[:16] or None


def contributing_equipment(algorithm: AlgorithmIdentity, node: NodeIdentity, made_at: datetime) -> list[Dataset]:
    """One item for the algorithm (AIR), one for the node: by the latter we know our own results again."""
    processing = ContributingEquipment(
        algorithm.manufacturer,
        codes.DCM.ProcessingEquipment,
        manufacturer_model_name=model_name(algorithm),
        software_versions=algorithm.version,
        device_serial_number=serial_number(algorithm),
        contribution_datetime=DT(made_at.strftime("%Y%m%d%H%M%S%z")),
        contribution_description=f"AI analysis: {algorithm.name} {algorithm.version}"[:1024],
    )
    processing.DeviceUID = device_uid(algorithm)
    if algorithm.udi:
        udi = Dataset()
        udi.UniqueDeviceIdentifier = algorithm.udi
        processing.UDISequence = [udi]
    writer = ContributingEquipment(
        node.manufacturer,
        codes.DCM.ProcessingEquipment,
        manufacturer_model_name=node.model_name,
        software_versions=node.software_version,
        device_serial_number=node.serial_number,
        contribution_description="Wrote the AI result as DICOM",
    )
    writer.DeviceUID = node_uid(node)
    return [processing, writer]


def set_general_equipment(dataset: Dataset, node: NodeIdentity) -> None:
    """General Equipment (C.7.5.1), enhanced (C.7.5.2) where the IOD asks for it: the same values."""
    dataset.Manufacturer = node.manufacturer
    dataset.ManufacturerModelName = node.model_name
    dataset.DeviceSerialNumber = node.serial_number
    dataset.SoftwareVersions = node.software_version


def device_observer(algorithm: AlgorithmIdentity) -> ObserverContext:
    """TID 1002 Observer Context: the algorithm saw what the document says."""
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=device_uid(algorithm),
            name=algorithm.name,
            manufacturer_name=algorithm.manufacturer,
            model_name=model_name(algorithm),
            serial_number=serial_number(algorithm),
            # No (113876, DCM, "Device Role in Procedure"), which is optional: CID 7445 knows recording, X-ray reading
            # and irradiating devices. It may be extended, but for (121094, DCM, "Performing") PixelMed's validator, by
            # which IHE judges reports, finds an error in each of them.
        ),
    )


def algorithm_for_sr(algorithm: AlgorithmIdentity, parameters: tuple[str, ...] = ()) -> AlgorithmIdentification:
    """TID 4019 Algorithm Identification; each of `parameters` is a text such as "threshold = 0.5"."""
    return AlgorithmIdentification(
        name=model_name(algorithm),
        version=algorithm.version,
        manufacturer=algorithm.manufacturer,
        parameters=[text[:_PARAMETER_LIMIT] for text in parameters] or None,
        family=our_codes.concept(algorithm.family),
    )


def algorithm_for_segmentation(algorithm: AlgorithmIdentity) -> AlgorithmIdentificationSequence:
    """Algorithm Identification Macro (PS3.3 10.16)."""
    return AlgorithmIdentificationSequence(
        name=model_name(algorithm),
        family=our_codes.concept(algorithm.family),
        version=algorithm.version,
        source=algorithm.manufacturer,
    )
