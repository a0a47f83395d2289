"""The way in: one request becomes the files of one set of DICOM objects."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from pydicom import dcmread

from node.results.context import prepare
from node.results.encoded import EncodedObject, EncodedSet
from node.results.gate.judging import EncodedCandidate, SetRefusedError, problems_of_note
from node.results.object_set import file_content, object_set
from node.results.report import ko
from node.results.request import EncodingRequest, RejectionRequest
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
    folder.mkdir(parents=True, exist_ok=True)
    objects = tuple(replace(_write(one, folder), changes=context.changes) for one in made.objects)
    missing = frozenset(made.reasons) | {part for part in context.missing if part.kind == "dicom"}
    return EncodedSet.of((*returned.objects, *objects), missing, (*returned.reasons, *ours), returned.advice)


def encode_note(request: RejectionRequest, folder: Path) -> EncodedObject:
    """Write a rejection note into `folder`; equal requests give equal bytes.

    Raises `SetRefusedError` where the gate finds something wrong with it; then nothing is written.
    """
    stored = dcmread(request.stored, stop_before_pixels=True)
    note = ko.rejection_note(request, stored)
    candidate = EncodedCandidate("ko", note, file_content(note, "explicit"))
    if problems := problems_of_note(candidate, request, stored):
        raise SetRefusedError(problems)
    folder.mkdir(parents=True, exist_ok=True)
    return _write(candidate, folder)


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
