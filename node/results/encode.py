"""The way in: one request becomes the files of one set of DICOM objects."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from node.results.context import prepare
from node.results.gate.judging import Candidate, RefusedError
from node.results.object_set import object_set
from node.results.request import EncodingRequest, Kind, Part
from node.store.durable import write_durably

_REPORTING = frozenset(("sr", "sc"))
"""The kinds of object that a person reads."""


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


class EncodedSet(tuple[EncodedObject, ...]):
    """The objects of one set, in the order in which they are sent, and what is missing from it."""

    missing: frozenset[Part] = frozenset()
    reasons: tuple[str, ...] = ()
    """Why, for the site admin; each names the object."""

    @classmethod
    def of(
        cls, objects: tuple[EncodedObject, ...], missing: frozenset[Part] = frozenset(), reasons: tuple[str, ...] = ()
    ) -> EncodedSet:
        """A set that lacks `missing`."""
        made = cls(objects)
        made.missing, made.reasons = missing, reasons
        return made

    @property
    def is_silent(self) -> bool:
        """Whether report and pages are missing, so that nobody can read what was found, nor what is missing."""
        lost = any(part.kind in _REPORTING and not part.number for part in self.missing)
        return lost and not any(made.kind in _REPORTING for made in self)


def encode(request: EncodingRequest, folder: Path) -> EncodedSet:
    """Write the objects of one result into `folder`; equal requests give equal bytes.

    The SR comes last: it refers to the others. Each file is there whole or not at all, also after a
    power loss. An object that cannot be made, or in which the gate finds something wrong, is missing; report and
    pages say so, and `folder`/refused has it, with the reasons.

    Raises `NotEncodableError` where patient, study or a reference cannot be written for certain; then nothing is
    written. Raises `RefusedError` where no sound object is left.
    """
    context = prepare(request)
    made = object_set(context)
    reasons = tuple(reason for why in made.reasons.values() for reason in why)
    if reasons:
        refused = folder / "refused"
        refused.mkdir(parents=True, exist_ok=True)
        for one in made.refused:
            _write(one, refused)
        write_durably(refused / "reasons.txt", "".join(f"{text}\n" for text in (*reasons, *made.texts)).encode())
        if not made.objects:
            raise RefusedError(reasons)
    folder.mkdir(parents=True, exist_ok=True)
    objects = tuple(replace(_write(one, folder), changes=context.changes) for one in made.objects)
    return EncodedSet.of(objects, frozenset(made.reasons), reasons)


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
