"""The way in: one request becomes the files of one set of DICOM objects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.durable import write_durably
from node.results import ko, pm, sc, seg, sr
from node.results.context import Context, prepare
from node.results.gate import Candidate, RefusedError, problems_of
from node.results.pr import presentation_states
from node.results.request import EncodingRequest, Kind, SourceReference
from node.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


@dataclass(frozen=True, slots=True)
class EncodedObject:
    """One SOP instance on disk, ready for the outbox."""

    kind: Kind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    series_number: int
    instance_number: int
    path: Path
    sha256: str
    """Of the whole file."""
    changes: tuple[str, ...] = ()
    """What of the images' patient, study and requests could not be copied as it is; the same for the whole set."""


def encode(request: EncodingRequest, folder: Path) -> tuple[EncodedObject, ...]:
    """Write the objects of one result into `folder`; equal requests give equal bytes.

    The SR comes last: it refers to the others. Each file is there whole or not at all, also after a
    power loss. Raises `NotEncodableError` where patient, study or a reference cannot be written for
    certain; then nothing is written. Raises `RefusedError` where the gate finds something wrong with what
    was written: then all of it is in `folder`/refused, with the reasons.
    """
    context = prepare(request)
    syntax = _SYNTAXES[request.profile.transfer_syntax]
    made = [Candidate(kind, dataset, _file_content(dataset, syntax)) for kind, dataset in _objects(context)]
    if problems := problems_of(made, context):
        refused = folder / "refused"
        refused.mkdir(parents=True, exist_ok=True)
        for one in made:
            _write(one, refused)
        write_durably(refused / "reasons.txt", "".join(f"{problem}\n" for problem in problems).encode())
        raise RefusedError(problems)
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(replace(_write(one, folder), changes=context.changes) for one in made)


def _objects(context: Context) -> list[tuple[Kind, Dataset]]:
    if (made := context.request.belongs_to) is not None:
        return [("sr", sr.structured_report(context, made.companions))]
    kinds = context.request.profile.kinds_for(context.request.result.status)
    objects = [(kind, dataset) for kind, make in _COMPANIONS.items() if kind in kinds for dataset in make(context)]
    if "sr" in kinds:
        companions = [(kind, _reference(dataset)) for kind, dataset in objects]
        objects.append(("sr", sr.structured_report(context, companions)))
    return objects


def _segmentations(context: Context) -> list[Dataset]:
    return seg.segmentation_objects(context)


def _maps(context: Context) -> list[Dataset]:
    heatmaps = context.request.result.heatmaps
    placed = [heatmap for heatmap in heatmaps if pm.has_place(context, heatmap)]
    return [pm.parametric_map(context, heatmap, number) for number, heatmap in enumerate(placed, start=1)]


def _pages(context: Context) -> list[Dataset]:
    return sc.pages(context)


def _selections(context: Context) -> list[Dataset]:
    return [ko.key_object_selection(context)] if context.request.result.key_images else []


_COMPANIONS: dict[Kind, Callable[[Context], list[Dataset]]] = {
    "seg": _segmentations, "pm": _maps, "sc": _pages, "ko": _selections, "pr": presentation_states,
}  # fmt: skip
"""What may stand beside the SR, in the order in which it is sent."""


def _reference(dataset: Dataset) -> SourceReference:
    return SourceReference(
        str(dataset.StudyInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.SOPInstanceUID),
        str(dataset.SOPClassUID),
    )


_SYNTAXES = {"explicit": ExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian}


def _file_content(dataset: Dataset, transfer_syntax: UID) -> bytes:
    """The Part 10 file, under our own implementation identity instead of highdicom's."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _write(one: Candidate, folder: Path) -> EncodedObject:
    kind, dataset, content = one.kind, one.dataset, one.content
    path = folder / f"{kind}-{int(dataset.InstanceNumber):03d}.dcm"
    write_durably(path, content)
    return EncodedObject(
        kind=kind,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_number=int(dataset.SeriesNumber),
        instance_number=int(dataset.InstanceNumber),
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
    )
