"""The way in: one request becomes the files of one set of DICOM objects."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from node.results.context import prepare
from node.results.encoded import EncodedObject, EncodedSet
from node.results.gate.judging import EncodedCandidate, SetRefusedError
from node.results.object_set import object_set
from node.results.request import EncodingRequest
from node.results.returned.sending import returned_set
from node.store.durable import write_durably


def encode(request: EncodingRequest, folder: Path) -> EncodedSet:
    """Write the objects of one result into `folder`; equal requests give equal bytes.

    The SR comes last: it refers to the others. Each file is there whole or not at all, also after a
    power loss. An object that cannot be made, or in which the gate finds something wrong, is missing; report and
    pages say so, and `folder`/refused has it, with the reasons.

    Raises `NotEncodableError` where patient, study or a reference cannot be written for certain; then nothing is
    written. Raises `SetRefusedError` where no sound object is left.
    """
    context = prepare(request)
    folder.mkdir(parents=True, exist_ok=True)
    returned = returned_set(context, folder)
    context = returned.context
    made = object_set(context)
    ours = tuple(reason for why in made.reasons.values() for reason in why)
    if ours:
        refused = folder / "refused"
        refused.mkdir(parents=True, exist_ok=True)
        for one in made.refused:
            _write(one, refused)
        write_durably(refused / "reasons.txt", "".join(f"{text}\n" for text in (*ours, *made.texts)).encode())
        if not made.objects and not returned.objects:
            raise SetRefusedError(ours)
    objects = tuple(replace(_write(one, folder), changes=context.changes) for one in made.objects)
    missing = frozenset(made.reasons) | {part for part in context.missing if part.kind == "dicom"}
    return EncodedSet.of((*returned.objects, *objects), missing, (*returned.reasons, *ours), returned.advice)


def _write(one: EncodedCandidate, folder: Path) -> EncodedObject:
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
